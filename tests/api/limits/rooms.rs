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
