//! The examples of docs/PROTOCOL.md, replayed against a real server.

mod play;

use peerbroker::Config;
use peerbroker_config::Dialect;
use peerbroker_core::vocabulary::ApiKey;

use crate::docs::pages::{Block, blocks};
use crate::harness::{TestServer, Transport};
use play::Play;

#[test]
fn the_exchanges_happen_as_they_are_written() {
    let blocks = blocks("docs/PROTOCOL.md", "exchange");
    assert!(blocks.len() > 10, "{} examples", blocks.len());
    for transport in Transport::ALL {
        for block in &blocks {
            eprintln!("{} on the transport {transport:?}", block.at(0));
            let mut play = Play::new(transport, |config| block.configure(config), &block.random());
            for (number, line) in block.lines.iter().enumerate() {
                let next = block.lines.get(number + 1).map_or("", |next| next.trim());
                play.line(line.trim(), next, &block.at(number + 1));
            }
            play.finish(&block.at(block.lines.len() + 1));
        }
    }
}

#[test]
fn the_http_answers_are_as_they_are_written() {
    let blocks = blocks("docs/PROTOCOL.md", "http");
    assert!(blocks.len() > 3, "{} examples", blocks.len());
    for block in &blocks {
        let server = TestServer::start(Transport::Own, |config| block.configure(config));
        let _peers: Vec<_> = block.peers().map(|id| server.client(id)).collect();
        let mut lines = block.lines.iter();
        let request = lines.next().unwrap_or_else(|| panic!("{}: no request", block.at(1)));
        let (method, target) = request.split_once(' ').expect("a method and a path");
        let mut headers = String::new();
        let status = loop {
            let line = lines.next().unwrap_or_else(|| panic!("{}: no status", block.at(1)));
            if line.starts_with(|c: char| c.is_ascii_digit()) {
                break line;
            }
            headers.push_str(line);
            headers.push_str("\r\n");
        };
        let body: Vec<&str> = lines.map(String::as_str).collect();
        let answer = server.request(method, target, &headers);
        let kind = answer.header("content-type").unwrap_or_default();
        let found = format!("{} {kind}", answer.status);
        assert_eq!(found.trim(), status, "{}", block.at(1));
        match body[..] {
            ["…"] => {}
            ["<uuid>"] => assert_eq!(answer.text().len(), 36, "{}", block.at(1)),
            _ => assert_eq!(answer.text().trim_end(), body.join("\n").trim_end(), "{}", block.at(1)),
        }
    }
}

impl Block {
    /// The ids of the connected peers.
    fn peers(&self) -> impl Iterator<Item = &str> {
        let ids = self.settings.iter().filter_map(|setting| setting.strip_prefix("peers="));
        ids.flat_map(|ids| ids.split(','))
    }

    /// The placeholders for random values of the server.
    fn random(&self) -> Vec<String> {
        let words = self.settings.iter().filter_map(|setting| setting.strip_prefix("random="));
        words.flat_map(|words| words.split(',')).map(str::to_owned).collect()
    }

    fn configure(&self, config: &mut Config) {
        for setting in &self.settings {
            match setting.split_once('=').unwrap_or((setting, "")) {
                ("allow_discovery", "") => config.key_settings.allow_discovery = true.into(),
                ("concurrent_limit", count) => config.key_settings.concurrent_limit = count.parse().unwrap(),
                ("dialects", list) => {
                    let all = Dialect::ALL.into_iter();
                    config.dialects =
                        all.filter(|dialect| list.split(',').any(|name| name == dialect.label())).collect();
                }
                ("leave_on_close", "") => config.key_settings.leave_on_close = true,
                ("max_message_bytes", count) => config.max_message_bytes = count.parse().unwrap(),
                ("room_code_players", count) => config.limits.room_code_players = count.parse().unwrap(),
                ("root_key", key) => config.root_key = Some(ApiKey::parse(key).unwrap()),
                ("random" | "peers", _) => {}
                ("stun_url", url) => config.ice.stun_urls.push(url.to_owned()),
                ("queue_messages", count) => config.limits.queue_messages = count.parse().unwrap(),
                _ => panic!("{}: no such setting: {setting}", self.at(0)),
            }
        }
    }
}
