//! The serializations, on the messages of a data channel.

use bytes::Bytes;
use peerbroker_serialization::Value;
use peerbroker_serialization::binary_pack::{BinaryPackError, pack, unpack};
use peerbroker_serialization::{
    DEFAULT_MAX_MESSAGE_BYTES, DecodeError, Decoded, Decoder, EncodeError, Encoder, Message, Serialization,
};
use proptest::prelude::*;
use serde_json::json;

fn decoder(serialization: Serialization) -> Decoder {
    Decoder::new(serialization, DEFAULT_MAX_MESSAGE_BYTES)
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

/// A chunk with these members, of which each may be wrong.
fn chunk(id: f64, n: f64, total: f64, data: impl Into<Value>) -> Message {
    let members =
        [("__peerData", id.into()), ("n", n.into()), ("data", data.into()), ("total", total.into())];
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Message::Bytes(pack(&Value::Object(members)).unwrap().into())
}

#[test]
fn serializations_have_the_names_of_peerjs() {
    for (name, serialization) in [
        ("binary", Serialization::Binary),
        ("binary-utf8", Serialization::Binary),
        ("json", Serialization::Json),
        ("raw", Serialization::Raw),
        ("none", Serialization::Raw),
    ] {
        assert_eq!(name.parse(), Ok(serialization));
        assert_eq!(serialization.name().parse(), Ok(serialization));
    }
    let unknown = "MsgPack".parse::<Serialization>().unwrap_err();
    assert!(unknown.to_string().contains("\"MsgPack\""));
}

#[test]
fn a_page_closes_a_connection_by_a_message() {
    let close = Value::from(json!({ "__peerData": { "type": "close" } }));
    for serialization in [Serialization::Binary, Serialization::Json] {
        let message = Encoder::new(serialization).encode(&close).unwrap().remove(0);
        assert_eq!(decoder(serialization).decode(message).unwrap(), Some(Decoded::Close));
    }
    let data = Value::from(json!({ "__peerData": "close" }));
    let message = Encoder::new(Serialization::Binary).encode(&data).unwrap().remove(0);
    assert_eq!(decoder(Serialization::Binary).decode(message).unwrap(), Some(Decoded::Value(data)));
}

#[test]
fn json_is_read_from_texts_and_bytes_and_sent_as_bytes() {
    let value = Value::from(json!({ "a": [1, 0.1 + 0.2, null, "é"] }));
    let messages = Encoder::new(Serialization::Json).encode(&value).unwrap();
    let json = r#"{"a":[1,0.30000000000000004,null,"é"]}"#;
    assert_eq!(messages, [Message::Bytes(json.into())]);
    for message in [text(json), Message::Bytes(json.into())] {
        let decoded = decoder(Serialization::Json).decode(message).unwrap();
        assert_eq!(decoded, Some(Decoded::Value(value.clone())));
    }
    assert!(matches!(decoder(Serialization::Json).decode(text("{")), Err(DecodeError::Json(_))));
}

#[test]
fn json_is_refused_where_peerjs_refuses_it() {
    let mut encoder = Encoder::new(Serialization::Json);
    // With quotes.
    assert!(encoder.encode(&"a".repeat(16_297).into()).is_ok());
    let error = encoder.encode(&"a".repeat(16_298).into()).unwrap_err();
    assert_eq!(error, EncodeError::TooLong(16_300));
    assert!(error.to_string().contains("use `binary`"));
    for value in [Value::from(vec![1]), Value::from(f64::NAN), Value::Undefined] {
        assert!(matches!(encoder.encode(&value), Err(EncodeError::Json(_))), "{value:?}");
    }
}

#[test]
fn only_a_raw_connection_has_texts() {
    let mut encoder = Encoder::new(Serialization::Raw);
    for (value, message) in [
        (Value::from("{}"), text("{}")),
        (Value::from(vec![0xc0]), Message::Bytes(Bytes::from_static(b"\xc0"))),
    ] {
        assert_eq!(encoder.encode(&value), Ok(vec![message.clone()]));
        assert_eq!(decoder(Serialization::Raw).decode(message).unwrap(), Some(Decoded::Value(value)));
    }
    assert_eq!(encoder.encode(&Value::Null), Err(EncodeError::NotRaw));
    let refused = decoder(Serialization::Binary).decode(text("a"));
    assert!(matches!(refused, Err(DecodeError::Unpack(BinaryPackError::Wrong(_)))));
}

#[test]
fn chunks_that_contradict_are_refused() {
    let one = || Value::from(vec![0]);
    for second in [
        chunk(1.0, 0.0, 2.0, one()),
        chunk(1.0, 2.0, 2.0, one()),
        chunk(1.0, 1.0, 3.0, one()),
        chunk(1.0, 0.5, 2.0, one()),
        chunk(1.0, -1.0, 2.0, one()),
        chunk(1.0, 1.0, f64::NAN, one()),
        chunk(2.0, 0.0, 0.0, one()),
        chunk(1.0, 1.0, 2.0, "not bytes"),
    ] {
        let mut decoder = decoder(Serialization::Binary);
        assert_eq!(decoder.decode(chunk(1.0, 0.0, 2.0, one())).unwrap(), None);
        let refused = decoder.decode(second.clone());
        assert!(matches!(refused, Err(DecodeError::WrongChunk)), "{second:?}: {refused:?}");
    }
}

#[test]
fn unfinished_messages_are_bounded() {
    let mut messages = decoder(Serialization::Binary);
    for id in 1..=16 {
        assert_eq!(messages.decode(chunk(id.into(), 0.0, 2.0, vec![0])).unwrap(), None);
    }
    let refused = messages.decode(chunk(17.0, 0.0, 2.0, vec![0]));
    assert!(matches!(refused, Err(DecodeError::TooManyUnfinished)));
    // One ends, so another may begin.
    let null = Some(Decoded::Value(Value::Null));
    assert_eq!(messages.decode(chunk(1.0, 1.0, 2.0, vec![])).unwrap(), Some(Decoded::Value(0.into())));
    assert_eq!(messages.decode(chunk(17.0, 0.0, 2.0, vec![0xc0])).unwrap(), None);
    assert_eq!(messages.decode(chunk(17.0, 1.0, 2.0, vec![])).unwrap(), null);

    let mut bytes = Decoder::new(Serialization::Binary, 10_000);
    assert!(matches!(bytes.decode(chunk(1.0, 0.0, 4e9, vec![0])), Err(DecodeError::TooLong(10_000))));
    assert_eq!(bytes.decode(chunk(1.0, 0.0, 3.0, vec![0; 5000])).unwrap(), None);
    assert!(matches!(bytes.decode(chunk(2.0, 0.0, 2.0, vec![0; 5000])), Err(DecodeError::TooLong(_))));
    // A chunk without bytes costs memory too.
    let mut empty = Decoder::new(Serialization::Binary, 10_000);
    let kept = (0..78).take_while(|n| empty.decode(chunk(1.0, (*n).into(), 78.0, vec![])).is_ok());
    assert!(kept.count() < 70);
}

#[test]
fn a_chunk_in_a_chunk_is_a_value() {
    let Message::Bytes(inner) = chunk(1.0, 0.0, 1.0, vec![0]) else { panic!("bytes") };
    let decoded = decoder(Serialization::Binary).decode(chunk(1.0, 0.0, 1.0, inner.clone())).unwrap();
    assert_eq!(decoded, Some(Decoded::Value(unpack(inner).unwrap())));
}

proptest! {
    #[test]
    fn chunks_of_several_messages_arrive_in_any_order(
        (lengths, order) in prop::collection::vec(16_300_usize..60_000, 1..5).prop_flat_map(|lengths| {
            let chunks = lengths.iter().map(|length| (length + 3).div_ceil(16_300)).sum();
            (Just(lengths), Just((0..chunks).collect::<Vec<usize>>()).prop_shuffle())
        })
    ) {
        let mut encoder = Encoder::new(Serialization::Binary);
        let values = lengths.iter().zip(0..).map(|(length, n)| Value::from(vec![n; *length]));
        let values: Vec<_> = values.collect();
        let messages: Vec<_> = values.iter().flat_map(|value| encoder.encode(value).unwrap()).collect();
        prop_assert_eq!(messages.len(), order.len());
        let mut decoder = decoder(Serialization::Binary);
        let decoded = order.iter().filter_map(|at| decoder.decode(messages[*at].clone()).unwrap());
        let decoded: Vec<_> = decoded.collect();
        prop_assert_eq!(decoded.len(), values.len());
        prop_assert!(values.into_iter().all(|value| decoded.contains(&Decoded::Value(value))));
    }
}

#[test]
fn values_are_json_and_back() {
    let json = json!({ "a": [1, -1.5, true, null, "text", { "b": [] }], "c": 1e300 });
    let value = Value::from(json.clone());
    assert_eq!(value.get("a"), Some(&Value::from(json["a"].clone())));
    assert_eq!(serde_json::Value::try_from(value), Ok(json));
    let gone = Value::Object(vec![("gone".to_owned(), Value::Undefined)]);
    let list = Value::Array(vec![Value::Undefined, gone]);
    assert_eq!(serde_json::Value::try_from(list), Ok(json!([null, {}])));
    let error = serde_json::Value::try_from(Value::Array(vec![f64::NAN.into()])).unwrap_err();
    assert!(error.to_string().starts_with("JSON cannot hold NaN"));
}

#[test]
fn values_are_shown_as_people_read_them() {
    for (value, shown) in [
        (Value::from("a \"text\""), "a \"text\""),
        (Value::from(vec![1, 2, 3]), "3 bytes"),
        (Value::Undefined, "undefined"),
        (Value::from(f64::INFINITY), "inf"),
        (Value::from(7_u64), "7"),
        (Value::Array(vec![vec![1].into(), "b".into(), Value::Null]), r#"["1 bytes","b",null]"#),
    ] {
        assert_eq!(value.to_string(), shown);
    }
    assert_eq!(Value::from("a").as_str(), Some("a"));
    assert_eq!(Value::Null.as_str(), None);
}

/// A message is not copied once more for its bytes.
#[test]
fn bytes_are_slices_of_their_message() {
    let packed = Bytes::from(pack(&Value::from(vec![7; 1000])).unwrap());
    let Ok(Value::Bytes(bytes)) = unpack(packed.clone()) else { panic!("bytes") };
    assert!(packed.as_ptr_range().contains(&bytes.as_ptr()));
}
