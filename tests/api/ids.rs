//! The ids that the server gives to clients.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::test::{TestRequest, call_and_read_body, init_service};
use actix_web::{App, rt};
use peerbroker::PeerBroker;
use peerbroker_keys::{Change, IdStyle};
use serde_json::json;

use crate::harness::keys::key;
use crate::harness::ops::with_api;

fn style_of(id: &str) -> &'static str {
    let words: Vec<&str> = id.split('-').collect();
    match (id.len(), words.as_slice()) {
        (36, [_, _, _, _, _]) => "uuid",
        (8, [_]) => "short",
        (_, [_, _, _, _]) => "words",
        _ => panic!("{id} has no known style"),
    }
}

#[test]
fn a_key_says_how_the_ids_of_its_clients_look() {
    let short = key("short", Change { id_style: Some(IdStyle::Short), ..Change::default() });
    let plain = key("plain", Change::default());
    let (server, api) =
        with_api(&[short, plain], None, |config| config.key_settings.id_style = IdStyle::Words);
    let style = |key: &str| style_of(server.get(&format!("/{key}/id")).text());
    for (key, wanted) in [("peerjs", "words"), ("unknown", "words"), ("short", "short"), ("plain", "uuid")] {
        assert_eq!(style(key), wanted, "{key}");
    }
    assert_eq!(api.patch("/api/keys/plain", &json!({"id_style": "words"})).json["id_style"], "words");
    assert_eq!(style("plain"), "words", "active at once");
    api.patch("/api/keys/plain", &json!({"id_style": "numbers"})).problem(422);
}

#[test]
fn an_embedding_program_makes_its_own_ids() {
    let count = AtomicUsize::new(0);
    let generate = move |key: &str| match count.fetch_add(1, Ordering::SeqCst) {
        0 => "not\nvalid".to_owned(),
        number => format!("{key} {number}"),
    };
    let broker = PeerBroker::builder().generate_id(generate).build();
    rt::System::new().block_on(async {
        let app = init_service(App::new().configure(broker.mount("/"))).await;
        for wanted in ["peerjs 1", "peerjs 2"] {
            let request = TestRequest::get().uri("/peerjs/id").to_request();
            assert_eq!(call_and_read_body(&app, request).await, wanted);
        }
    });
}
