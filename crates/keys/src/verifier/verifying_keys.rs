//! Keys that verify signatures. The algorithm follows from the key, never from the token.
//!
//! jsonwebtoken only reads headers, PEM and key sets. It brings two libraries of cryptography, neither of
//! them that of TLS, and takes another one only for the whole process, which may be an embedding program. So
//! ring verifies.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey, agree_ephemeral};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{SubjectPublicKeyInfoDer, alg_id};
use serde_json::Value;
use simple_asn1::{ASN1Block, BigUint};

use super::error::{BadAuth, Denied};

/// The minimum for HS256 (RFC 7518, section 3.2). A shorter secret could be guessed offline from a token.
const MIN_SECRET_BYTES: usize = 32;

/// Shorter RSA keys are weak, longer ones are slow.
const RSA_BITS: RangeInclusive<u64> = 2048..=8192;

/// The range of RSA exponents that ring accepts. They must also be odd.
const RSA_EXPONENTS: RangeInclusive<u64> = 3..=(1 << 33) - 1;

/// The size of an uncompressed P-256 point, and the first bytes of compressed ones (SEC 1, section 2.3.3).
const P256_POINT_BYTES: usize = 65;
const COMPRESSED: [u8; 2] = [2, 3];
const ED25519_KEY_BYTES: usize = 32;

/// The keys that verify the tokens of an API key.
pub(super) enum VerifyingKeys {
    One(VerifyingKey),
    /// A key set, with the `kid` of each key.
    Several(Vec<NamedKey>),
}

/// A key, and its `kid`.
pub(super) type NamedKey = (Option<String>, VerifyingKey);

/// The names of the algorithm of Ed25519 keys: the first is of RFC 8037, the second of RFC 9864.
const ED25519_NAMES: [&str; 2] = ["EdDSA", "Ed25519"];

pub(super) enum VerifyingKey {
    /// The key, and its text.
    Hs256(hmac::Key, Box<str>),
    Rs256(RsaPublicKeyComponents<Vec<u8>>),
    Es256(UnparsedPublicKey<Vec<u8>>),
    EdDsa(UnparsedPublicKey<Vec<u8>>),
}

impl VerifyingKeys {
    pub(super) fn secret(secret: &str) -> Result<Self, BadAuth> {
        // A public key is no secret: anybody could sign tokens with it as an HMAC secret.
        if secret.contains("-----BEGIN") {
            return Err(BadAuth::SecretIsPem);
        }
        // A JWK may be public too. Every JWK has `kty` (RFC 7517, section 4.1), and no other secret does.
        if secret.contains("\"kty\"") {
            return Err(BadAuth::SecretIsJwk);
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(BadAuth::ShortSecret { bytes: secret.len(), min: MIN_SECRET_BYTES });
        }
        Ok(VerifyingKeys::One(VerifyingKey::Hs256(hs256(secret.as_bytes()), secret.into())))
    }

    pub(super) fn pem(pem: &str) -> Result<Self, BadAuth> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(BadAuth::PrivateKey);
        }
        if pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(BadAuth::Certificate);
        }
        let text = pem.trim().as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(text) {
            return rsa(&key).map(VerifyingKeys::One);
        }
        let info = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| BadAuth::NoPublicKey)?;
        let key = if let Ok(key) = DecodingKey::from_ec_pem(text) {
            // The size does not identify the curve.
            let is_p256 = info.windows(alg_id::ECDSA_P256.len()).any(|part| part == &*alg_id::ECDSA_P256);
            if is_p256 { es256(&key) } else { Err(BadAuth::UnsupportedKey) }
        } else if let Ok(key) = DecodingKey::from_ed_pem(text) {
            ed_dsa(&key)
        } else {
            Err(BadAuth::UnsupportedKey)
        };
        key.map(VerifyingKeys::One)
    }

    /// The key for a token. A single key verifies tokens with any `kid`; keys of one `kid` differ by their
    /// algorithms (RFC 7517, section 4.5).
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: &str) -> Result<&VerifyingKey, Denied> {
        match (self, kid) {
            (VerifyingKeys::One(key), _) => Ok(key),
            (VerifyingKeys::Several(keys), Some(kid)) => {
                let mut named = keys.iter().filter(|(name, _)| name.as_deref() == Some(kid));
                let first = named.clone().next().ok_or(Denied::UnknownKeyId)?;
                Ok(&named.find(|(_, key)| key.is_for(algorithm)).unwrap_or(first).1)
            }
            (VerifyingKeys::Several(keys), None) => match keys.as_slice() {
                [(_, key)] => Ok(key),
                _ => Err(Denied::NoKeyId),
            },
        }
    }
}

impl VerifyingKey {
    /// Reads a key of a set behind those `before` it. `None` if the key is for another use.
    pub(super) fn from_jwk(mut json: Value, before: &[NamedKey]) -> Result<Option<NamedKey>, BadAuth> {
        if let Some(name) = json.get_mut("alg").filter(|name| ED25519_NAMES.iter().any(|known| name == known))
        {
            // The library knows the old name only.
            *name = ED25519_NAMES[0].into();
        }
        let jwk: Jwk = serde_json::from_value(json).map_err(|_| BadAuth::NoJwk)?;
        let common = &jwk.common;
        let for_another_use =
            common.public_key_use.as_ref().is_some_and(|kind| *kind != PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        if for_another_use || operations.is_some_and(|known| !known.contains(&KeyOperations::Verify)) {
            return Ok(None);
        }
        let (algorithm, read): (_, fn(&DecodingKey) -> _) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (KeyAlgorithm::RS256, rsa),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (KeyAlgorithm::ES256, es256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (KeyAlgorithm::EdDSA, ed_dsa)
            }
            AlgorithmParameters::OctetKey(_) => return Err(BadAuth::SymmetricKey),
            _ => return Ok(None),
        };
        if common.key_algorithm.is_some_and(|named| named != algorithm) {
            return Ok(None);
        }
        let key = read(&DecodingKey::from_jwk(&jwk).map_err(|_| BadAuth::UnsupportedKey)?)?;
        let kid = jwk.common.key_id;
        let is_repeated = |(name, other): &NamedKey| *name == kid && other.algorithm() == key.algorithm();
        match &kid {
            Some(kid) if before.iter().any(is_repeated) => Err(BadAuth::RepeatedKeyId(kid.clone())),
            _ => Ok(Some((kid, key))),
        }
    }

    /// The name of the algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            VerifyingKey::Hs256(..) => "HS256",
            VerifyingKey::Rs256(_) => "RS256",
            VerifyingKey::Es256(_) => "ES256",
            VerifyingKey::EdDsa(_) => ED25519_NAMES[0],
        }
    }

    /// True if the header of a token may name its algorithm like this.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        match self {
            VerifyingKey::EdDsa(_) => ED25519_NAMES.contains(&algorithm),
            _ => self.algorithm() == algorithm,
        }
    }

    /// Verifies with ring. jsonwebtoken supports ring only as a setting of the whole process, which may
    /// belong to an embedding program.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            VerifyingKey::Hs256(key, _) => hmac::verify(key, message, signature),
            VerifyingKey::Rs256(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            VerifyingKey::Es256(key) | VerifyingKey::EdDsa(key) => key.verify(message, signature),
        };
        verified.is_ok()
    }

    /// The reason why a signature is wrong: some libraries decode the text of a secret, and signers may read
    /// a file with its last line break.
    pub(super) fn denied(&self, message: &[u8], signature: &[u8]) -> Denied {
        let VerifyingKey::Hs256(_, secret) = self else { return Denied::Signature };
        let decoded = [("hex", of_hex(secret)), ("base64", STANDARD.decode(&**secret).ok())];
        let signs = |bytes: &Vec<u8>| hmac::verify(&hs256(bytes), message, signature).is_ok();
        if ["\n", "\r\n"].iter().any(|end| signs(&[secret.as_bytes(), end.as_bytes()].concat())) {
            return Denied::UntrimmedSecret;
        }
        let signer = decoded.iter().find(|(_, bytes)| bytes.as_ref().is_some_and(signs));
        signer.map_or(Denied::Signature, |(form, _)| Denied::DecodedSecret(form))
    }
}

fn hs256(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// The bytes of a text in hexadecimal.
fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    bytes.collect()
}

fn rsa(key: &DecodingKey) -> Result<VerifyingKey, BadAuth> {
    let (n, e) = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e))
        }
        // PKCS#1: a sequence of modulus and exponent.
        DecodingKeyKind::SecretOrDer(der) => match simple_asn1::from_der(der).as_deref() {
            Ok([ASN1Block::Sequence(_, parts)]) => match parts.as_slice() {
                [ASN1Block::Integer(_, n), ASN1Block::Integer(_, e)] => {
                    (n.magnitude().clone(), e.magnitude().clone())
                }
                _ => return Err(BadAuth::UnsupportedKey),
            },
            _ => return Err(BadAuth::UnsupportedKey),
        },
    };
    let bits = n.bits();
    if !RSA_BITS.contains(&bits) {
        return Err(BadAuth::RsaSize { bits, min: *RSA_BITS.start(), max: *RSA_BITS.end() });
    }
    // ring checks these only when it verifies.
    let is_exponent = u64::try_from(&e).is_ok_and(|e| RSA_EXPONENTS.contains(&e));
    if !(is_exponent && e.bit(0) && n.bit(0)) {
        return Err(BadAuth::RsaNumbers);
    }
    // ring accepts only the shortest form of a number. Some issuers of key sets write leading zeros.
    let [n, e] = [n, e].map(|number| number.to_bytes_be());
    Ok(VerifyingKey::Rs256(RsaPublicKeyComponents { n, e }))
}

fn es256(key: &DecodingKey) -> Result<VerifyingKey, BadAuth> {
    let point = match bytes(key)? {
        [first, ..] if COMPRESSED.contains(first) => return Err(BadAuth::CompressedPoint),
        point if point.len() != P256_POINT_BYTES => return Err(BadAuth::UnsupportedKey),
        point => point.to_vec(),
    };
    // ring checks that a point is on the curve only when it uses it. A key agreement does so without a
    // signature.
    let on_curve = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).and_then(|private| {
        agree_ephemeral(private, &agreement::UnparsedPublicKey::new(&ECDH_P256, &point), |_| ())
    });
    on_curve.map_err(|_| BadAuth::InvalidPoint)?;
    Ok(VerifyingKey::Es256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)))
}

fn ed_dsa(key: &DecodingKey) -> Result<VerifyingKey, BadAuth> {
    let public = bytes(key)?;
    if public.len() != ED25519_KEY_BYTES {
        return Err(BadAuth::UnsupportedKey);
    }
    // ring accepts any point. With a point of small order, anybody could forge signatures.
    let point = CompressedEdwardsY::from_slice(public).ok().and_then(|point| point.decompress());
    if point.is_none_or(|point| point.is_small_order()) {
        return Err(BadAuth::InvalidPoint);
    }
    Ok(VerifyingKey::EdDsa(UnparsedPublicKey::new(&ED25519, public.to_vec())))
}

fn bytes(key: &DecodingKey) -> Result<&[u8], BadAuth> {
    key.try_get_as_bytes().map_err(|_| BadAuth::UnsupportedKey)
}
