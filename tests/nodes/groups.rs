//! Groups of Matchbox while a node dies.

use std::collections::BTreeMap;

use tokio::time::sleep;

use crate::harness::{Client, Cluster, LOOK, Seen, TIMEOUT, becomes, run, until};

/// Peers of a full group.
const NEXT: usize = 3;

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];

fn peer(cluster: &Cluster, node: usize, room: &str) -> Client {
    Client::connect_to(cluster.nodes[node].address, &format!("/matchbox/{room}?next={NEXT}"), room)
}

/// The id that a peer was told.
fn id_of(peer: &Client) -> Option<String> {
    peer.find(|seen| if let Seen::Assigned(id) = seen { Some(id.clone()) } else { None })
}

/// The sizes of groups: of two peers in one group, one has heard of the other.
fn sizes(peers: &[Client]) -> Vec<usize> {
    let mut group_of: BTreeMap<String, usize> = peers.iter().filter_map(id_of).zip(0..).collect();
    for peer in peers {
        let Some(own) = id_of(peer) else { continue };
        let mut there = Vec::new();
        for seen in peer.seen() {
            match seen {
                Seen::Joined(id) => there.push(id),
                Seen::Left(id) => there.retain(|known| *known != id),
                _ => {}
            }
        }
        for other in there.iter().filter_map(|id| group_of.get(id).copied()).collect::<Vec<_>>() {
            let group = group_of[&own];
            group_of.values_mut().filter(|of| **of == other).for_each(|of| *of = group);
        }
    }
    let mut sizes = BTreeMap::<usize, usize>::new();
    group_of.values().for_each(|group| *sizes.entry(*group).or_default() += 1);
    sizes.into_values().collect()
}

#[test]
fn groups_are_full_and_never_larger_when_the_node_that_gives_places_is_killed() {
    run(async {
        let mut cluster = Cluster::start_with(&[("--dialects", "peerjs,matchbox")]).await;
        // The node of the first peer gives the places of its room.
        let first = ROOMS.map(|room| peer(&cluster, 0, room));
        until("the first peers", async || first.iter().all(|peer| id_of(peer).is_some())).await;
        cluster.nodes[0].kill().await;
        let mut rooms = ROOMS.map(|_| Vec::new());
        for number in 0..8 * NEXT {
            for (room, peers) in ROOMS.iter().zip(&mut rooms) {
                peers.push(peer(&cluster, 1 + number % 2, room));
            }
            // Some come while the lease lasts, and some later.
            sleep(10 * LOOK).await;
        }
        let is_full = becomes(TIMEOUT, async || {
            for (room, peers) in ROOMS.iter().zip(&mut rooms) {
                let sizes = sizes(peers);
                assert!(sizes.iter().all(|size| *size <= NEXT), "{room}: {sizes:?}");
                // One that is told to come again does.
                for (number, there) in peers.iter_mut().enumerate().filter(|(_, there)| there.has_ended()) {
                    *there = peer(&cluster, 1 + number % 2, room);
                }
            }
            rooms.iter().all(|peers| sizes(peers) == [NEXT; 8])
        })
        .await;
        let seen = |peers: &Vec<Client>| (sizes(peers), peers.iter().map(Client::seen).collect::<Vec<_>>());
        assert!(is_full, "{:#?}", rooms.iter().map(seen).collect::<Vec<_>>());
    });
}
