//! Rooms as a client sees them: a list, and then exactly the changes after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

/// The other members of a room, with their data as JSON text.
pub type View = BTreeMap<String, Option<String>>;

/// The `since`, `seat` and `host` of a member.
pub type Seat = (u64, u64, bool);

/// The views of a client on one connection.
pub struct RoomViews {
    own: String,
    pub of_rooms: BTreeMap<String, View>,
    /// Its own data in the last list of each room.
    pub own_data: BTreeMap<String, Option<String>>,
    /// The ids that it watches, and if they are online.
    pub online: BTreeMap<String, bool>,
    /// The seats of the members of each room that have one, its own too: `since`, number, never host.
    pub seats: BTreeMap<String, BTreeMap<String, Seat>>,
    /// The state of each room: the value of each name, with its version.
    pub states: BTreeMap<String, BTreeMap<String, (Value, u64)>>,
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
            seats: BTreeMap::new(),
            states: BTreeMap::new(),
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
                let seats = listed.iter().filter_map(|of| Some((of["id"].as_str()?.to_owned(), seat(of)?)));
                self.seats.insert(room.clone(), seats.collect());
                let listed = frame["state"].as_array().map_or(&[][..], Vec::as_slice);
                let state: BTreeMap<_, _> = listed.iter().filter_map(entry).collect();
                if state.len() != listed.len() {
                    return wrong("a name is there twice, or has no value");
                }
                self.states.insert(room.clone(), state);
                self.of_rooms.insert(room, view);
                return Ok(());
            }
            kind @ ("ROOM-JOINED" | "ROOM-UPDATED" | "ROOM-LEFT") => {
                // A change that was on its way when the connection was replaced is older than the list.
                let Some(view) = self.of_rooms.get_mut(&room) else { return Ok(()) };
                let seats = self.seats.entry(room.clone()).or_default();
                match seat(&frame) {
                    Some(seat) => drop(seats.insert(id.clone(), seat)),
                    None => drop(seats.remove(&id)),
                }
                if id == self.own {
                    // Another node gave its seat as well.
                    let is_of_seat = kind == "ROOM-UPDATED" && seats.contains_key(&id);
                    return if is_of_seat { Ok(()) } else { wrong("a change of its own") };
                }
                let was_there = match kind {
                    "ROOM-LEFT" => view.remove(&id).is_some(),
                    _ => view.insert(id, data(&frame)).is_some(),
                };
                if was_there != (kind != "ROOM-JOINED") {
                    return wrong("it does not fit what it heard before");
                }
            }
            "ROOM-STATE" => {
                let Some(state) = self.states.get_mut(&room) else { return Ok(()) };
                let name = member("name");
                let version = frame["version"].as_u64().unwrap_or_default();
                if state.get(&name).is_some_and(|(_, known)| *known > version) {
                    return wrong("it has heard a later write");
                }
                match entry(&frame) {
                    Some((name, entry)) => drop(state.insert(name, entry)),
                    None => drop(state.remove(&name)),
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

fn seat(member: &Value) -> Option<Seat> {
    Some((member["since"].as_u64()?, member["seat"].as_u64()?, member["host"] == false))
}

fn entry(entry: &Value) -> Option<(String, (Value, u64))> {
    let name = entry["name"].as_str()?.to_owned();
    Some((name, (entry.get("value")?.clone(), entry["version"].as_u64()?)))
}

/// Finds what two members see differently in a room where all have seats, or a seat that two have.
pub fn without_one_state<'a>(room: &str, views: impl IntoIterator<Item = &'a RoomViews>) -> Option<String> {
    let in_room: Vec<&RoomViews> =
        views.into_iter().filter(|views| views.of_rooms.contains_key(room)).collect();
    let of = |views: &'a RoomViews| (views.seats.get(room), views.states.get(room));
    let first = of(in_room.first()?);
    if let Some(other) = in_room.iter().find(|views| of(views) != first) {
        return Some(format!("{room}: one sees {first:?}, and {} {:?}", other.own, of(other)));
    }
    let numbers: Vec<u64> = first.0.into_iter().flatten().map(|(_, (_, number, _))| *number).collect();
    let different: BTreeSet<&u64> = numbers.iter().collect();
    (different.len() != numbers.len()).then(|| format!("{room}: seats {numbers:?}"))
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
