//! Lists of the API that are searched.

use serde_json::{Value, json};

use crate::harness::keys::plain_key;
use crate::harness::ops::with_api;
use crate::topics::{settle, subscribe};

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

#[test]
fn topics_are_listed_in_pages_and_searched() {
    let (server, api) = with_api(&[plain_key("empty")], None, |_| {});
    let _guests = [&["news", "Docs"][..], &["news", "docs-2"]].map(|topics| {
        let mut guest = server.guest("guest");
        guest.send(subscribe(topics));
        settle(&mut guest);
        guest
    });
    let page = |query: &str| api.get(&format!("/api/keys/peerjs/topics{query}"));
    let first = page("?limit=2").json;
    let expected = json!([{"name": "Docs", "subscribers": 1}, {"name": "docs-2", "subscribers": 1}]);
    assert_eq!((&first["topics"], &first["next"]), (&expected, &json!("docs-2")));
    assert_eq!(
        page("?after=docs-2").json,
        json!({"topics": [{"name": "news", "subscribers": 2}], "next": null})
    );
    assert_eq!(names(&page("?search=DOCS").json, "topics", "name"), ["Docs", "docs-2"]);
    assert_eq!(api.get("/api/keys/empty/topics").json, json!({"topics": [], "next": null}));
    // They are no rooms.
    assert_eq!(api.get("/api/keys/peerjs/rooms").json["rooms"], json!([]));
    api.get("/api/keys/none/topics").problem(404);
}

#[test]
fn rooms_and_their_members_are_listed_in_pages_and_searched() {
    let (server, api) = with_api(&[plain_key("empty")], None, |_| {});
    let _clients = ["anna", "ben", "carol"].map(|id| {
        let mut client = server.client(id);
        for room in ["lobby", "Hall", "lobby-2", id] {
            let data = if id == "ben" { "" } else { r#","data":{ "n": 1.50, "n": 0 }"# };
            client.send(format!(r#"{{"type":"ROOM-JOIN","room":"{room}"{data}}}"#));
        }
        // The last list.
        while !client.expect_text().contains(&format!(r#""ROOM-MEMBERS","room":"{id}""#)) {}
        client
    });
    let page = |query: &str| api.get(&format!("/api/keys/peerjs/rooms{query}"));
    let first = page("?limit=2").json;
    let expected = json!([{"name": "Hall", "members": 3}, {"name": "anna", "members": 1}]);
    assert_eq!((&first["rooms"], &first["next"]), (&expected, &json!("anna")));
    assert_eq!(names(&page("?after=carol").json, "rooms", "name"), ["lobby", "lobby-2"]);
    assert_eq!(names(&page("?search=LOBBY").json, "rooms", "name"), ["lobby", "lobby-2"]);

    let members = |query: &str| page(&format!("/lobby/members{query}"));
    assert_eq!(names(&members("").json, "members", "id"), ["anna", "ben", "carol"]);
    let first = members("?limit=1");
    let text = String::from_utf8(first.response.body.clone()).unwrap();
    assert_eq!(text, r#"{"members":[{"id":"anna","data":{ "n": 1.50, "n": 0 }}],"next":"anna"}"#);
    let rest = members("?after=anna&limit=1").json;
    assert_eq!(rest, json!({"members": [{"id": "ben"}], "next": "ben"}));
    assert_eq!(names(&members("?search=CAR").json, "members", "id"), ["carol"]);
    assert_eq!(members("?after=carol").json, json!({"members": [], "next": null}));

    assert_eq!(page("/nobody/members").json, json!({"members": [], "next": null}));
    assert_eq!(api.get("/api/keys/empty/rooms").json, json!({"rooms": [], "next": null}));
    api.get("/api/keys/none/rooms").problem(404);
}
