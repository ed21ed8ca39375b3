use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn is_object(text: &str) -> bool {
    members(text, |_, _| {}).is_some()
}

fn is_object_to_serde(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'))
}

proptest! {
    #[test]
    fn the_end_of_a_long_string_is_found_among_quotes_that_are_escaped(
        pieces in prop::collection::vec((prop::sample::select(vec!["a", "\\\"", "\\\\", "a\\\"", "\\\"b"]), 1usize..70), 1..8)
    ) {
        let string: String = pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect();
        let rest = pieces.iter().map(|(piece, _)| *piece).collect::<String>();
        prop_assert_eq!(end_of_string(format!("{string}\"{rest}").as_bytes()), Some(string.len()));
    }
}

proptest! {
    #[test]
    fn the_elements_of_a_list_are_those_that_serde_finds(text in nearly_json(), count in 0..2 * MAX_ELEMENTS) {
        for text in [text.clone(), format!("[{text}]"), format!("[{}1]", format!("{text},").repeat(count))] {
            let listed = serde_json::from_str::<Vec<&RawValue>>(&text).ok();
            let expected: Option<Vec<&str>> =
                listed.map(|listed| listed.into_iter().map(RawValue::get).take(MAX_ELEMENTS).collect());
            let frame = format!("{{\"l\":{text}}}");
            let object = Object::parse_with(&frame, &["l"]).filter(|object| object.members.len() == 1);
            let found = object.as_ref().and_then(|object| object.list("l"));
            if found.is_some() || expected.is_some() {
                prop_assert_eq!(found.map(<[_]>::to_vec), expected, "{:?}", frame);
            }
        }
    }
}

#[test]
fn an_object_has_a_limited_number_of_members() {
    let object = |count: usize| format!("{{{}}}", vec![r#""a":{"b":1}"#; count].join(","));
    assert!(Object::parse(&object(MAX_MEMBERS)).is_some());
    assert!(Object::parse(&object(MAX_MEMBERS + 1)).is_none());
    let around = |count: usize| format!(r#"{{"around":{},"more":1}}"#, object(count));
    for (count, is_read) in [(MAX_MEMBERS, true), (MAX_MEMBERS + 1, false), (10 * MAX_MEMBERS, false)] {
        let around = around(count);
        let frame = Object::parse_with(&around, &["around"]).unwrap();
        assert_eq!(frame.object("around").is_some(), is_read);
        assert_eq!((frame.get("around"), frame.get("more")), (Some(&*object(count)), Some("1")));
    }
}

#[test]
fn a_short_string_may_consist_of_escapes() {
    let escapes = |count: usize| format!("\"{}\"", r"\u00e9".repeat(count));
    assert_eq!(short_string(&escapes(20), 20).as_deref(), Some(&*"é".repeat(20)));
    assert_eq!(short_string(&escapes(21), 20), None);
    assert_eq!(short_string("1", 20), None);
}

#[test]
fn parts_are_those_of_the_last_duplicate() {
    let text = r#"{"a":{"b":1},"c":[1, {"a":[2]} ,"b" ] ,"\u0061":{"b":2}, "d":{"b":3},"d":1}"#;
    let mut frame = Object::parse_with(text, &["a", "c", "d"]).unwrap();
    assert_eq!(frame.list("c"), Some(&["1", r#"{"a":[2]}"#, r#""b""#][..]));
    assert_eq!(frame.get("c"), Some(r#"[1, {"a":[2]} ,"b" ]"#));
    assert_eq!(frame.object("a").and_then(|a| a.get("b")), Some("2"));
    assert!(frame.object("d").is_none() && frame.object("c").is_none() && frame.list("a").is_none());
    assert_eq!(frame.take_object("a").and_then(|a| a.get("b")), Some("2"));
}

/// Text that is almost JSON: tokens of JSON in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\"", "\\\\", "\\u", "00e9", "\\n", "\\q", "a", "é", " ",
        "\n", "\u{1}", "0", "1", "-", ".", "e", "E+", "true", "false", "null", "\"a\":", "{\"a\":", "[1,",
        "\"\"", "12.5e-3", "\\u12g4", "\u{7f}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn objects_are_the_same_as_for_serde_json(text in nearly_json()) {
        for text in [text.clone(), format!("{{\"a\":{text}}}"), format!("{{{text}}}"), format!("{{\"{text}\":[{text}]}}")] {
            prop_assert_eq!(is_object(&text), is_object_to_serde(&text), "{:?}", text);
        }
    }

    #[test]
    fn an_object_with_one_wrong_character_is_judged_as_by_serde_json(at in 0usize..60, with in any::<char>()) {
        let object = r#"{"a":[1,-2.5e+3,{"b\n":"é\u00e9\\"},[],{}],"c":null,"d":true}"#;
        let changed: String = object.chars().enumerate().map(|(n, c)| if n == at { with } else { c }).collect();
        prop_assert_eq!(is_object(&changed), is_object_to_serde(&changed), "{:?}", changed);
    }
}

#[test]
fn members_come_in_order_and_as_raw_text() {
    let mut found = Vec::new();
    let text = " { \"a\" : 1e400 ,\n\"\\u0061\":{ \"b\": [ ] } , \"\":\"\\\"\\\\\" } ";
    members(text, |name, value| found.push((name.written(), value))).unwrap();
    assert_eq!(found, [("\"a\"", "1e400"), ("\"\\u0061\"", "{ \"b\": [ ] }"), ("\"\"", "\"\\\"\\\\\"")]);
}

#[test]
fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
    let parts = ["", "a", "\\\\", "\\\"", "\\\"\\\\", "\\\\\\\"", "é\\\"a", "\\n", "a\\\"", "a\\\"\\\\b"];
    for part in parts {
        for times in (1..100).chain([1000]) {
            let string = part.repeat(times);
            let text = format!("{string}\"{string}\"");
            assert_eq!(end_of_string(text.as_bytes()), Some(string.len()), "{times} × {part:?}");
            assert_eq!(end_of_string(string.as_bytes()), None, "{times} × {part:?}");
            assert!(is_object(&format!("{{\"{string}\":\"{string}\"}}")), "{times} × {part:?}");
        }
    }
}

#[test]
fn nested_values_cost_no_stack() {
    let deep =
        |open: &str, close: &str| format!("{{\"a\":{}1{}}}", open.repeat(200_000), close.repeat(200_000));
    assert!(is_object(&deep("[", "]")));
    assert!(is_object(&deep("{\"a\":", "}")));
    assert!(!is_object(&deep("[", "}")));
}

/// True if the name between these quotes means `wanted`.
fn is_name(written: &str, wanted: &str) -> bool {
    let mut is_name = false;
    let object = format!("{{\"{written}\":1}}");
    members(&object, |name, _| is_name = name.is(wanted)).is_some() && is_name
}

proptest! {
    #[test]
    fn each_bracket_is_closed_by_its_own(objects in prop::collection::vec(any::<bool>(), 1..300), wrong in any::<prop::sample::Index>()) {
        let wrong = wrong.index(objects.len());
        let open: String = objects.iter().map(|is_object| if *is_object { "{\"a\":" } else { "[" }).collect();
        let close = |is_object: bool| if is_object { '}' } else { ']' };
        let closed = |wrong: Option<usize>| {
            let ends = objects.iter().enumerate().rev();
            let ends: String = ends.map(|(n, is_object)| close(*is_object != (Some(n) == wrong))).collect();
            format!("{{\"a\":{open}1{ends}}}")
        };
        prop_assert!(is_object(&closed(None)));
        prop_assert!(!is_object(&closed(Some(wrong))));
        prop_assert!(!is_object(&closed(None)[..open.len() + objects.len() / 2]));
    }
}

/// Names that mean `type`, or almost.
fn nearly_a_name() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "t",
        "y",
        "p",
        "e",
        "\\u0074",
        "\\u0079",
        "\\u0070",
        "\\u0065",
        "\\u006",
        "\\u00",
        "\\t",
        "\\n",
        "\\q",
        "\\",
        "\\/",
        "/",
        "🙂",
        "\\ud83d",
        "\\ude42",
        "\\uD83D\\uDE42",
        "\\u00E9",
        "é",
        "",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn names_mean_the_same_as_for_serde_json(written in nearly_a_name(), wanted in nearly_a_name()) {
        let read = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).ok();
        let meant = read(&written);
        let is_known = |name: &String| name.len() <= LONGEST_NAME;
        let is_name = |wanted: &str| is_name(&written, wanted);
        prop_assert_eq!(is_name("type"), meant.as_deref() == Some("type"), "{:?}", written);
        if let Some(meant) = meant.as_ref().filter(|meant| is_known(meant)) {
            prop_assert!(is_name(meant), "{written:?} is {meant:?}");
        }
        if let Some(wanted) = read(&wanted).filter(is_known) {
            prop_assert_eq!(is_name(&wanted), meant == Some(wanted), "{:?}", written);
        }
    }
}

#[test]
fn every_escape_in_a_name_is_understood() {
    for (all, meant) in
        [(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"), (r"\u0041\u00e9\u00E9\ud83d\ude42", "Aéé🙂")]
    {
        assert!(is_name(all, meant), "{all}");
    }
    for none in
        [r"\ud83d", r"\ude42", r"\ud83dx", r"\ud83d\n", r"\ud83d\ud83d", r"\u00g9", r"\u+0e9", r"\q", "\\"]
    {
        assert!(!is_name(none, "x") && !is_name(none, "") && !is_name(none, "\u{fffd}"), "{none}");
    }
}
