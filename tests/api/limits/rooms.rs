//! The limits of what members of rooms cause.

use peerbroker::Config;

use crate::harness::on_own_with;

const JOIN: &str = r#"{"type":"ROOM-JOIN","room":"r"}"#;

#[test]
fn joining_again_without_a_change_costs_one_delivery() {
    let configure = |config: &mut Config| config.limits.room_deliveries_per_second = 1;
    on_own_with(configure, |server| {
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|id| server.client(id));
        for client in [&mut a, &mut b, &mut c] {
            client.send(JOIN);
            assert!(client.expect_text().contains("ROOM-MEMBERS"));
        }
        // Its join cost two: it came as the third, and two were told.
        for _ in 0..8 {
            c.send(JOIN);
            assert!(c.expect_text().contains("ROOM-MEMBERS"));
        }
        c.send(JOIN);
        assert!(c.expect_text().contains("too_fast"));
    });
}

#[test]
fn a_list_costs_a_delivery_for_each_kilobyte() {
    let configure = |config: &mut Config| config.limits.room_deliveries_per_second = 1;
    on_own_with(configure, |server| {
        let [mut a, mut b] = ["a", "b"].map(|id| server.client(id));
        let data = "x".repeat(1000);
        a.send(format!(r#"{{"type":"ROOM-JOIN","room":"r","data":"{data}"}}"#));
        assert!(a.expect_text().contains("ROOM-MEMBERS"));
        // A burst of ten deliveries.
        for _ in 0..5 {
            b.send(JOIN);
            assert!(b.expect_text().contains("ROOM-MEMBERS"));
        }
        b.send(JOIN);
        assert!(b.expect_text().contains("too_fast"));
    });
}
