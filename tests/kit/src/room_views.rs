//! Rooms as a client sees them: a list, and then exactly the changes after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

/// The other members of a room, with their data as JSON text.
pub type View = BTreeMap<String, Option<String>>;

/// The views of a client on one connection.
pub struct RoomViews {
    own: String,
    pub of_rooms: BTreeMap<String, View>,
    /// Its own data in the last list of each room.
    pub own_data: BTreeMap<String, Option<String>>,
    /// The ids that it watches, and if they are online.
    pub online: BTreeMap<String, bool>,
    /// Messages and updates that it heard of each room behind its first list, if they have a number `n` and
    /// so exist once. A member whose time runs out just as it comes back joins with the same data again.
    pub orders: BTreeMap<String, Vec<String>>,
}

impl RoomViews {
    pub fn new(own: &str) -> Self {
        RoomViews {
            own: own.to_owned(),
            of_rooms: BTreeMap::new(),
            online: BTreeMap::new(),
            own_data: BTreeMap::new(),
            orders: BTreeMap::new(),
        }
    }

    /// Hears a frame. Returns what is wrong with a change that does not fit.
    pub fn hear(&mut self, text: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{} hears {text}: {what}", self.own));
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return wrong("no JSON") };
        let member = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let room = member("room");
        let id = member("id");
        let data = |of: &Value| of.get("data").map(Value::to_string);
        match &*member("type") {
            "ROOM-MEMBERS" => {
                let listed = frame["members"].as_array().map_or(&[][..], Vec::as_slice);
                let of_member = |of: &Value| (of["id"].as_str().unwrap_or_default().to_owned(), data(of));
                let mut view: View = listed.iter().map(of_member).collect();
                if view.len() != listed.len() {
                    return wrong("a member is there twice");
                }
                let Some(own_data) = view.remove(&self.own) else {
                    return wrong("it is not in its own list");
                };
                self.own_data.insert(room.clone(), own_data);
                self.of_rooms.insert(room, view);
                return Ok(());
            }
            kind @ ("ROOM-JOINED" | "ROOM-UPDATED" | "ROOM-LEFT") => {
                if id == self.own {
                    return wrong("a change of its own");
                }
                // A change that was on its way when the connection was replaced is older than the list.
                let Some(view) = self.of_rooms.get_mut(&room) else { return Ok(()) };
                let was_there = match kind {
                    "ROOM-LEFT" => view.remove(&id).is_some(),
                    _ => view.insert(id, data(&frame)).is_some(),
                };
                if was_there != (kind != "ROOM-JOINED") {
                    return wrong("it does not fit what it heard before");
                }
            }
            "PRESENCE" => drop(self.online.insert(id, frame["online"] == true)),
            _ => {}
        }
        if self.of_rooms.contains_key(&room) && frame["type"] != "ROOM-JOINED" && text.contains("\"n\":") {
            self.orders.entry(room).or_default().push(text.to_owned());
        }
        Ok(())
    }
}

/// Finds a room whose members did not hear all in one order. Such an order exists if no frame is before
/// itself. Frames that are not `once` may come again, and are left out.
pub fn without_one_order<'a>(
    views: impl IntoIterator<Item = &'a RoomViews>,
    once: impl Fn(&str) -> bool,
) -> Option<String> {
    let mut of_rooms: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    for (room, order) in views.into_iter().flat_map(|views| &views.orders) {
        let order = order.iter().map(String::as_str).filter(|frame| once(frame)).collect();
        of_rooms.entry(room).or_default().push(order);
    }
    of_rooms.into_iter().find_map(|(room, orders)| {
        let is_wrong = has_circle(&orders);
        is_wrong.then(|| format!("no order of the room {room} fits all of {orders:#?}"))
    })
}

fn has_circle(orders: &[Vec<&str>]) -> bool {
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut before: BTreeMap<&str, usize> = orders.iter().flatten().map(|frame| (*frame, 0)).collect();
    for pair in orders.iter().flat_map(|order| order.windows(2)) {
        if let [one, next] = pair
            && after.entry(one).or_default().insert(next)
        {
            *before.entry(next).or_default() += 1;
        }
    }
    // Takes frames away that none is before.
    let mut first: VecDeque<&str> =
        before.iter().filter(|(_, count)| **count == 0).map(|(frame, _)| *frame).collect();
    let mut left = before.len();
    while let Some(frame) = first.pop_front() {
        left -= 1;
        for next in after.remove(frame).into_iter().flatten() {
            let count = before.entry(next).or_default();
            *count -= 1;
            if *count == 0 {
                first.push_back(next);
            }
        }
    }
    left > 0
}
