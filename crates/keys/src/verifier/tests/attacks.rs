//! Forged tokens.

use std::sync::LazyLock;

use proptest::prelude::*;
use ring::hmac;

use super::*;
use crate::verifier::jwt::read;

const NOW: f64 = 1_700_000_000.0;

fn keys(name: &str) -> VerifyingKeys {
    match name {
        "secret" => VerifyingKeys::secret(SECRET_TEXT).unwrap(),
        name => VerifyingKeys::pem(&text_of(&format!("{name}.pem"))).unwrap(),
    }
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW + 60.0 })
}

fn decide(keys: &VerifyingKeys, token: &str) -> Result<TakeoverBy, Denied> {
    read(token, keys)?.check(&key(), &id("alice"), NOW)
}

/// A valid token of each kind. They are made once, because some are slow to make.
static GOOD: LazyLock<[(&str, String); 4]> =
    LazyLock::new(|| ["secret", "rsa", "ec", "ed"].map(|name| (name, mint_with(name, claims()))));

fn good(name: &str) -> &'static str {
    GOOD.iter().find(|(known, _)| *known == name).map(|(_, token)| token.as_str()).unwrap()
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn nothing_without_a_signature_is_taken() {
    for alg in ["none", "None", "NONE", "nOnE", "none ", "", "HS1", "null"] {
        let header = encode(json!({ "alg": alg, "typ": "JWT" }).to_string());
        let claims = encode(claims().to_string());
        for name in ["secret", "rsa", "ec", "ed"] {
            for token in [format!("{header}.{claims}."), format!("{header}.{claims}.AAAA")] {
                let denied = decide(&keys(name), &token).unwrap_err();
                assert!(matches!(denied, Denied::Algorithm(_)), "{alg:?} {name}: {denied}");
            }
        }
    }
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":0}"#, "[]", "null", ""] {
        let token = format!("{}.{}.", encode(header), encode(claims().to_string()));
        assert_eq!(decide(&keys("secret"), &token), Err(Denied::Header), "{header}");
    }
    // The right algorithm with an empty signature.
    let [header, payload, _] = parts(good("ed"));
    assert_eq!(decide(&keys("ed"), &format!("{header}.{payload}.")), Err(Denied::Signature));
}

#[test]
fn a_token_is_verified_by_the_algorithm_of_the_key_and_by_no_other() {
    for (signed, token) in &*GOOD {
        for (name, expected) in [("secret", "HS256"), ("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")] {
            let judged = decide(&keys(name), token);
            match *signed == name {
                true => assert_eq!(judged, Ok(TakeoverBy::Subject), "{name}"),
                false => assert_eq!(judged, Err(Denied::Algorithm(expected)), "{signed} with {name}"),
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let message =
        |alg: &str| format!("{}.{}", encode(json!({ "alg": alg }).to_string()), encode(claims().to_string()));
    for (name, alg) in [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")] {
        let pem = text_of(&format!("{name}.pem"));
        let der = jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes());
        let raw = der.ok().and_then(|key| key.try_get_as_bytes().ok().map(<[u8]>::to_vec));
        for secret in [Some(pem.clone().into_bytes()), Some(pem.trim().as_bytes().to_vec()), raw] {
            let Some(secret) = secret else { continue };
            for named in ["HS256", "HS384", "HS512", alg] {
                let message = message(named);
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
                let token = format!("{message}.{}", encode(tag));
                let expected = if named == alg { Denied::Signature } else { Denied::Algorithm(alg) };
                assert_eq!(decide(&keys(name), &token), Err(expected), "{named} with the text of {name}");
            }
        }
    }
}

#[test]
fn a_header_cannot_say_how_it_is_verified() {
    let own = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let evil = "https://evil.test/keys";
    for more in [
        json!({ "jwk": own }),
        json!({ "jku": evil }),
        json!({ "x5u": evil }),
        json!({ "x5c": ["AAAA"] }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "x' UNION SELECT 'key" }),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // These headers change nothing: the secret alone decides.
        let token = sign("secret", &header, &claims());
        assert_eq!(decide(&keys("secret"), &token), Ok(TakeoverBy::Subject), "{header}");
        let other = VerifyingKeys::secret("another secret of more than thirty-two bytes").unwrap();
        assert_eq!(decide(&other, &token), Err(Denied::Signature), "{header}");
    }
    for crit in [json!(["exp"]), json!(["b64"]), json!([])] {
        let header = json!({ "alg": "HS256", "b64": false, "crit": crit });
        assert_eq!(decide(&keys("secret"), &sign("secret", &header, &claims())), Err(Denied::Critical));
    }
    // `alg` twice.
    let token = sign_text("secret", r#"{"alg":"HS256","alg":"none"}"#, &claims().to_string());
    assert_eq!(decide(&keys("secret"), &token), Err(Denied::Header));
}

#[test]
fn a_token_that_was_changed_is_not_taken() {
    for name in ["secret", "ec", "ed", "rsa"] {
        let keys = keys(name);
        let [header, payload, signature] = parts(good(name));
        let forged = encode(json!({ "sub": "alice", "exp": NOW + 1e9 }).to_string());
        let spaced = encode(format!(
            "{{ {}",
            &String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()[1..]
        ));
        let zeros = encode(vec![0; URL_SAFE_NO_PAD.decode(signature).unwrap().len()]);
        let doubled = format!("{signature}{signature}");
        for (token, why) in [
            (format!("{header}.{forged}.{signature}"), Denied::Signature),
            (format!("{spaced}.{payload}.{signature}"), Denied::Signature),
            (format!("{header}.{payload}.{zeros}"), Denied::Signature),
            (format!("{header}.{payload}.{}", encode("short")), Denied::Signature),
            (format!("{header}.{payload}"), Denied::Malformed),
            (format!("{header}."), Denied::Malformed),
            (header.to_owned(), Denied::Malformed),
            (String::new(), Denied::Malformed),
            ("..".to_owned(), Denied::Header),
            (format!(".{payload}.{signature}"), Denied::Header),
            (format!("{header}.{payload}.{signature}."), Denied::Malformed),
            (format!(".{header}.{payload}.{signature}"), Denied::Malformed),
            (format!("{header}..{payload}.{signature}"), Denied::Malformed),
            (format!("{header}.{payload}.{signature}.AAAA.AAAA"), Denied::Malformed),
            (format!("{header}.{payload}.{signature}="), Denied::Malformed),
            (format!("{header}=.{payload}.{signature}"), Denied::Malformed),
            (format!(" {header}.{payload}.{signature}"), Denied::Malformed),
            (format!("{header}.{payload}.{signature} "), Denied::Malformed),
            (format!("{header}.{payload}.{}+/", &signature[2..]), Denied::Malformed),
            (format!("{header}.ä.{signature}"), Denied::Malformed),
        ] {
            assert_eq!(decide(&keys, &token), Err(why), "{name}: {token}");
        }
        let judged = decide(&keys, &format!("{header}.{payload}.{doubled}"));
        assert!(matches!(judged, Err(Denied::Signature | Denied::Malformed)), "{name}: {judged:?}");
        for end in 0..good(name).len() {
            assert!(decide(&keys, &good(name)[..end]).is_err(), "{name} up to {end}");
        }
    }
}

#[test]
fn claims_of_another_type_are_not_taken() {
    for (claims, why) in [
        (r#"{"sub":"alice"}"#, Denied::NoExpiry),
        (r#"{"sub":"alice","exp":null}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":"1700000060"}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":true}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":[1700000060]}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1e999}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060,"nbf":"0"}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060,"nbf":null}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060,"aud":null}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060,"aud":{"peerjs":1}}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060,"aud":["peerjs",1]}"#, Denied::Claims),
        (r#"{"sub":7,"exp":1700000060}"#, Denied::Claims),
        (r#"{"sub":null,"exp":1700000060}"#, Denied::Claims),
        (r#"{"sub":["alice"],"exp":1700000060}"#, Denied::Claims),
        (r#"{"exp":1700000060}"#, Denied::NoSubject),
        (r#"{"sub":"","exp":1700000060}"#, Denied::NoSubject),
        (r#"{"sub":"*","exp":1700000060}"#, Denied::EveryId),
        (r#"{"sub":"bob","sub":"alice","exp":1700000060}"#, Denied::Claims),
        (r#"{"sub":"alice","exp":0,"exp":1700000060}"#, Denied::Claims),
        ("[]", Denied::Claims),
        // serde would read an array in the order of the fields.
        (r#"[1700000060,0,"peerjs","alice"]"#, Denied::Claims),
        ("", Denied::Claims),
        ("null", Denied::Claims),
        (r#"{"sub":"alice","exp":1700000060} {}"#, Denied::Claims),
    ] {
        let token = sign_text("secret", r#"{"alg":"HS256"}"#, claims);
        assert_eq!(decide(&keys("secret"), &token), Err(why), "{claims}");
    }
    // Deep nesting does not overflow the stack.
    let deep = format!(r#"{{"x":{}"#, "[".repeat(2000));
    let token = sign_text("secret", r#"{"alg":"HS256"}"#, &deep);
    assert_eq!(decide(&keys("secret"), &token), Err(Denied::Claims));
    // Unknown claims are ignored.
    let more = r#"{"sub":"\u0061lice","exp":1700000060.5,"admin":[{"x":null}]}"#;
    let token = sign_text("secret", r#"{"alg":"HS256"}"#, more);
    assert_eq!(decide(&keys("secret"), &token), Ok(TakeoverBy::Subject));
}

#[test]
fn a_reason_shows_nothing_of_a_token() {
    let private = "Sesame";
    let header = json!({ "alg": private, "kid": private }).to_string();
    let claims = json!({ "sub": private, "exp": private }).to_string();
    let tokens = [
        format!("{private}.{private}.{private}"),
        format!("{}.{}.", encode(header), encode(&claims)),
        sign_text("secret", r#"{"alg":"HS256"}"#, &claims),
    ];
    for token in tokens {
        let denied = decide(&keys("secret"), &token).unwrap_err();
        assert!(!format!("{denied} {denied:?}").contains(private), "{denied:?}");
    }
    assert!(!format!("{:?}", token(private)).contains(private));
}

proptest! {
    #[test]
    fn no_change_of_one_character_leaves_a_token_valid(at in 0usize..4096, with in any::<char>()) {
        for name in ["secret", "ed", "ec"] {
            let token = good(name);
            let at = at % token.len();
            let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(decide(&keys(name), &changed).is_ok(), changed == token);
        }
    }

    #[test]
    fn no_text_is_a_token(text in "\\PC{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 0..5)) {
        for name in ["secret", "rsa", "ec", "ed"] {
            prop_assert!(decide(&keys(name), &text).is_err());
            prop_assert!(decide(&keys(name), &parts.join(".")).is_err());
        }
    }

    #[test]
    fn any_json_may_be_in_the_claims(text in "[\\[\\]{}\":,a-z0-9.eE+-]{0,80}") {
        let token = sign_text("secret", r#"{"alg":"HS256"}"#, &text);
        prop_assert!(decide(&keys("secret"), &token).is_err());
    }
}
