//! Decisions about the claims of a token.

use proptest::prelude::*;

use super::*;
use crate::verifier::jwt::{Claims, Subject};

const NOW: f64 = 1_700_000_000.0;

fn decide(claims: Value, wanted: &str) -> Result<TakeoverBy, Denied> {
    let claims: Claims = serde_json::from_value(claims).unwrap();
    claims.check(&key(), &id(wanted), NOW)
}

#[test]
fn clocks_may_differ_by_half_a_minute() {
    for (claims, decision) in [
        (json!({ "exp": NOW + 1.0 }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW - 29.0 }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW - 29.5 }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW - 30.0 }), Err(Denied::Expired)),
        (json!({ "exp": NOW - 31.0 }), Err(Denied::Expired)),
        (json!({ "exp": 0 }), Err(Denied::Expired)),
        (json!({ "exp": -1 }), Err(Denied::Expired)),
        (json!({ "exp": f64::MIN }), Err(Denied::Expired)),
        (json!({ "exp": u64::MAX }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": f64::MAX }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW + 60.0, "nbf": NOW }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW + 60.0, "nbf": NOW + 29.0 }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW + 60.0, "nbf": NOW + 30.0 }), Ok(TakeoverBy::Subject)),
        (json!({ "exp": NOW + 60.0, "nbf": NOW + 31.0 }), Err(Denied::NotYet)),
        (json!({ "exp": NOW + 1e9, "nbf": NOW + 1e8 }), Err(Denied::NotYet)),
        (json!({ "exp": NOW + 1e9, "nbf": f64::MAX }), Err(Denied::NotYet)),
        (json!({ "nbf": NOW }), Err(Denied::NoExpiry)),
    ] {
        let mut claims = claims;
        claims["sub"] = "alice".into();
        assert_eq!(decide(claims.clone(), "alice"), decision, "{claims}");
    }
}

#[test]
fn an_audience_must_have_the_key() {
    for (audience, decision) in [
        (json!("peerjs"), Ok(TakeoverBy::Subject)),
        (json!(["peerjs"]), Ok(TakeoverBy::Subject)),
        (json!(["other", "peerjs"]), Ok(TakeoverBy::Subject)),
        (json!("other"), Err(Denied::Audience)),
        (json!(["other"]), Err(Denied::Audience)),
        (json!([]), Err(Denied::Audience)),
        (json!(""), Err(Denied::Audience)),
        (json!("Peerjs"), Err(Denied::Audience)),
        (json!("peerjs "), Err(Denied::Audience)),
        (json!("peerjs,other"), Err(Denied::Audience)),
    ] {
        let claims = json!({ "sub": "alice", "exp": NOW, "aud": audience });
        assert_eq!(decide(claims, "alice"), decision, "{audience}");
    }
}

#[test]
fn a_subject_is_an_id_or_how_it_begins() {
    for (subject, wanted, decision) in [
        ("alice", "alice", Ok(TakeoverBy::Subject)),
        ("alice", "Alice", Err(Denied::Subject)),
        ("alice", "alice2", Err(Denied::Subject)),
        ("alice", "alic", Err(Denied::Subject)),
        ("alice ", "alice", Err(Denied::Subject)),
        ("zoë", "zoë", Ok(TakeoverBy::Subject)),
        // Composed and decomposed letters are different ids, as in the broker.
        ("zoe\u{308}", "zoë", Err(Denied::Subject)),
        // A Cyrillic letter.
        ("\u{430}lice", "alice", Err(Denied::Subject)),
        ("guest-*", "guest-1", Ok(TakeoverBy::Token)),
        ("guest-*", "guest-", Ok(TakeoverBy::Token)),
        ("guest-*", "guest-*", Ok(TakeoverBy::Token)),
        ("guest-*", "guest", Err(Denied::Subject)),
        ("guest-*", "Guest-1", Err(Denied::Subject)),
        ("guest-*", "a guest-1", Err(Denied::Subject)),
        // Only the last star is a wildcard.
        ("a**", "a*b", Ok(TakeoverBy::Token)),
        ("a**", "ab", Err(Denied::Subject)),
        ("a*b", "a*b", Ok(TakeoverBy::Subject)),
        ("a*b", "aXb", Err(Denied::Subject)),
        ("*a", "bca", Err(Denied::Subject)),
        ("日本*", "日本語", Ok(TakeoverBy::Token)),
        ("日本*", "日", Err(Denied::Subject)),
        ("*", "alice", Err(Denied::EveryId)),
        ("*", "*", Err(Denied::EveryId)),
        ("**", "*x", Ok(TakeoverBy::Token)),
        ("", "alice", Err(Denied::NoSubject)),
    ] {
        let claims = json!({ "sub": subject, "exp": NOW });
        assert_eq!(decide(claims, wanted), decision, "{subject:?} for {wanted:?}");
    }
    assert_eq!(decide(json!({ "exp": NOW }), "alice"), Err(Denied::NoSubject));
}

/// The hint for the operator, of a token that nobody has signed.
fn hint(denied: Denied, claims: &str) -> String {
    let token = format!("{}.{}.", encode(r#"{"alg":"HS256","kid":"k1"}"#), encode(claims));
    crate::verifier::hint::of(&denied, &token, &key(), NOW)
}

#[test]
fn a_hint_says_what_the_token_has_instead_in_a_bounded_line() {
    for (denied, claims, words) in [
        (Denied::Expired, r#"{"exp":1699999960}"#, "it expired 40 s ago"),
        (Denied::Expired, r#"{"exp":1699000000}"#, "it expired 12 days ago"),
        (Denied::NotYet, r#"{"nbf":1700000300}"#, "it is valid only 5 min from now: the clock of its issuer"),
        (Denied::NotYet, r#"{"nbf":1700000000000}"#, "its nbf is in milliseconds"),
        (Denied::Audience, r#"{"aud":["a","b"]}"#, r#"its aud is ["a","b"], and has to be "peerjs""#),
        (
            Denied::Claims,
            r#"{"exp":"1700000060"}"#,
            r#"its exp is a text: "1700000060", and has to be a number"#,
        ),
        (Denied::Claims, r#"{"exp":null}"#, "its exp is empty: null"),
        (Denied::Claims, r#"{"exp":1,"aud":["peerjs",1]}"#, "its aud is a list: "),
        (Denied::Claims, r#"{"exp":1,"sub":7}"#, "its sub is a number: 7"),
        (Denied::Claims, r#"[]"#, "JSON object"),
        (Denied::UnknownKeyId, "{}", r#"its kid is "k1""#),
        (Denied::Subject, r#"{"sub":"a\u202eb\n"}"#, r#"its sub is "a\u202eb\n""#),
        (
            Denied::Subject,
            r#"{"sub":"auth0|64f"}"#,
            r#"its sub is "auth0|64f", which PeerJS takes for no id: have"#,
        ),
        (
            Denied::Audience,
            r#"{"aud":"api","sub":"auth0|64f"}"#,
            r#"or missing; its sub is "auth0|64f", which"#,
        ),
    ] {
        let hint = hint(denied, claims);
        assert!(hint.contains(words), "{claims}: {hint}");
    }
    let long = format!(r#"{{"sub":"{}"}}"#, "x".repeat(5000));
    assert!(hint(Denied::Subject, &long).len() < 100);
    // Garbage of a stranger.
    for token in ["", "..", "a.b.c", "%.%.%"] {
        let hint = crate::verifier::hint::of(&Denied::Expired, token, &key(), NOW);
        assert!(hint.contains("ago"), "{hint}");
    }
}

#[test]
fn claims_that_are_surely_wrong_are_found_in_valid_tokens() {
    let odd = |claims: Value| serde_json::from_value::<Claims>(claims).unwrap().odd(NOW);
    assert_eq!(odd(json!({ "exp": NOW + 3600.0, "iat": NOW })), None);
    assert_eq!(odd(json!({ "exp": NOW + 3600.0, "iat": NOW + 30.0 })), None, "clocks may differ");
    assert_eq!(odd(json!({ "exp": NOW + 3600.0, "iat": "yesterday" })), None);
    assert_eq!(odd(json!({ "exp": NOW + 3600.0, "iat": NOW + 31.0 })), Some(OddClaim::IssuedLater(31.0)));
    assert_eq!(odd(json!({ "exp": NOW * 1000.0 })), Some(OddClaim::ExpiryInMilliseconds));
    // In the year 3000, as somebody may write who wants no end.
    assert_eq!(odd(json!({ "exp": 32_503_680_000_u64 })), None);
}

proptest! {
    #[test]
    fn a_token_allows_what_it_says_and_nothing_else(
        exp in prop::option::of(-100i32..100),
        nbf in prop::option::of(-100i32..100),
        aud in prop::option::of(prop::collection::vec(prop::sample::select(vec!["peerjs", "other", ""]), 0..3)),
        sub in prop::option::of("[ab*]{0,4}"),
        wanted in "[ab*]{1,4}",
    ) {
        let at = |offset: i32| NOW + f64::from(offset);
        let mut claims = json!({});
        for (name, value) in [
            ("exp", exp.map(|exp| at(exp).into())),
            ("nbf", nbf.map(|nbf| at(nbf).into())),
            ("aud", aud.clone().map(Value::from)),
            ("sub", sub.clone().map(Value::from)),
        ] {
            if let Some(value) = value {
                claims[name] = value;
            }
        }

        let in_time = exp.is_some_and(|exp| exp > -30) && nbf.is_none_or(|nbf| nbf <= 30);
        let for_this = aud.is_none_or(|aud| aud.contains(&"peerjs"));
        let sub = sub.unwrap_or_default();
        let allowed = match sub.strip_suffix('*') {
            Some(prefix) => !prefix.is_empty() && wanted.starts_with(prefix),
            None => sub == wanted,
        };
        let decided = decide(claims.clone(), &wanted);
        prop_assert_eq!(decided.is_ok(), in_time && for_this && allowed, "{}: {:?}", claims, decided);
        prop_assert!(decided.is_err() || (decided == Ok(TakeoverBy::Token)) == sub.ends_with('*'));
    }

    #[test]
    fn later_is_never_better(exp in 0u32..2_000_000_000, early in 0u32..2_000_000_000, more in 0u32..1_000_000) {
        let claims: Claims = serde_json::from_value(json!({ "sub": "alice", "exp": exp })).unwrap();
        let [early, late] = [f64::from(early), f64::from(early) + f64::from(more)].map(|now| claims.subject(&key(), now));
        prop_assert!(late.is_err() || early == Ok(Subject::Exactly("alice")));
    }
}
