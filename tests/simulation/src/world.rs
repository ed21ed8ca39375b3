//! Three nodes, their clients, and the events in their world.

mod faults;
mod groups;
pub mod moves;
mod rng;
mod room_scripts;
mod rooms;
mod session;
mod swarms;
mod tasks;
mod visitors;
pub mod walk;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerbroker_cluster::{Membership, OpenRequest};
use peerbroker_config::{ClusterConfig, Config, Degraded};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::{ApiKey, CloseReason, ConnectionKind, Dialect, PeerId, Refusal, Token};
use peerbroker_events::Events;
use peerbroker_keys::{Key, Settings};
use peerbroker_node::Node;
use peerbroker_node::session::ClientTurn;
use peerbroker_protocols::client::Protocol as _;
use peerbroker_protocols::matchbox::Matchbox;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::peerjs::rooms::PeerJsRooms;
use peerbroker_protocols::root::Guest;
use peerbroker_rooms::RoomFrames as _;
use peerbroker_router::{
    ConnectionInfo, Flushes, IdLease, PeerHandle, Realm, RegisterRefusal, RegisterRequest,
};
use serde_json::Value;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::history::{Conn, History, What};
use crate::sim::{Chaos, SimClient, SimStore};
use crate::socket::Socket;
use faults::in_doubt;
use rng::Rng;
use tasks::{Pause, Tasks};
use visitors::Visitors;

pub const NODES: usize = 3;
const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// Virtual time passes in such steps.
const STEP: Duration = Duration::from_millis(25);
const SWEEP: u64 = 4;
const LEASE: Duration = Duration::from_secs(2);

/// Steps of a run, and of its end.
const STEPS: usize = 120;
const HEALING: usize = 320;
const PROBING: usize = 100;

struct NodeHandle {
    node: Arc<Node>,
    realm: Arc<Realm>,
    /// Its own: a pause is a gap.
    clock: Clock,
    client: SimClient,
    pause: Rc<Pause>,
    tasks: JoinHandle<()>,
    /// Sessions that ask for an id.
    opening: Vec<JoinHandle<()>>,
    /// True if it said that it cannot reach the others.
    is_out: Cell<bool>,
}

struct Client {
    conn: Conn,
    id: &'static str,
    node: usize,
    lease: IdLease,
    socket: Socket,
}

/// The matter of the clients' life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Messages to ids.
    Messages,
    Rooms,
    /// Rooms whose members have seats and share a state.
    Games,
    Swarms,
    Groups,
}

pub struct World {
    rng: Rng,
    lease: Duration,
    degraded: Degraded,
    pub store: SimStore,
    history: Rc<RefCell<History>>,
    nodes: Vec<Option<NodeHandle>>,
    clients: Rc<RefCell<Vec<Client>>>,
    players: Visitors<Matchbox, groups::Player>,
    sharers: Visitors<Guest, swarms::Sharer>,
    conns: usize,
    numbers: u32,
    in_doubt: u64,
    steps: Rc<Cell<u64>>,
}

/// Runs a seed.
pub fn run(subject: Subject, seed: u64, degraded: Degraded) -> History {
    play(World::new(seed, LEASE, degraded), async |world| world.live(subject).await)
}

/// Runs a script in a world.
pub fn play(world: impl FnOnce() -> World, script: impl AsyncFnOnce(&mut World)) -> History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut world = world();
        script(&mut world).await;
        let history = Rc::clone(&world.history);
        drop(world);
        std::mem::take(&mut *history.borrow_mut())
    })
}

impl NodeHandle {
    /// True if its threads serve clients: as those of a process, they wait after a pause until the node is
    /// sure.
    fn serves(&self) -> bool {
        !self.pause.paused.get() && self.node.membership().is_some_and(|membership| membership.is_sure())
    }
}

impl World {
    /// Nodes with this lease, in a runtime.
    pub fn new(seed: u64, lease: Duration, degraded: Degraded) -> impl FnOnce() -> Self {
        move || Self::start_all(seed, NODES, lease, degraded)
    }

    fn start_all(seed: u64, nodes: usize, lease: Duration, degraded: Degraded) -> Self {
        let store = SimStore::new(seed);
        store.set_timeout(lease / 5);
        let history = History { is_strict: degraded == Degraded::Refuse, ..History::default() };
        let mut world = World {
            rng: Rng(seed),
            lease,
            degraded,
            store,
            history: Rc::new(RefCell::new(history)),
            nodes: Vec::new(),
            clients: Rc::default(),
            players: Rc::default(),
            sharers: Rc::default(),
            conns: 0,
            numbers: 0,
            in_doubt: 0,
            steps: Rc::default(),
        };
        for index in 0..nodes {
            let node = world.start(index);
            world.nodes.push(Some(node));
        }
        world
    }

    fn start(&self, index: usize) -> NodeHandle {
        let cluster = ClusterConfig {
            lease: self.lease,
            degraded: self.degraded,
            ..ClusterConfig::new("simulated", &format!("n{index}"))
        };
        let mut config = Config { dialects: Dialect::ALL.into_iter().collect(), ..Config::default() };
        config.limits.expire_timeout = Duration::from_secs(2);
        config.limits.probe_timeout = Duration::from_millis(500);
        config.limits.alive_timeout = Duration::from_secs(600);
        config.limits.reclaim_timeout = Duration::from_secs(1);
        // The clients of the simulation are never too fast.
        config.limits.room_deliveries_per_second = 1_000_000;
        config.limits.room_key_deliveries_per_second = 100_000_000;
        let clock = Clock::manual();
        clock.advance(STEP * u32::try_from(self.steps.get()).unwrap());
        let membership = Membership::new(cluster, clock.clone());
        let node =
            Arc::new(Node::new(config, clock.clone(), Events::default(), Some(Arc::clone(&membership))));
        let settings = Settings { concurrent_limit: 1000, ..Settings::default() };
        node.put_key(Key::new(ApiKey::parse("key").ok(), "", settings));
        let realm = node.tenant("key").unwrap().peers();
        let local = LocalSet::new();
        let client = self.store.connect();
        let pause = Rc::default();
        let weak: std::sync::Weak<Node> = Arc::downgrade(&node);
        local.spawn_local(membership.run(weak, client.backplane()));
        let tasks = spawn_local(Tasks { local, pause: Rc::clone(&pause) });
        let opening = Vec::new();
        let is_out = Cell::new(false);
        NodeHandle { node, realm, clock, client, pause, tasks, opening, is_out }
    }

    fn note(&self, what: What) {
        note(&self.history, &self.steps, what);
    }

    async fn live(&mut self, subject: Subject) {
        self.pass(20).await;
        let faulty = self.rng.below(3);
        let chaos = if self.rng.chance(3) { 0.01 } else { 0.0 };
        self.store.set_chaos(Chaos {
            refuse: chaos,
            lose_request: chaos,
            lose_reply: chaos,
            duplicate: chaos,
        });
        if chaos > 0.0 {
            self.note(What::Fault { node: None, what: "chaos".to_owned() });
        }
        for _ in 0..STEPS {
            match self.rng.below(12) {
                0..=6 if subject == Subject::Groups => self.open_player(),
                7..=9 if subject == Subject::Groups => self.close_player(),
                0..=2 if subject == Subject::Swarms => self.open_sharer(),
                9 if subject == Subject::Swarms => self.close_sharer(),
                0..=2 => self.open(),
                3..=8 if subject == Subject::Rooms => self.act_in_a_room(),
                3..=8 if subject == Subject::Games => self.act_in_a_game(),
                3..=8 if subject == Subject::Swarms => self.act_in_the_swarm(),
                3..=8 => self.send(),
                9 => self.close(),
                _ if faulty > 0 && self.rng.chance(4) => self.fault(faulty),
                _ => {}
            }
            let steps = 1 + self.rng.below(4);
            self.pass(steps).await;
        }
        self.heal();
        self.pass(HEALING).await;
        self.note(What::Settled);
        match subject {
            Subject::Messages => self.probe().await,
            Subject::Rooms => self.probe_rooms().await,
            Subject::Games => self.race().await,
            Subject::Swarms => self.probe_the_swarm().await,
            Subject::Groups => self.check_settled_groups(),
        }
        self.sum_up();
    }

    /// Lets virtual time pass.
    pub async fn pass(&mut self, steps: usize) {
        for _ in 0..steps {
            self.steps.set(self.steps.get() + 1);
            for node in self.nodes.iter().flatten() {
                let pass = if node.pause.paused.get() { Clock::add_gap } else { Clock::advance };
                pass(&node.clock, STEP);
            }
            sleep(STEP).await;
            if self.steps.get().is_multiple_of(SWEEP) {
                for node in self.nodes.iter().flatten().filter(|node| node.serves()) {
                    node.node.sweep();
                }
            }
            self.record_outages();
            self.listen();
            self.play_in_groups();
            self.play_in_swarms();
            self.check_invariants();
        }
    }

    /// Notes each contradiction in the state of a node.
    fn check_invariants(&self) {
        for (index, handle) in self.nodes.iter().enumerate() {
            let Some(NodeHandle { node, realm, .. }) = handle else { continue };
            let contradictions = [
                realm.contradiction(),
                node.membership().and_then(|membership| membership.contradiction()),
                rooms::contradiction(node),
                swarms::contradiction(node),
            ];
            for what in contradictions.into_iter().flatten() {
                self.note(What::Contradiction { node: index, what });
            }
        }
    }

    /// A node that reports an outage makes no promise.
    fn record_outages(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            let is_out = !node.node.membership().is_some_and(|membership| membership.view().is_up);
            if node.is_out.replace(is_out) != is_out {
                let what = if is_out { "out" } else { "up" };
                self.note(What::Fault { node: Some(index), what: what.to_owned() });
            }
        }
    }

    /// Records the frames that clients got, and the clients that lost their ids.
    fn listen(&self) {
        let mut clients = self.clients.borrow_mut();
        for client in clients.iter() {
            if self.is_running(client.node) {
                // It answers pings.
                client.lease.mark_alive();
            }
            hear(client.conn, &client.socket, &self.history, &self.steps);
        }
        let is_paused = |client: &Client| self.nodes[client.node].as_ref().is_some_and(|node| !node.serves());
        let ended = clients.extract_if(.., |client| !client.lease.is_current() && !is_paused(client));
        for client in ended {
            let node = self.nodes[client.node].as_ref();
            let departure = client.lease.part(CloseReason::Left, false);
            let why = departure.as_ref().map_or("gone", |departure| departure.ended.reason.ending().label);
            if let (Some(node), Some(departure)) = (node, departure) {
                rooms::depart(&node.node, departure, false);
            }
            hear(client.conn, &client.socket, &self.history, &self.steps);
            note(&self.history, &self.steps, What::Ended { conn: client.conn, why });
        }
    }

    fn open(&mut self) {
        let index = self.rng.below(NODES);
        let id = IDS[self.rng.below(IDS.len())];
        let token = u8::from(self.rng.chance(4));
        self.open_at(index, id, token);
    }

    /// A client asks for an id.
    pub fn open_at(&mut self, index: usize, id: &'static str, token: u8) {
        let Some(handle) = &mut self.nodes[index] else { return };
        if !handle.serves() {
            return;
        }
        let node = &*handle;
        self.conns += 1;
        let conn = self.conns;
        let realm = Arc::clone(&node.realm);
        let node = Arc::clone(&node.node);
        let clients = Rc::clone(&self.clients);
        let history = Rc::clone(&self.history);
        let steps = Rc::clone(&self.steps);
        let opening = spawn_local(async move {
            let socket = Socket::default();
            let opened = timeout(Duration::from_secs(20), open(&node, &realm, id, token, &socket)).await;
            match opened {
                Ok(Ok(lease)) => {
                    note(&history, &steps, What::Opened { conn, id, token, node: index });
                    rooms::opened(&node, &lease);
                    clients.borrow_mut().push(Client { conn, id, node: index, lease, socket });
                }
                Ok(Err(why)) => note(&history, &steps, What::Refused { conn, id, why }),
                Err(_) => note(&history, &steps, What::Refused { conn, id, why: "NO ANSWER" }),
            }
        });
        handle.opening.push(opening);
    }

    fn send(&mut self) {
        let to = IDS[self.rng.below(IDS.len())];
        let waits = !self.rng.chance(8);
        let pick = self.rng.below(100);
        let burst = 1 + self.rng.below(3);
        let clients = Rc::clone(&self.clients);
        let clients = clients.borrow();
        let able: Vec<&Client> = clients.iter().filter(|client| self.is_running(client.node)).collect();
        if able.is_empty() {
            return;
        }
        let client = able[pick % able.len()];
        for _ in 0..burst {
            self.numbers += 1;
            self.send_from(client, to, self.numbers, waits);
        }
    }

    fn send_from(&self, client: &Client, to: &'static str, number: u32, waits: bool) {
        self.note(What::Sent { conn: client.conn, to, number, waits });
        let kind = if waits { "OFFER" } else { "LEAVE" };
        let text = format!(r#"{{"type":"{kind}","dst":"{to}","payload":{number}}}"#);
        say(self.node_of(client), &client.lease, &text);
    }

    fn is_running(&self, node: usize) -> bool {
        self.nodes[node].as_ref().is_some_and(NodeHandle::serves)
    }

    fn close(&mut self) {
        let mut clients = self.clients.borrow_mut();
        let able: Vec<usize> = (0..clients.len()).filter(|at| self.is_running(clients[*at].node)).collect();
        if able.is_empty() {
            return;
        }
        let client = clients.swap_remove(able[self.rng.below(able.len())]);
        drop(clients);
        let is_dead = self.rng.chance(2);
        self.end(client, is_dead);
    }

    /// A client leaves.
    fn end(&self, client: Client, is_dead: bool) {
        hear(client.conn, &client.socket, &self.history, &self.steps);
        self.note(What::Ended { conn: client.conn, why: "closed" });
        if let (Some(node), Some(departure)) =
            (&self.nodes[client.node], client.lease.part(CloseReason::Left, is_dead))
        {
            rooms::depart(&node.node, departure, !is_dead);
        }
    }

    /// Every client sends a message to every client.
    async fn probe(&mut self) {
        let clients = Rc::clone(&self.clients);
        for from in clients.borrow().iter() {
            for to in clients.borrow().iter() {
                self.numbers += 1;
                self.send_from(from, to.id, self.numbers, true);
            }
        }
        self.pass(PROBING).await;
    }

    fn sum_up(&mut self) {
        let alive: u64 = self.nodes.iter().flatten().map(|node| in_doubt(&node.node)).sum();
        let mut history = self.history.borrow_mut();
        history.in_doubt = self.in_doubt + alive;
        history.members = self.nodes.iter().flatten().map(|node| rooms::members(&node.node)).collect();
        history.swarm = self.members_of_the_swarm();
        history.swarms = self.nodes.iter().flatten().map(|node| swarms::counts(&node.node)).collect();
        history.queued = self.nodes.iter().flatten().map(|node| node.node.queued_bytes()).sum();
    }
}

fn note(history: &RefCell<History>, steps: &Cell<u64>, what: What) {
    let at = steps.get() * u64::try_from(STEP.as_millis()).unwrap();
    history.borrow_mut().events.push((at, what));
}

/// A client sends a text, which its session handles.
fn say(node: &Node, peer: &PeerHandle, text: &str) {
    let key = Arc::clone(&*node.tenant("key").unwrap());
    Flushes::with(|flushes| {
        let mut turn = ClientTurn::new(node, peer, &key, flushes);
        turn.handle(&mut PeerJs::default(), |client, context| client.on_text(text, context));
    });
}

fn hear(conn: Conn, socket: &Socket, history: &RefCell<History>, steps: &Cell<u64>) {
    for text in socket.texts() {
        let frame: Value = serde_json::from_str(&text).unwrap();
        let from = || frame["src"].as_str().unwrap().to_owned();
        let what = match frame["type"].as_str().unwrap() {
            "EXPIRE" => What::Expired { conn, to: from() },
            "OFFER" | "LEAVE" => {
                let number = frame["payload"].as_u64().unwrap();
                What::Received { conn, from: from(), number: number.try_into().unwrap() }
            }
            _ => What::Heard { conn, text },
        };
        note(history, steps, what);
    }
}

/// Gets an id as a session does.
async fn open(
    node: &Node,
    realm: &Arc<Realm>,
    id: &str,
    token: u8,
    socket: &Socket,
) -> Result<IdLease, &'static str> {
    let token = Token::parse(&format!("token-{id}-{token}")).unwrap();
    let id = PeerId::parse(id).unwrap();
    let membership = node.membership().unwrap();
    let mut probed = false;
    loop {
        let request = OpenRequest {
            realm: Arc::clone(realm),
            id: id.clone(),
            token: token.clone(),
            kind: ConnectionKind::Socket,
            address: None,
        };
        let outcome = match membership.open(request).await {
            Ok(None) => Err(RegisterRefusal::Taken),
            Ok(Some(mut claimed)) => {
                let mut outbox = socket.outbox();
                let rooms = rooms::of_client(node, &id, &token);
                let request = RegisterRequest {
                    id: &id,
                    token: &token,
                    kind: ConnectionKind::Socket,
                    greeting: None,
                    info: ConnectionInfo::default(),
                    keeps_contacts: false,
                    hears_room: &|message, takes_over| {
                        PeerJsRooms.may_hear(None, (!takes_over).then_some(&rooms[..]), message)
                    },
                    claim: claimed.claim,
                    last_place: claimed.last_place.take(),
                };
                let outcome = IdLease::register(realm, request, &mut outbox);
                if outcome.is_ok() {
                    claimed.registered();
                }
                outcome
            }
            Err(Refusal::IdTaken) => return Err("taken"),
            Err(Refusal::Elsewhere) => return Err("elsewhere"),
            Err(Refusal::LimitReached) => return Err("full"),
            Err(_) => return Err("unavailable"),
        };
        match outcome {
            Ok(lease) => return Ok(lease),
            Err(RegisterRefusal::Taken) if probed => return Err("taken"),
            Err(RegisterRefusal::Taken) => probed = true,
            Err(RegisterRefusal::Reserved) => {}
            _ => return Err("refused"),
        }
        if let Some(answered) = realm.probe(&id) {
            let _ = answered.await;
        }
    }
}
