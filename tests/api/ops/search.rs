//! Lists of the API that are searched.

use serde_json::{Value, json};

use crate::harness::keys::plain_key;
use crate::harness::ops::with_api;

fn names(page: &Value, list: &str, field: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn keys_are_found_by_themselves_and_by_their_names() {
    let (_server, api) = with_api(&[plain_key("chess"), plain_key("go")], None, |_| {});
    assert_eq!(api.patch("/api/keys/go", &json!({"name": "Chessboard"})).status, 200);
    let found = |query: &str| names(&api.get(&format!("/api/keys?{query}")).json, "keys", "key");
    assert_eq!(found("search=CHESS"), ["chess", "go"]);
    assert_eq!(found("search=chess&limit=1"), ["chess"]);
    assert_eq!(found("search=chess&limit=1&after=chess"), ["go"]);
    assert_eq!(found("search=nothing"), [""; 0]);
    assert_eq!(found("search="), ["chess", "go", "peerjs"]);
}

#[test]
fn clients_are_found_by_their_ids_and_addresses_in_pages() {
    let (server, api) = with_api(&[], None, |_| {});
    let _clients = ["anna-1", "anna-2", "Ben", "anna-3"].map(|id| server.client(id));
    let page = |query: &str| api.get(&format!("/api/keys/peerjs/peers?{query}")).json;
    let found = |query: &str| names(&page(query), "peers", "id");
    assert_eq!(found("search=ANNA"), ["anna-1", "anna-2", "anna-3"]);
    assert_eq!(found("search=ben"), ["Ben"]);
    assert_eq!(found("search=127.0"), ["Ben", "anna-1", "anna-2", "anna-3"]);
    assert_eq!(found("search=27.0"), [""; 0]);
    let first = page("search=anna&limit=2");
    assert_eq!(
        (names(&first, "peers", "id"), &first["next"]),
        (vec!["anna-1".into(), "anna-2".into()], &json!("anna-2"))
    );
    let last = page("search=anna&limit=2&after=anna-2");
    assert_eq!((names(&last, "peers", "id"), &last["next"]), (vec!["anna-3".to_owned()], &Value::Null));
    api.get("/api/keys/none/peers?search=a").problem(404);
}
