//! Checks if browsers accept a certificate: its chain, its names, its dates.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use peerbroker_system::bounded_read::read_file;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

use super::DoctorFailed;
use super::report::{Finding, Named};

/// Most bytes of the file of authorities.
const MAX_CA_BYTES: u64 = 1 << 20;
const DAY: i64 = 24 * 3600;
/// A certificate that ends sooner gets a warning, unless it is short-lived.
const SOON: i64 = 14 * DAY;
/// The year in which a placeholder for an ACME certificate ends. No authority issues one for so long.
const PROVISIONAL_UNTIL: i32 = 4096;

/// The authorities that the client trusts.
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    /// The certificates of `--ca`.
    own: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// The public authorities, and those of a file.
    pub(super) fn load(ca: Option<&Path>) -> Result<Self, DoctorFailed> {
        let mut anchors = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        let Some(path) = ca else { return Ok(Trust { anchors, own: Vec::new() }) };
        let pem = read_file(path, MAX_CA_BYTES).map_err(|error| DoctorFailed::Ca(path.to_owned(), error))?;
        let no_certificate = || DoctorFailed::NoCertificate(path.to_owned());
        let own: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
        for certificate in &own {
            anchors.push(anchor_from_trusted_cert(certificate).map_err(|_| no_certificate())?.to_owned());
        }
        if own.is_empty() { Err(no_certificate()) } else { Ok(Trust { anchors, own }) }
    }
}

/// True if the chain is the certificate that a broker with `--acme` shows before it has one: self-signed,
/// without a subject, and for ever.
pub(super) fn is_provisional(chain: &[CertificateDer<'_>]) -> bool {
    let [certificate] = chain else { return false };
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return false };
    let until = certificate.validity().not_after.to_datetime().year();
    certificate.subject().iter().next().is_none()
        && certificate.issuer().iter().next().is_none()
        && until >= PROVISIONAL_UNTIL
}

/// The findings of a browser about a chain that a server of this name shows: issuer, name and dates.
pub(super) fn judge(chain: &[CertificateDer<'_>], host: &str, trust: &Trust) -> Vec<Named> {
    let Some((first, others)) = chain.split_first() else {
        return vec![("chain", failed!("the server shows no certificate" => "Give it one: docs/TLS.md."))];
    };
    let (Ok((_, parsed)), Ok(certificate)) = (parse_x509_certificate(first), EndEntityCert::try_from(first))
    else {
        return vec![(
            "chain",
            failed!("the server's certificate cannot be read" => "Make or copy it again."),
        )];
    };
    let now = Timestamp::now().as_second();
    // An expired certificate still has an issuer, which may be wrong too.
    let from = parsed.validity().not_before.timestamp();
    let to = parsed.validity().not_after.timestamp();
    let then = if to < from { now } else { now.clamp(from, to) };
    let chain = if trust.own.contains(first) {
        ok!("the certificate is that of --ca")
    } else {
        issuer(&certificate, &parsed, others, trust, then)
    };
    vec![("chain", chain), ("name", name(&certificate, host)), ("dates", dates(from, to, now))]
}

fn issuer(
    certificate: &EndEntityCert<'_>,
    parsed: &X509Certificate<'_>,
    others: &[CertificateDer<'_>],
    trust: &Trust,
    then: i64,
) -> Finding {
    if parsed.subject() == parsed.issuer() {
        return failed!(
            "the certificate is self-signed: browsers refuse it, and a WebSocket does not ask the user" =>
            "Get a certificate that browsers trust, for example with --acme. In a local network, make every device trust it \
             (docs/TLS.md), and run the doctor with --ca.");
    }
    let of = common_name(parsed.issuer());
    let last = others.last().and_then(|last| Some(parse_x509_certificate(last).ok()?.1));
    let root = last.map_or_else(|| of.clone(), |last| common_name(last.issuer()));
    let then = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(then).unwrap_or(0)));
    let usage = KeyUsage::server_auth();
    let all = ALL_VERIFICATION_ALGS;
    match certificate.verify_for_usage(all, &trust.anchors, others, then, usage, None, None) {
        Ok(_) => ok!("the certificate is from {of}, and its chain is complete"),
        Err(_) if of.contains("(STAGING)") || root.contains("(STAGING)") => failed!(
            "the certificate is from the staging server of Let's Encrypt, which no browser trusts" =>
            "Start the broker without --acme_directory (certbot: without --staging), so that it orders a real one."),
        Err(webpki::Error::UnknownIssuer) if others.is_empty() => failed!(
            "the server shows its own certificate alone; that of its issuer {of} is missing or not trusted" =>
            "Give the server the whole chain: with certbot that is fullchain.pem, not cert.pem. If {of} is an authority of your own, \
             every device has to trust it: run the doctor with --ca."),
        Err(webpki::Error::UnknownIssuer) => {
            failed!("the chain ends at {root}, which is not a public authority" =>
            "If {root} is an authority of your own, every device has to trust it: run the doctor with --ca. Otherwise get a \
             certificate from a public one, for example with --acme.")
        }
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => failed!(
            "another certificate of the chain has expired, or is not valid yet" =>
            "Give the server the chain that its authority has today: renew the certificate."),
        Err(error) => failed!("the certificate cannot be used by a server ({error:?})" =>
            "Get another one, for example with --acme."),
    }
}

fn name(certificate: &EndEntityCert<'_>, host: &str) -> Finding {
    let Ok(name) = ServerName::try_from(host) else {
        return failed!("{host} is no name for a certificate" => "Use a host name or an address.");
    };
    match certificate.verify_is_valid_for_subject_name(&name) {
        Ok(()) => ok!("the certificate is for {host}"),
        Err(webpki::Error::CertNotValidForName(context)) if !context.presented.is_empty() => {
            // webpki writes `DnsName("example.org")` and `IpAddress(192.0.2.1)`.
            let bare = |name: &String| {
                name.split_once('(').map_or(&**name, |(_, name)| name).trim_matches(['"', ')']).to_owned()
            };
            let names = context.presented.iter().map(bare).collect::<Vec<_>>().join(", ");
            failed!("the certificate is for {names}, not for {host}" =>
                "Use one of these names in clients, or get a certificate for {host}.")
        }
        Err(_) => failed!("the certificate names no host (subjectAltName), so browsers refuse it" =>
            "Make it again with '-addext subjectAltName=DNS:{host}' of openssl, or use --acme."),
    }
}

fn dates(from: i64, to: i64, now: i64) -> Finding {
    const RENEW: &str = "Renew it. With --acme the broker does that by itself, and its log says why it could not; with certbot run \
                         'certbot renew', and make sure that the server loads the new file.";
    let left = to.saturating_sub(now);
    let soon = SOON.min(to.saturating_sub(from) / 3);
    let [first, last] = [from, to].map(|seconds| match Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => "?".to_owned(),
    });
    if now < from {
        failed!("the certificate is not valid before {first}" =>
            "Check the clock of this machine and that of the machine that made the certificate.")
    } else if left < 0 {
        failed!("the certificate has expired on {last}" => "{RENEW}")
    } else if left < soon {
        warning!("the certificate expires soon, on {last}" => "{RENEW}")
    } else {
        ok!("the certificate is valid until {last}")
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
    let common = common.map_or_else(|| name.to_string(), str::to_owned);
    if common.is_empty() { "an issuer without a name".to_owned() } else { format!("'{common}'") }
}

#[cfg(test)]
mod tests {
    use super::super::report::CheckState;
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_unless_it_is_short_lived() {
        for (life, left, state) in [
            (90, 89, CheckState::Ok),
            (90, 15, CheckState::Ok),
            (90, 13, CheckState::Warning),
            (90, 0, CheckState::Warning),
            (90, -1, CheckState::Failed),
            // The profile `shortlived` of Let's Encrypt, renewed at two thirds.
            (6, 3, CheckState::Ok),
            (6, 1, CheckState::Warning),
        ] {
            let now = 20_000 * DAY;
            let to = now + left * DAY;
            assert_eq!(dates(to - life * DAY, to, now).state, state, "{left} of {life} days");
        }
    }
}
