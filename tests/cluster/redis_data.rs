//! The data in Redis: its lifetime, its version, and real concurrency.

use std::sync::Barrier;
use std::thread;

use peerbroker_cluster::{Backplane as _, Claim, ClaimOutcome, NodeCard, RegisterOutcome, Renewal};
use peerbroker_config::SharedSettings;
use peerbroker_redis::RedisSettings;
use redis::{Commands as _, Connection};

use crate::server::RedisServer;
use crate::stage::{
    LONG, Stage as _, batches, claim, granted, kept, key, located, mark, members, node, outcome, owner, peer,
    registered, registration, release,
};

const HOUR: i64 = 3_600_000;

fn keys(client: &mut Connection) -> Vec<String> {
    let mut keys: Vec<String> = client.keys("*").expect("keys");
    keys.sort();
    keys
}

/// Runs claims at the same time, each of a list in a thread of its own. The outcomes, in the order of the
/// lists.
fn at_the_same_time(settings: &RedisSettings, lists: Vec<Vec<Claim>>) -> Vec<Vec<ClaimOutcome>> {
    let start = Barrier::new(lists.len());
    let run = |claims: Vec<Claim>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let backplane = settings.connect();
        // Connects before the others wait for it.
        runtime.block_on(located(&backplane, peer("none")));
        start.wait();
        runtime.block_on(async {
            let mut outcomes = Vec::new();
            for claim in claims {
                outcomes.push(outcome(&backplane, claim).await);
            }
            outcomes
        })
    };
    thread::scope(|scope| {
        let threads: Vec<_> = lists.into_iter().map(|claims| scope.spawn(|| run(claims))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    })
}

#[test]
fn a_name_is_granted_to_one_of_many_processes() {
    let server = RedisServer::start();
    let lists = (1..=8u8).map(|node| {
        let claims = (0..50).map(|id| claim(&format!("name {id}"), owner(node.into(), id), node));
        claims.collect()
    });
    let outcomes = at_the_same_time(&RedisSettings::new(&server.url()), lists.collect());
    for id in 0..50 {
        let of_name = || outcomes.iter().map(|of_node| &of_node[id]);
        let granted = of_name().filter(|outcome| matches!(outcome, ClaimOutcome::Granted(_))).count();
        let taken = of_name().filter(|outcome| matches!(outcome, ClaimOutcome::Taken(_))).count();
        assert_eq!((granted, taken), (1, 7), "name {id}");
    }
}

#[test]
fn a_limit_is_never_exceeded_by_claims_at_the_same_time() {
    let server = RedisServer::start();
    let lists = (1..=6u64).map(|node| {
        let id = |number| format!("{node} {number}");
        let claims =
            (0..10).map(|number| Claim { limit: Some(7), ..claim(&id(number), owner(node, number), 1) });
        claims.collect()
    });
    let settings = RedisSettings::new(&server.url());
    let outcomes = at_the_same_time(&settings, lists.collect()).concat();
    let granted = outcomes.iter().filter(|outcome| matches!(outcome, ClaimOutcome::Granted(_))).count();
    let full = outcomes.iter().filter(|outcome| matches!(outcome, ClaimOutcome::Full(_))).count();
    assert_eq!((granted, full), (7, 53));
    // Those that were refused have left nothing.
    let records = keys(&mut server.client()).iter().filter(|key| key.contains(":peer{}:")).count();
    assert_eq!(records, 7);
}

#[tokio::test]
async fn a_record_lives_for_an_hour_from_its_last_registration() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url()).connect();
    granted(&a, claim("x", owner(1, 1), 1)).await;
    let record = keys(&mut client).remove(0);
    let is_long =
        |client: &mut Connection| (HOUR - 60_000..=HOUR).contains(&client.pttl(&record).expect("a time"));
    assert!(is_long(&mut client));
    let _: () = client.pexpire(&record, 100_000).expect("an answer");
    kept(&a, registration("x", owner(1, 1), 1, 5)).await;
    assert!(is_long(&mut client));
    release(&a, peer("x"), owner(1, 1)).await;
    assert_eq!(keys(&mut client), [""; 0]);
}

#[tokio::test]
async fn a_record_without_an_owner_lives_as_long_as_its_longest_mark() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url()).connect();
    let is_long = |client: &mut Connection| {
        let record = keys(client).remove(0);
        let long = i64::try_from(LONG.as_millis()).expect("a time");
        (long - 60_000..=long).contains(&client.pttl(&record).expect("a time"))
    };
    mark(&a, peer("x"), 1, LONG / 2).await;
    assert!(!is_long(&mut client));
    mark(&a, peer("x"), 2, LONG).await;
    mark(&a, peer("x"), 3, LONG / 2).await;
    assert!(is_long(&mut client));
    // Also if it had an owner in between, who did not get them.
    let over = Claim { limit: Some(0), ..claim("x", owner(1, 1), 1) };
    assert_eq!(outcome(&a, over).await, ClaimOutcome::Full(vec![]));
    assert!(is_long(&mut client));
}

#[tokio::test]
async fn an_inbox_lives_for_three_leases_and_is_renewed() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG / 3).await.expect("a lease");
    let inbox = format!("peerbroker:inbox:{}", node(1));
    let long = i64::try_from(LONG.as_millis()).expect("a time");
    let ttl = |client: &mut Connection| -> i64 { client.pttl(&inbox).expect("a time") };
    assert!((long - 60_000..=long).contains(&ttl(&mut client)));
    members(&a, node(1)).await;
    assert!((3 * long - 60_000..=3 * long).contains(&ttl(&mut client)));
    // A node without an inbox is deaf: its lease ends rather than that.
    let _: () = client.del(&inbox).expect("an answer");
    assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
}

#[tokio::test]
async fn a_node_without_an_inbox_is_no_member() {
    let server = RedisServer::start();
    let mut client = server.client();
    let rights = ["SETUSER", "a", "on", ">secret", "~*", "&*", "+@all", "-xadd"];
    redis::cmd("ACL").arg(&rights).exec(&mut client).expect("an answer");
    let a = RedisSettings::new(&server.url().replacen("://", "://a:secret@", 1)).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect_err("it has no inbox");
    assert_eq!(client.exists("peerbroker:nodes"), Ok(false));
}

#[tokio::test]
async fn an_inbox_that_nobody_reads_loses_its_oldest_batches() {
    let server = RedisServer::start();
    let settings = RedisSettings { max_inbox: 100, ..RedisSettings::new(&server.url()) };
    let a = settings.connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    for round in 0..10u8 {
        let sent = (0..100u8).map(|number| (node(1), vec![round, number]));
        a.append(&sent.collect::<Vec<_>>()).await.expect("an answer");
    }
    let left = batches(&a, node(1)).await;
    assert!((100..=256).contains(&left.len()), "{} batches", left.len());
    assert_eq!(left.last(), Some(&vec![9, 99]));
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_loaded_again() {
    let server = RedisServer::start();
    let a = RedisSettings::new(&server.url()).connect();
    let generation = {
        granted(&a, claim("x", owner(1, 1), 1)).await;
        a.generation()
    };
    for round in 2..5 {
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.client()).expect("an answer");
        // Several scripts in one batch, of which each is carried out once.
        let limited = Claim { limit: Some(9), ..claim(&round.to_string(), owner(1, round), 1) };
        granted(&a, limited).await;
    }
    let count: String =
        server.client().hget("peerbroker:clients{}:peerjs", node(1).to_string()).expect("a number");
    assert!(count.starts_with("3 "), "{count}");
    assert_eq!(a.generation(), generation);
}

#[tokio::test]
async fn fields_of_a_newer_version_are_read_over() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    granted(&a, claim("x", owner(1, 1), 1)).await;
    a.count(&key("peerjs"), node(1), 1).await.expect("an answer");
    mark(&a, peer("y"), 1, LONG).await;
    for record in keys(&mut client).iter().filter(|key| key.contains(":peer{}:")) {
        let _: () =
            client.hset_multiple(record, &[("v", "2"), ("region", "eu"), ("maybe", "")]).expect("an answer");
    }
    let clients = "peerbroker:clients{}:peerjs";
    let nodes = "peerbroker:nodes";
    let _: () = client.hset(clients, node(2).to_string(), "4 99999999999999 eu").expect("an answer");
    let newer = r#"{"v":2,"e":99999999999999,"n":"b","a":"","region":{"eu":[1]}}"#;
    let _: () = client.hset(nodes, node(2).to_string(), newer).expect("an answer");
    let inbox = format!("peerbroker:inbox:{}", node(1));
    let _: String = client.xadd(&inbox, "*", &[("b", "batch"), ("region", "eu")]).expect("an answer");
    let _: String = client.xadd(&inbox, "*", &[("region", "eu")]).expect("an answer");

    assert_eq!(located(&a, peer("x")).await, Some(owner(1, 1)));
    assert_eq!(outcome(&a, claim("x", owner(2, 1), 2)).await, ClaimOutcome::Taken(owner(1, 1)));
    kept(&a, registration("x", owner(1, 1), 1, 5)).await;
    let lost = registered(&a, registration("x", owner(3, 1), 3, 5)).await;
    assert_eq!(lost, RegisterOutcome::Lost(owner(1, 1)));
    let takeover = granted(&a, claim("x", owner(2, 1), 1)).await;
    assert!(takeover.replaced.is_some());
    assert_eq!(granted(&a, claim("y", owner(1, 2), 1)).await.waiting, [node(1)]);
    let full = Claim { limit: Some(5), ..claim("z", owner(1, 3), 1) };
    assert!(matches!(outcome(&a, full).await, ClaimOutcome::Full(_)));
    let both = [(node(1), "a".to_owned(), true), (node(2), "b".to_owned(), true)];
    assert_eq!(members(&a, node(1)).await, both);
    // A node of this version never writes over what a newer one says of itself.
    let kept: String = client.hget(nodes, node(2).to_string()).expect("a member");
    assert_eq!(kept, newer);
    assert_eq!(batches(&a, node(1)).await, [&b"batch"[..], b""]);
}

#[tokio::test]
async fn what_nobody_renews_for_an_hour_is_forgotten() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let (seconds, _): (i64, i64) = redis::cmd("TIME").query(&mut client).expect("the time");
    let clients = "peerbroker:clients{}:peerjs";
    let nodes = "peerbroker:nodes";
    for (number, ago) in [(2, HOUR - 60_000), (3, HOUR + 1000)] {
        let then = seconds * 1000 - ago;
        let member = format!(r#"{{"v":1,"e":{then},"n":"dead","a":""}}"#);
        let _: () = client.hset(nodes, node(number).to_string(), member).expect("an answer");
        let _: () = client.hset(clients, node(number).to_string(), format!("5 {then}")).expect("an answer");
    }
    let dead = (node(2), "dead".to_owned(), false);
    assert_eq!(members(&a, node(1)).await, [(node(1), "a".to_owned(), true), dead]);
    assert_eq!(client.hlen(nodes), Ok(2));
    let limited = |limit| Claim { limit: Some(limit), ..claim("x", owner(1, 1), 1) };
    assert_eq!(outcome(&a, limited(5)).await, ClaimOutcome::Full(vec![node(2)]));
    granted(&a, limited(6)).await;
    assert_eq!(client.hlen(clients), Ok(2));
}

#[tokio::test]
async fn every_key_has_the_prefix_and_brokers_with_other_prefixes_are_apart() {
    let server = RedisServer::start();
    let with =
        |prefix: &str| RedisSettings { prefix: prefix.to_owned(), ..RedisSettings::new(&server.url()) };
    let a = with("a").connect();
    let b = with("{b}").connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    granted(&a, Claim { limit: Some(9), ..claim("x", owner(1, 1), 1) }).await;
    a.append(&[(node(1), vec![1])]).await.expect("an answer");
    let all = keys(&mut server.client());
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|key| key.starts_with("a:")), "{all:?}");
    assert_eq!(located(&b, peer("x")).await, None);
    assert_eq!(b.append(&[(node(1), vec![1])]).await.expect("an answer"), [false]);
}

#[tokio::test]
async fn an_error_of_the_server_about_one_call_costs_no_connection() {
    let server = RedisServer::start();
    let a = RedisSettings::new(&server.url()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let generation = a.generation();
    let inbox = format!("peerbroker:inbox:{}", node(2));
    let _: () = server.client().set(inbox, "of another program").expect("an answer");
    let error = a.append(&[(node(2), vec![1])]).await.expect_err("no stream");
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    assert_eq!(members(&a, node(1)).await.len(), 1);
    assert_eq!(a.generation(), generation);
}

#[tokio::test]
async fn broken_entries_are_dropped_and_stop_nobody() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url_of_user()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    a.join(node(2), &NodeCard::named("b"), LONG).await.expect("a lease");
    let nodes = "peerbroker:nodes";
    let later = "99999999999999";
    let broken: &[(&[u8], String)] = &[
        (b"0000000000000003", format!(r#"{{"v":1,"e":{later}}}"#)),
        (b"0000000000000004", format!(r#"{{"v":1,"e":"{later}","n":"c","a":""}}"#)),
        (b"0000000000000005", format!(r#"{{"v":1,"e":{later},"n":7}}"#)),
        (b"0000000000000006", format!(r#"{{"v":1,"e":{later},"n":"c","a":null}}"#)),
        (b"0000000000000007", r#"{"v":1,"n":"c","a":""}"#.to_owned()),
        (b"000000000000000a", format!(r#"{{"v":1,"e":{later},"n":"c"}}"#)),
        (b"0000000000000008", "7".to_owned()),
        (b"0000000000000009", "{".to_owned()),
        (b"no number", format!(r#"{{"v":1,"e":{later},"n":"c","a":""}}"#)),
        (b"10000000000000000", format!(r#"{{"v":1,"e":{later},"n":"c","a":""}}"#)),
        (b"\xff\xfe", format!(r#"{{"v":1,"e":{later},"n":"c","a":""}}"#)),
        (b"", format!(r#"{{"v":1,"e":{later},"n":"c","a":""}}"#)),
    ];
    for (name, entry) in broken {
        let _: () = client.hset(nodes, *name, entry).expect("an answer");
    }
    let both = [(node(1), "a".to_owned(), true), (node(2), "b".to_owned(), true)];
    assert_eq!(members(&a, node(1)).await, both);
    assert_eq!(client.hlen(nodes), Ok(2));
    // A name need not be a text.
    let strange = [br#"{"v":1,"e":99999999999999,"n":""#, &b"\xff"[..], br#"","a":""}"#].concat();
    let _: () = client.hset(nodes, node(3).to_string(), strange).expect("an answer");
    assert_eq!(members(&a, node(1)).await.len(), 3);
    // Something else altogether.
    let _: () = client.del(nodes).expect("an answer");
    let _: () = client.set(nodes, "of another program").expect("an answer");
    assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
    a.join(node(4), &NodeCard::named("d"), LONG).await.expect("a lease");
    assert_eq!(members(&a, node(4)).await, [(node(4), "d".to_owned(), true)]);
}

#[tokio::test]
async fn a_broken_record_has_no_owner_and_costs_others_nothing() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url_of_user()).connect();
    let owner_text = format!("{}:1", node(9));
    let fields: &[&[(&str, &str)]] = &[
        &[("owner", "nobody")],
        &[("owner", &owner_text)],
        &[("owner", &owner_text), ("token", "t"), ("fence", "much"), ("since", "5")],
        &[("owner", &owner_text), ("token", "t"), ("fence", "99999999999999999999"), ("since", "5")],
        &[("owner", &owner_text), ("token", "t"), ("fence", "5"), ("since", "-5")],
        &[("owner", "00:99999999999999999999"), ("token", "t"), ("fence", "5"), ("since", "5")],
        &[("owner", "00000000000000001:1"), ("token", "t"), ("fence", "5"), ("since", "5")],
        &[("m:0000000000000001", "soon"), ("m:nobody", "99999999999999"), ("former", "nobody x:y")],
    ];
    for (at, fields) in fields.iter().enumerate() {
        let id = format!("x{at}");
        let record = format!("peerbroker:peer{{}}:6:peerjs:{id}");
        for way in 0..3 {
            let _: () = client.del(&record).expect("an answer");
            let _: () = client.hset_multiple(&record, fields).expect("an answer");
            match way {
                0 => assert_eq!(mark(&a, peer(&id), 1, LONG).await, None, "{fields:?}"),
                1 => drop(granted(&a, claim(&id, owner(1, 1), 1)).await),
                _ => drop(kept(&a, registration(&id, owner(1, 1), 1, 5)).await),
            }
        }
        assert_eq!(located(&a, peer(&id)).await, Some(owner(1, 1)));
    }
    let _: () = client.set("peerbroker:peer{}:6:peerjs:y", "of another program").expect("an answer");
    let both = vec![claim("y", owner(1, 2), 1), claim("z", owner(1, 3), 1)];
    let outcomes = crate::stage::claim_all(&a, both).await.expect("answers");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, ClaimOutcome::Granted(_))), "{outcomes:?}");
}

#[tokio::test]
async fn broken_counts_of_clients_do_not_count() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url_of_user()).connect();
    let counts = "peerbroker:clients{}:peerjs";
    let limited = |id: &str, number| Claim { limit: Some(9), ..claim(id, owner(1, number), 1) };
    for (name, count) in [
        (node(2).to_string(), "many"),
        (node(3).to_string(), "5 never"),
        (node(4).to_string(), "99999999999999999999 99999999999999"),
        ("nobody".to_owned(), "9 99999999999999"),
        (node(1).to_string(), "some"),
    ] {
        let _: () = client.hset(counts, name, count).expect("an answer");
    }
    granted(&a, limited("x", 1)).await;
    assert_eq!(client.hlen(counts), Ok(1));
    let _: () = client.del(counts).expect("an answer");
    let _: () = client.set(counts, "of another program").expect("an answer");
    granted(&a, limited("y", 2)).await;
    a.count(&key("peerjs"), node(1), 3).await.expect("an answer");
}

#[tokio::test]
async fn a_node_whose_inbox_is_something_else_has_lost_its_lease_and_a_strange_entry_is_passed_over() {
    let server = RedisServer::start();
    let mut client = server.client();
    let a = RedisSettings::new(&server.url_of_user()).connect();
    a.join(node(1), &NodeCard::named("a"), LONG).await.expect("a lease");
    let inbox = format!("peerbroker:inbox:{}", node(1));
    let _: String = client.xadd(&inbox, "*", &[(&b"\xff"[..], &b"\xff"[..])]).expect("an answer");
    a.append(&[(node(1), vec![1])]).await.expect("an answer");
    assert_eq!(batches(&a, node(1)).await, [&b""[..], &[1]]);
    assert!(matches!(a.renew(node(1), &SharedSettings::new(), LONG).await, Ok(Renewal::Renewed(_))));
    let _: () = client.del(&inbox).expect("an answer");
    let _: () = client.set(&inbox, "of another program").expect("an answer");
    assert_eq!(a.renew(node(1), &SharedSettings::new(), LONG).await.expect("an answer"), Renewal::Lost);
    assert_eq!(a.append(&[(node(1), vec![2])]).await.expect("an answer"), [false]);
}

#[tokio::test]
async fn entries_of_nodes_of_older_and_newer_versions_are_read() {
    let server = RedisServer::start();
    let mut client = server.client();
    let shared = [("--key".to_owned(), "game".to_owned())];
    let a = RedisSettings::new(&server.url_of_user()).connect();
    let card = NodeCard { shared: shared.clone().into(), ..NodeCard::named("a") };
    a.join(node(1), &card, LONG).await.expect("a lease");
    let later = "99999999999999";
    for (number, entry) in [
        (2, format!(r#"{{"v":1,"e":{later},"n":"older","a":""}}"#)),
        (3, format!(r#"{{"v":1,"e":{later},"n":"strange","a":"","s":7}}"#)),
        (4, format!(r#"{{"v":2,"e":{later},"n":"newer","a":"","s":"{{\"--new\":\"x\"}}","z":{{}}}}"#)),
    ] {
        let _: () = client.hset("peerbroker:nodes", node(number).to_string(), entry).expect("an answer");
    }
    let Ok(Renewal::Renewed(all)) = a.renew(node(1), &card.shared, LONG).await else {
        panic!("the lease has ended")
    };
    let known: Vec<_> = all.into_iter().map(|member| (member.name, member.shared)).collect();
    let told = |name: &str, shared: &[(String, String)]| (name.to_owned(), shared.iter().cloned().collect());
    let new = [("--new".to_owned(), "x".to_owned())];
    assert_eq!(known, [told("a", &shared), told("older", &[]), told("strange", &[]), told("newer", &new)]);
}
