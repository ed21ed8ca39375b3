//! The API does what its description says. This calls each operation.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::api::{Answer, Api};
use crate::harness::ops::with_api;

/// The operations in an order that works, with the client `alice` connected after the key was added.
const ORDER: [&str; 34] = [
    "log_in",
    "add_key",
    "list_keys",
    "show_key",
    "change_key",
    "list_peers",
    "show_peer",
    "show_reports",
    "list_rooms",
    "list_members",
    "list_topics",
    "send_to_peer",
    "send_to_all",
    "send_to_room",
    "add_token",
    "remove_token",
    "add_ban",
    "list_bans",
    "list_addresses",
    "end_ban",
    "list_allocations",
    "end_allocation",
    "change_log",
    "show_log",
    "show_stats",
    "show_live",
    "list_mistakes",
    "list_refusals",
    "show_metrics",
    "show_health",
    "show_readiness",
    "kick_peer",
    "remove_key",
    "log_out",
];

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    described: &'a Value,
}

fn operations(api: &Value) -> Vec<Operation<'_>> {
    let paths = api["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, described)| Operation { method, path, described })
    });
    all.collect()
}

impl Operation<'_> {
    fn name(&self) -> &str {
        self.described["operationId"].as_str().unwrap()
    }

    /// Calls it with the examples of its description.
    fn call(&self, api: &Api, document: &Value) -> Answer {
        let mut path = self.path.to_owned();
        let mut query = Vec::new();
        for parameter in self.described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = &parameter["example"];
            let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &example),
                Some("query") if example != "null" => query.push(format!("{name}={example}")),
                _ => {}
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        assert!(!path.contains('{'), "every parameter has an example: {path}");
        let body = &self.described["requestBody"]["content"]["application/json"];
        let of_schema = &resolve(document, &body["schema"])["examples"][0];
        let example = [&body["example"], of_schema].into_iter().find(|example| !example.is_null());
        if let Some(example) = example {
            validator(document, &body["schema"]).validate(example).expect("an example that fits");
        }
        api.call(&self.method.to_uppercase(), &path, example)
    }

    /// Calls the operation that answers without an end, and reads its second message.
    fn call_stream(&self, api: &Api) -> Answer {
        let mut stream = api.stream(self.path);
        stream.expect_message();
        let (_, json) = stream.expect_message();
        Answer { status: stream.head.status, response: stream.head, json }
    }

    /// True if the description has this response.
    fn check(&self, answer: &Answer, document: &Value) {
        let responses = self.described["responses"].as_object().unwrap();
        let described = responses.get(&answer.status.to_string()).unwrap_or(&responses["default"]);
        assert!(described["description"].is_string(), "{}", self.name());
        let Some((kind, content)) =
            described["content"].as_object().and_then(|content| content.iter().next())
        else {
            assert_eq!(answer.json, Value::Null);
            return;
        };
        assert_eq!(answer.response.header("content-type").as_ref(), Some(kind));
        if let Err(error) = validator(document, &content["schema"]).validate(&answer.json) {
            panic!("{}: {error} at {}", self.name(), error.instance_path());
        }
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

/// A schema of the document, with its references resolved.
fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({"components": document["components"], "allOf": [schema]});
    jsonschema::draft202012::new(&whole).expect("a schema")
}

#[test]
fn every_operation_does_what_is_described() {
    let (server, api) = with_api(&[], None, |_| {});
    let document = api.get("/api/openapi.json").json;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let operations = operations(&document);
    let mut names: Vec<&str> = operations.iter().map(Operation::name).collect();
    let mut order = ORDER;
    names.sort_unstable();
    order.sort_unstable();
    assert_eq!(names, order, "all that are described, and no others");

    let mut alice = None;
    for name in ORDER {
        let operation = operations.iter().find(|operation| operation.name() == name).unwrap();
        let answer = match name {
            "show_live" => operation.call_stream(&api),
            _ => operation.call(&api, &document),
        };
        if name == "end_allocation" {
            answer.problem(404);
        } else {
            assert!((200..300).contains(&answer.status), "{name}: {answer:?}");
        }
        operation.check(&answer, &document);
        alice = alice.or_else(|| {
            if name != "add_key" {
                return None;
            }
            let mut client = server
                .begin_with(&server.target_of("my-game", "alice"), "Origin: https://game.example.org\r\n");
            client.expect_accepted();
            client.expect_open();
            client.send(r#"{"type":"ROOM-JOIN","room":"lobby","data":{"name":"Alice"}}"#);
            client.expect(
                r#"{"type":"ROOM-MEMBERS","room":"lobby","members":[{"id":"alice","data":{"name":"Alice"}}]}"#,
            );
            Some(client)
        });
    }
    let mut alice = alice.unwrap();
    for room in ["", "", r#","room":"lobby""#] {
        alice
            .expect(format!(r#"{{"type":"SERVER-MESSAGE"{room},"payload":{{"news":"it begins at nine"}}}}"#));
    }
    alice.expect_closed_with(Some(4005));

    // Without the key, its operations return the described 404.
    for operation in operations.iter().filter(|operation| operation.path.contains("{key}")) {
        let answer = operation.call(&api, &document);
        answer.problem(404);
        operation.check(&answer, &document);
    }
}

#[test]
fn a_secret_is_described_as_it_is_shown() {
    let (_server, api) = with_api(&[], None, |_| {});
    let document = api.get("/api/openapi.json").json;
    let secret = json!({"method": "jwt", "kind": "secret", "value": "x".repeat(32)});
    for auth in [json!({"method": "none"}), json!({"method": "webhook", "url": "https://a.test/"}), secret] {
        let added = api.post("/api/keys", &json!({"auth": auth}));
        assert_eq!(added.status, 201, "{auth}");
        let operations = operations(&document);
        operations.iter().find(|operation| operation.name() == "add_key").unwrap().check(&added, &document);
    }
}

#[test]
fn a_token_is_described_with_a_scope() {
    let (_server, api) = with_api(&[], None, |_| {});
    let schemas = &api.get("/api/openapi.json").json["components"]["schemas"];
    assert_eq!(schemas["NewToken"]["properties"]["scopes"]["minItems"], 1);
    api.post("/api/keys", &json!({"key": "shop"}));
    api.post("/api/keys/shop/tokens", &json!({"name": "t", "scopes": []})).problem(422);
}
