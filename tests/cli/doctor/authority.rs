//! Certificates of a test, with every fault that they can have.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::directory::Directory;
use crate::program::Program;

/// A root, an authority below it, and a place for files.
pub struct Authority {
    pub directory: Directory,
    between: Issuer<'static, KeyPair>,
    between_pem: String,
}

/// A certificate that the authority gives.
pub struct Wanted<'a> {
    pub name: &'a str,
    /// The years in which it is valid, from their first day to that of the second one.
    pub years: (i32, i32),
    /// True if the server shows that of the authority behind it.
    pub has_chain: bool,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Wanted { name: "127.0.0.1", years: (2020, 4000), has_chain: true }
    }
}

impl Authority {
    /// An authority of this name, below a root of its own.
    pub fn new(name: &str) -> Self {
        let directory = Directory::new();
        let root_key = KeyPair::generate().unwrap();
        let key = KeyPair::generate().unwrap();
        let root = authority("peerbroker test root");
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root, root_key);
        let between = authority(name);
        let between_pem = between.signed_by(&key, &root).unwrap().pem();
        directory.file("root.pem", &root_pem);
        Authority { directory, between: Issuer::new(between, key), between_pem }
    }

    /// The file with the root.
    pub fn root(&self) -> String {
        self.directory.arg("root.pem")
    }

    /// Starts a broker with a certificate.
    pub fn serve(&self, wanted: &Wanted<'_>, flags: &[&str]) -> Program {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![wanted.name.to_owned()]).unwrap();
        params.distinguished_name = named("the broker of the test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = date_time_ymd(wanted.years.1, 1, 1);
        let chain = params.signed_by(&key, &self.between).unwrap().pem();
        let chain = if wanted.has_chain { chain + &self.between_pem } else { chain };
        self.start(&key, &chain, flags)
    }

    /// Starts a broker with a certificate that it has made itself.
    pub fn serve_self_signed(&self) -> Program {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = named("the broker of the test");
        let chain = params.self_signed(&key).unwrap().pem();
        self.start(&key, &chain, &[])
    }

    fn start(&self, key: &KeyPair, chain: &str, flags: &[&str]) -> Program {
        let key = self.directory.file("key.pem", &key.serialize_pem());
        let cert = self.directory.file("cert.pem", chain);
        Program::start(&[&["--sslkey", &key, "--sslcert", &cert], flags].concat())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
