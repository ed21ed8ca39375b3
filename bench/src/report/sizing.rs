//! The capacity of one Redis, computed from the costs of its operations.

use super::table::{aligned, number, thousands};
use crate::directory::{Batches, Directory, Membership};

/// Clients, and the nodes that have them.
const CLUSTERS: [(f64, f64); 4] = [(1e5, 3.0), (1e6, 20.0), (1e7, 50.0), (1e7, 200.0)];
/// Time for which a client stays connected, in seconds.
const STAY: f64 = 1800.0;
/// Messages that a client sends in this time.
const MESSAGES: f64 = 10.0;
/// Seconds between two registrations of a client.
const REGISTER: f64 = 600.0;
/// Seconds between two renewals of a lease.
const RENEW: f64 = 2.0;
/// Seconds until Redis has taken a batch, and the next one for the same node may follow.
const TURN: f64 = 1e-3;

/// The load of one second of a cluster on Redis.
struct Sizing {
    clients: f64,
    nodes: f64,
    opens: f64,
    messages: f64,
    /// Batches between nodes.
    batches: f64,
    /// Seconds of CPU time.
    opening: f64,
    registering: f64,
    renewing: f64,
    sending: f64,
    bytes: f64,
}

/// A table of clusters of growing size. `None` if something was not measured.
pub(super) fn sizing(directory: &Directory) -> Option<String> {
    let header = [
        "clients",
        "nodes",
        "opens /s",
        "messages /s",
        "batches /s",
        "opens",
        "registrations",
        "leases",
        "messages",
        "cores of Redis",
        "memory, GB",
    ];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    for (clients, nodes) in CLUSTERS {
        let one = Sizing::of(directory, clients, nodes)?;
        let mut line = [one.clients, one.nodes, one.opens, one.messages, one.batches].map(thousands).to_vec();
        let parts = [one.opening, one.registering, one.renewing, one.sending];
        line.extend(parts.map(|part| format!("{:.0} %", part * 100.0)));
        line.extend([parts.iter().sum(), one.bytes / 1e9].map(number));
        cells.push(line);
    }
    Some(aligned(&cells))
}

impl Sizing {
    fn of(directory: &Directory, clients: f64, nodes: f64) -> Option<Self> {
        let records = directory.sizes.last()?;
        let opens = clients / STAY;
        // Clients are on any node, so are their partners.
        let messages = opens * MESSAGES * (nodes - 1.0) / nodes;
        // Each message has an answer, in a batch of the other direction.
        let of_a_link = 2.0 * messages / (nodes * (nodes - 1.0));
        let in_a_batch = (of_a_link * TURN).max(1.0);
        let batches = 2.0 * messages / in_a_batch;
        let busy = directory.batches.iter().map(|one| one.links).max()?;
        let mut busy = directory.batches.iter().filter(|one| one.links == busy);
        let (small, large): (&Batches, &Batches) = (busy.next()?, busy.next_back()?);
        let added = (large.batch_us - small.batch_us) / (large.messages - small.messages) as f64;
        let membership = |cost: fn(&Membership) -> f64| line(&directory.memberships, nodes, cost);
        Some(Sizing {
            clients,
            nodes,
            opens,
            messages,
            batches,
            opening: opens * (membership(|one| one.claim_us)? + membership(|one| one.release_us)?) / 1e6,
            registering: clients / REGISTER * records.renew_us / 1e6,
            renewing: nodes / RENEW * membership(|one| one.lease_us)? / 1e6,
            sending: (batches * (small.batch_us - added) + messages * added) / 1e6,
            bytes: clients * records.bytes_per_record,
        })
    }
}

/// The cost for a number of nodes, on the line through the fewest and the most.
fn line(memberships: &[Membership], nodes: f64, cost: fn(&Membership) -> f64) -> Option<f64> {
    let (few, many) = (memberships.first()?, memberships.last()?);
    let slope = (cost(many) - cost(few)) / (many.nodes as f64 - few.nodes as f64);
    Some(cost(few) + slope * (nodes - few.nodes as f64)).filter(|cost| cost.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Size;

    #[test]
    fn a_cluster_costs_the_sum_of_its_operations() {
        let size = Size {
            records: 1,
            bytes_per_record: 300.0,
            claim_us: 0.0,
            release_us: 0.0,
            locate_us: 0.0,
            register_us: 0.0,
            renew_us: 15.0,
            registered_per_second: 0.0,
        };
        let membership =
            |nodes| Membership { nodes, claim_us: nodes as f64, release_us: 10.0, lease_us: 20.0 };
        let batches = |messages| Batches { links: 1, messages, batch_us: 9.0 + messages as f64 };
        let directory = Directory {
            sizes: vec![size],
            memberships: vec![membership(2), membership(10)],
            batches: vec![batches(1), batches(11)],
        };
        let one = Sizing::of(&directory, 1_800_000.0, 5.0).unwrap();
        assert_eq!((one.opens, one.messages, one.batches), (1000.0, 8000.0, 16_000.0));
        let parts = [one.opening, one.registering, one.renewing, one.sending, one.bytes];
        assert_eq!(parts, [0.015, 0.045, 0.00005, 0.152, 5.4e8]);
    }
}
