//! The parts of the broker that handle a message, without a socket.
//!
//! `fixed_work` never changes. The others are compared as ratios to it, so that a slower machine
//! is not a regression. `cargo bench --bench broker` shows them; `make bench-quick` compares them.

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use peerbroker::clock::Clock;
use peerbroker::config::Limits;
use peerbroker::dialect::peerjs::{self, Command, Envelope};
use peerbroker::events::Events;
use peerbroker::keys::{Key, Settings};
use peerbroker::node::Node;
use peerbroker::router::{ConnectionInfo, IdLease, Outbox, Realm, RegisterRequest, Routed, Writer};
use peerbroker::wire::Frame;
use peerbroker::wire::{ApiKey, Link, MessageKind, PeerId, Token};
use peerbroker_bench::payload;

/// A socket that takes everything at once.
struct Sink;

impl Writer for Sink {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(bytes.iter().map(|slice| slice.len()).sum())
    }
}

/// Messages per batch of the queue benchmark.
const QUEUED: usize = 8;
const CROWD: usize = 10_000;

fn realm() -> (Node, Arc<Realm>) {
    let limits = Limits { concurrent_limit: 2 * CROWD, ..Limits::default() };
    let broker = Node::new(limits, Clock::manual(), Events::default(), None);
    let key = ApiKey::parse("peerjs").unwrap();
    let settings = Settings { concurrent_limit: 2 * CROWD, ..Settings::default() };
    broker.put_key(Key::new(Some(key), "", settings));
    let realm = broker.tenant("peerjs").expect("the key").peers();
    (broker, realm)
}

fn register(realm: &Arc<Realm>, id: &PeerId, token: &Token) -> IdLease {
    let mut outbox = Outbox::new(1 << 20, Some(Box::new(Sink)));
    let newcomer = RegisterRequest {
        id,
        token,
        link: Link::Socket,
        greeting: Some(peerjs::open()),
        info: ConnectionInfo::default(),
        claim: None,
    };
    match IdLease::register(realm, newcomer, &mut outbox) {
        Ok(registration) => registration,
        _ => panic!("not registered"),
    }
}

fn peer(index: usize) -> (PeerId, Token) {
    let id = PeerId::parse(&format!("peer-{index}")).unwrap();
    (id, Token::parse("token").unwrap())
}

fn offer(to: &PeerId) -> String {
    payload::signal(0, to.as_str(), payload::OFFER_BYTES)
}

fn envelope(text: &str) -> Envelope<'_> {
    match peerjs::decode(text) {
        Command::Relay(envelope) => envelope,
        _ => panic!("no message"),
    }
}

fn frame(text: &str) -> Frame {
    let Envelope { kind, dst, payload } = envelope(text);
    peerjs::relay(kind, "sender", &dst, payload)
}

fn route(realm: &Realm, from: &PeerId, to: &PeerId, frame: Frame) {
    if let Routed::Delivered(Some(flush)) = realm.route(from, to.as_str(), MessageKind::Offer, frame) {
        flush.flush();
    }
}

/// FNV-1a of 64 KB: a chain of multiplications that no compiler shortens.
fn fixed_work(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

fn fixed(name: &str, criterion: &mut Criterion) {
    let bytes = vec![7; 64 << 10];
    criterion.bench_function(name, |bench| bench.iter(|| fixed_work(black_box(&bytes))));
}

fn dialect(criterion: &mut Criterion) {
    let text = offer(&peer(1).0);
    criterion
        .bench_function("decode_offer", |bench| bench.iter(|| black_box(envelope(black_box(&text)).kind)));
    let Envelope { kind, dst, payload } = envelope(&text);
    criterion.bench_function("encode_offer", |bench| {
        bench.iter(|| black_box(peerjs::relay(kind, "sender", black_box(&dst), payload)));
    });
}

fn routing(criterion: &mut Criterion) {
    let (_broker, realm) = realm();
    let crowd: Vec<IdLease> = (0..CROWD).map(peer).map(|(id, token)| register(&realm, &id, &token)).collect();
    let (from, to) = (crowd[0].id().clone(), crowd[CROWD / 2].id().clone());
    let text = offer(&to);
    criterion.bench_function("route_to_present", |bench| {
        bench.iter_batched(|| frame(&text), |frame| route(&realm, &from, &to, frame), BatchSize::SmallInput);
    });
    let newcomer = peer(CROWD);
    criterion.bench_function("register_and_part", |bench| {
        bench.iter(|| drop(black_box(register(&realm, &newcomer.0, &newcomer.1))));
    });
}

fn queue(criterion: &mut Criterion) {
    let (_broker, realm) = realm();
    let (sender, (absent, token)) = (peer(0).0, peer(1));
    let text = offer(&absent);
    let frames = || (0..QUEUED).map(|_| frame(&text)).collect::<Vec<_>>();
    criterion.bench_function("keep_and_drain_8", |bench| {
        bench.iter_batched(
            frames,
            |frames| {
                frames.into_iter().for_each(|frame| route(&realm, &sender, &absent, frame));
                drop(register(&realm, &absent, &token));
            },
            BatchSize::SmallInput,
        );
    });
}

fn sweep(criterion: &mut Criterion) {
    let (broker, realm) = realm();
    let _crowd: Vec<IdLease> =
        (0..CROWD).map(peer).map(|(id, token)| register(&realm, &id, &token)).collect();
    criterion.bench_function("sweep_10000_idle", |bench| bench.iter(|| black_box(&broker).sweep()));
}

fn all(criterion: &mut Criterion) {
    fixed("fixed_work", criterion);
    dialect(criterion);
    routing(criterion);
    queue(criterion);
    sweep(criterion);
    fixed("fixed_work_again", criterion);
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().measurement_time(Duration::from_secs(2));
    targets = all
}
criterion_main!(benches);
