//! Compares BinaryPack with PeerJS's own encoder, and reads hostile bytes.

#[path = "../../../tests/fuzz/peer.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use peerbroker_serialization::Value;
use peerbroker_serialization::binary_pack::{BinaryPackError, MAX_DEPTH, MAX_ELEMENTS, pack, unpack};
use peerbroker_serialization::{
    DEFAULT_MAX_MESSAGE_BYTES, Decoded, Decoder, Encoder, Message, Serialization,
};
use proptest::prelude::*;
use serde_json::Value as Json;

/// Reads runs of bytes: `00*3 ff`.
fn bytes(runs: &Json) -> Vec<u8> {
    let run = |run: &str| {
        let (byte, times) = run.split_once('*').unwrap_or((run, "1"));
        vec![u8::from_str_radix(byte, 16).unwrap(); times.parse().unwrap()]
    };
    runs.as_str().unwrap().split_whitespace().flat_map(run).collect()
}

fn value(described: &Json) -> Value {
    let Some((kind, of)) = described.as_object().and_then(|object| object.iter().next()) else {
        return match described {
            Json::Array(items) => Value::Array(items.iter().map(value).collect()),
            plain => plain.clone().into(),
        };
    };
    let member = |pair: &Json| (pair[0].as_str().unwrap().to_owned(), value(&pair[1]));
    match kind.as_str() {
        "$undefined" => Value::Undefined,
        "$nan" => Value::Number(f64::NAN),
        "$bytes" => Value::from(bytes(of)),
        "$text" => Value::from(String::from_utf8(bytes(of)).unwrap()),
        "$object" => Value::Object(of.as_array().unwrap().iter().map(member).collect()),
        _ => panic!("{kind}"),
    }
}

fn vectors(kind: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(include_str!("binary_pack.json")).unwrap();
    all[kind].as_array().unwrap().clone()
}

#[test]
fn values_are_packed_as_peerjs_packs_them_and_come_back() {
    for vector in vectors("vectors") {
        let value = value(&vector["value"]);
        let packed = bytes(&vector["packed"]);
        assert_eq!(pack(&value).unwrap(), packed, "{vector}");
        // NaN is not equal to itself, but is written as itself. PeerJS sends null for undefined.
        let wanted = format!("{value:?}").replace("Undefined", "Null");
        assert_eq!(format!("{:?}", unpack(packed.into()).unwrap()), wanted);
    }
}

#[test]
fn long_values_go_in_the_chunks_of_peerjs() {
    let mut encoder = Encoder::new(Serialization::Binary);
    let mut decoder = Decoder::new(Serialization::Binary, DEFAULT_MAX_MESSAGE_BYTES);
    for vector in vectors("chunked") {
        let value = Value::from(vec![7; vector["length"].as_u64().unwrap() as usize]);
        let wanted: Vec<_> = vector["messages"].as_array().unwrap().iter().map(bytes).collect();
        let messages = encoder.encode(&value).unwrap();
        assert!(
            messages == wanted.into_iter().map(|message| Message::Bytes(message.into())).collect::<Vec<_>>()
        );
        let mut decoded: Vec<_> =
            messages.into_iter().map(|message| decoder.decode(message).unwrap()).collect();
        assert_eq!(decoded.pop(), Some(Some(Decoded::Value(value))));
        assert!(decoded.iter().all(Option::is_none));
    }
}

/// PeerJS throws for the first ones, and sends other numbers for the last ones.
#[test]
fn numbers_arrive_that_peerjs_cannot_send() {
    let two = 2_f64;
    let large = [f64::INFINITY, -f64::INFINITY, 1e300, two.powi(63), two.powi(64)];
    // PeerJS reads negative integers of 64 bits as others, and doubles right.
    let negative = [-two.powi(31) - 1.0, -two.powi(53) + 1.0, -two.powi(63)];
    for number in [&large[..], &negative, &[two.powi(-29), 5e-324]].concat() {
        let packed = pack(&Value::Number(number)).unwrap();
        assert_eq!(packed.len(), 9);
        assert!(number > 0.0 || packed[0] == 0xcb, "{number}");
        assert_eq!(unpack(packed.into()), Ok(Value::Number(number)));
    }
    assert_eq!(pack(&Value::Number(-0.0)).unwrap(), [0]);
    let of_page = b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff";
    assert_eq!(unpack(Bytes::from_static(of_page)), Ok(Value::Number(-two.powi(31) - 1.0)));
}

#[test]
fn lists_and_objects_may_be_long() {
    let list = Value::Array(vec![Value::Null; 65_536]);
    let object = Value::Object((0..65_536).map(|n| (n.to_string(), Value::Null)).collect());
    for (value, head) in [(list, [0xdd, 0, 1, 0, 0]), (object, [0xdf, 0, 1, 0, 0])] {
        let packed = pack(&value).unwrap();
        assert!(packed.starts_with(&head));
        assert!(unpack(packed.into()) == Ok(value));
    }
    let list = Value::Array(vec![Value::Null; MAX_ELEMENTS + 1]);
    let object = Value::Object(vec![(String::new(), Value::Null); MAX_ELEMENTS / 2 + 1]);
    for value in [list, object] {
        assert_eq!(unpack(pack(&value).unwrap().into()), Err(BinaryPackError::TooMany));
    }
}

#[test]
fn levels_are_limited_alike_in_both_directions() {
    let nested = |levels| (1..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(unpack(pack(&deepest).unwrap().into()), Ok(deepest));
    assert_eq!(pack(&nested(MAX_DEPTH + 1)), Err(BinaryPackError::TooDeep));
    assert_eq!(unpack(vec![0x91; 1_000_000].into()), Err(BinaryPackError::TooDeep));
}

/// None of them allocates what it claims: that would be hundreds of GB.
#[test]
fn bytes_that_peerjs_does_not_write_are_refused() {
    let wrong = |bytes: &'static [u8]| unpack(Bytes::from_static(bytes)).unwrap_err();
    for cut in [
        &b""[..],
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffa",
        b"\xd9\xff\xff\xff\xffa",
        b"\x91\xdd\xff\xff\xff\xff\0",
        b"\x92\0",
        b"\x81\xb1a",
        b"\xb2a",
        b"\xcd\0",
        b"\xcb\0\0\0\0\0\0\0",
    ] {
        assert_eq!(wrong(cut), BinaryPackError::CutOff, "{cut:?}");
    }
    for bytes in [&b"\0\0"[..], b"\xb1\xff", b"\x81\0\0", b"\xc4", b"\xd7"] {
        assert!(matches!(wrong(bytes), BinaryPackError::Wrong(_)), "{bytes:?}");
    }
    assert_eq!(unpack(Bytes::from_static(b"\xca\x3f\x80\0\0")), Ok(Value::Number(1.0)));
    assert_eq!(unpack(Bytes::from_static(b"\xc1")), Ok(Value::Undefined));
}

#[test]
fn every_input_of_the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, target) in
        [("binary_pack", fuzz::binary_pack as fn(&[u8])), ("pipe_frames", fuzz::pipe_frames)]
    {
        let inputs: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() > 3, "{name} has a corpus");
        for input in inputs {
            eprintln!("{}", input.display());
            target(&fs::read(input).unwrap());
        }
    }
}

/// Any value, without those that arrive as others: NaN is not equal to itself, `undefined` is null.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (prop::num::f64::ANY | prop::num::f64::INFINITE)
            .prop_filter("NaN", |number| !number.is_nan())
            .prop_map(Value::from),
        any::<(i64, u8)>().prop_map(|(number, bits)| Value::from(number >> (bits % 64))),
        "\\PC{0,20}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 100, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((".{0,5}", inner), 0..20).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn a_packed_value_comes_back(value in any_value()) {
        prop_assert_eq!(unpack(pack(&value).unwrap().into()), Ok(value));
    }

    #[test]
    fn a_cut_value_is_refused(value in any_value(), at in any::<prop::sample::Index>()) {
        let mut packed = pack(&value).unwrap();
        packed.truncate(at.index(packed.len()));
        prop_assert_eq!(unpack(packed.into()), Err(BinaryPackError::CutOff));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::binary_pack(&bytes);
        fuzz::pipe_frames(&bytes);
    }
}
