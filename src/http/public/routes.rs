//! The URLs of clients and pages.

use peerbroker_config::MountPath;
use peerbroker_core::vocabulary::{Address, Dialect};
use peerbroker_protocols::peerjs;

/// The endpoint of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// The mount path: JSON for programs, the landing page for browsers.
    Root,
    /// A fresh id. An unknown key gets one too, as in peerjs-server.
    Id(&'a str),
    /// The ids of all peers of a key.
    Peers(&'a str),
    /// The ids of the members of a room of a key.
    Members(&'a str, &'a str),
    /// The ICE servers for clients of a key.
    Ice(&'a str),
    /// The WebSocket of a protocol.
    Socket(Dialect),
    /// The WebSocket of an end of a pipe: the id of the pipe.
    Pipe(&'a str),
    /// The WebSocket of a room of a protocol: its name, still percent-encoded, and empty if the path has
    /// none.
    Room(Dialect, &'a str),
    /// The health check, for load balancers and process managers.
    Health,
    /// A file of the landing page and the demos.
    Page(&'a str),
    /// Takes the form of the landing page that registers keys.
    Register,
    /// Any other path below the mount path: a file of `--static_dir`, if it exists.
    File(&'a str),
    /// A path that is not below the mount path.
    Outside,
}

/// The last segment of the path of PeerJS' WebSocket. It does not depend on the key.
const SOCKET: &str = match Dialect::PeerJs.address() {
    Address::Segment(segment) => segment,
    Address::Root | Address::Room(_) => "",
};

/// The segment in front of the id of a pipe.
const PIPE: &str = "pipe";

/// The last segment of a request for an id.
pub(super) const ID: &str = "id";

/// Finds the route of a WebSocket. Paths of rooms have another meaning for other requests, where the first
/// segment is a key.
pub(super) fn find_socket<'a>(mount: &MountPath, path: &'a str) -> Route<'a> {
    let (first, room) = match path.strip_prefix(mount.as_str()) {
        Some(below) => below.split_once('/').unwrap_or((below, "")),
        None => ("", ""),
    };
    if first == PIPE && !room.is_empty() && !room.contains('/') {
        return Route::Pipe(room);
    }
    let is_of_room =
        |dialect: &Dialect| matches!(dialect.address(), Address::Room(segment) if segment == first);
    match Dialect::ALL.into_iter().find(is_of_room) {
        Some(dialect) if !room.contains('/') => Route::Room(dialect, room),
        _ => find(mount, path),
    }
}

/// Finds the route of a path below a mount path.
///
/// A wrong `path` is the most common mistake: with `path: "/peerjs"` against a server at `/`, a client
/// requests `/peerjs/peerjs` and `/peerjs/{key}/id`. Such paths are unambiguous, so they work.
pub(crate) fn find<'a>(mount: &MountPath, path: &'a str) -> Route<'a> {
    let mount = mount.as_str();
    if path == mount.trim_end_matches('/') || path == mount {
        return Route::Root;
    }
    let Some(below) = path.strip_prefix(mount) else {
        return if path == "/healthz" { Route::Health } else { Route::Outside };
    };
    if let Some(name) = below.strip_prefix("broker/") {
        return if name == "register" { Route::Register } else { Route::Page(name) };
    }
    let file = Route::File(below);
    let below = below.strip_suffix('/').unwrap_or(below);
    let doubled = below.strip_prefix(SOCKET).and_then(|rest| rest.strip_prefix('/'));
    let is_of_socket =
        |dialect: &Dialect| matches!(dialect.address(), Address::Segment(segment) if segment == below);
    if let Some(dialect) = Dialect::ALL.into_iter().find(is_of_socket) {
        return Route::Socket(dialect);
    }
    match below {
        "broker" => Route::Page(""),
        "healthz" => Route::Health,
        _ => match (resource(below), doubled) {
            (Some(route), _) => route,
            (None, Some(SOCKET)) => Route::Socket(Dialect::PeerJs),
            (None, Some(doubled)) => resource(doubled).unwrap_or(file),
            (None, None) => file,
        },
    }
}

/// The path of the WebSocket of PeerJS below a mount path.
pub(super) fn socket(mount: &MountPath) -> String {
    format!("{mount}{SOCKET}")
}

/// True if a path has the last segment of the WebSocket's path.
pub(crate) fn ends_like_the_socket(path: &str) -> bool {
    path.trim_end_matches('/').rsplit('/').next() == Some(SOCKET)
}

/// True if browsers ask for the icon of a site at this path, or a page below the mount path does.
pub(crate) fn is_icon(mount: &MountPath, path: &str) -> bool {
    let below = path.strip_prefix(mount.as_str()).or_else(|| path.strip_prefix('/'));
    below == Some("favicon.ico")
}

/// True if a path ends as that of a request for an id, with a key.
pub(crate) fn is_id_request(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let key = path.strip_suffix(ID).and_then(|path| path.strip_suffix('/')?.rsplit('/').next());
    key.is_some_and(|key| !key.is_empty())
}

/// True if a path is that of a request for an id whose key a proxy has cut off.
pub(crate) fn is_cut_id_request(mount: &MountPath, path: &str) -> bool {
    path.strip_prefix(mount.as_str()).is_some_and(|below| below.strip_suffix('/').unwrap_or(below) == ID)
}

/// A POST of PeerJS 0.3.x. Key, id and token are percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post<'a> {
    pub(crate) key: &'a str,
    pub(crate) id: &'a str,
    pub(crate) token: &'a str,
    /// True if it opens a stream of messages for this client, false if it sends a message to other peers.
    pub(crate) is_stream: bool,
}

/// Finds the PeerJS 0.3.x request of a path.
pub(crate) fn find_post<'a>(mount: &MountPath, path: &'a str) -> Option<Post<'a>> {
    let below = path.strip_prefix(mount.as_str())?;
    let below = below.strip_suffix('/').unwrap_or(below);
    let (rest, word) = below.rsplit_once('/')?;
    let is_stream = word == ID;
    if !is_stream && !peerjs::is_posted_to(word) {
        return None;
    }
    // The client's `path` may end in `peerjs`, as in `find`.
    let mut segments = rest.split('/').rev();
    let token = segments.next()?;
    let id = segments.next()?;
    let key = segments.next()?;
    let rest = (segments.next(), segments.next());
    matches!(rest, (None, _) | (Some(SOCKET), None)).then_some(Post { key, id, token, is_stream })
}

/// Finds the key, percent-encoded, of a POST of a call report.
pub(crate) fn find_report<'a>(mount: &MountPath, path: &'a str) -> Option<&'a str> {
    let below = path.strip_prefix(mount.as_str())?;
    let key = below.strip_suffix('/').unwrap_or(below).strip_suffix("/reports")?;
    // The client's `path` may end in `peerjs`, as in `find`.
    let key = key.strip_prefix(SOCKET).and_then(|key| key.strip_prefix('/')).unwrap_or(key);
    (!key.is_empty() && !key.contains('/')).then_some(key)
}

fn resource(path: &str) -> Option<Route<'_>> {
    match path.split_once('/')? {
        ("", _) => None,
        (key, ID) => Some(Route::Id(key)),
        (key, "peers") => Some(Route::Peers(key)),
        (key, "ice") => Some(Route::Ice(key)),
        (key, rest) => {
            let room = rest.strip_prefix("rooms/")?.strip_suffix("/peers")?;
            (!room.is_empty() && !room.contains('/')).then_some(Route::Members(key, room))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_of_matchbox_are_one_segment() {
        let mount = MountPath::parse("/x/").unwrap();
        for (path, route) in [
            ("/x/matchbox", Route::Room(Dialect::Matchbox, "")),
            ("/x/matchbox/", Route::Room(Dialect::Matchbox, "")),
            ("/x/matchbox/a%20b", Route::Room(Dialect::Matchbox, "a%20b")),
            ("/x/matchbox/id", Route::Room(Dialect::Matchbox, "id")),
            ("/x/matchbox/a/", Route::File("matchbox/a/")),
            ("/x/pipe/a", Route::Pipe("a")),
            ("/x/pipe/id", Route::Pipe("id")),
            ("/x/pipe/", Route::File("pipe/")),
            ("/x/pipe/a/b", Route::File("pipe/a/b")),
            ("/pipe/a", Route::Outside),
            ("/x/matchbox/rooms/a/peers", Route::Members("matchbox", "a")),
            ("/x/matchboxes", Route::File("matchboxes")),
            ("/x/peerjs", Route::Socket(Dialect::PeerJs)),
            ("/matchbox/a", Route::Outside),
        ] {
            assert_eq!(find_socket(&mount, path), route, "{path}");
        }
    }

    #[test]
    fn a_report_is_posted_to_its_key_and_to_nothing_deeper() {
        let mount = MountPath::parse("/x/").unwrap();
        for (path, key) in [
            ("/x/k/reports", Some("k")),
            ("/x/k/reports/", Some("k")),
            ("/x/peerjs/reports", Some("peerjs")),
            ("/x/peerjs/k/reports", Some("k")),
            ("/x/a%2Fb/reports", Some("a%2Fb")),
            ("/x/reports", None),
            ("/x//reports", None),
            ("/x/k/id/token/reports", None),
            ("/x/k/reports/offer", None),
            ("/k/reports", None),
        ] {
            assert_eq!(find_report(&mount, path), key, "{path}");
            assert_eq!(find_post(&mount, path), None, "{path}");
        }
    }

    #[test]
    fn every_url_means_one_thing() {
        let table = [
            ("/", "/", Route::Root),
            ("/", "/peerjs", Route::Socket(Dialect::PeerJs)),
            ("/", "/peerjs/", Route::Socket(Dialect::PeerJs)),
            ("/", "/rxdb", Route::Socket(Dialect::RxDb)),
            ("/", "/rxdb/", Route::Socket(Dialect::RxDb)),
            ("/", "/rxdb/id", Route::Id("rxdb")),
            ("/", "/peerjs/id", Route::Id("peerjs")),
            ("/", "/peerjs/id/", Route::Id("peerjs")),
            ("/", "/k/peers", Route::Peers("k")),
            ("/", "/k/rooms/a%20b/peers", Route::Members("k", "a%20b")),
            ("/", "/peerjs/k/rooms/r/peers/", Route::Members("k", "r")),
            ("/", "/k/rooms//peers", Route::File("k/rooms//peers")),
            ("/", "/k/rooms/a/b/peers", Route::File("k/rooms/a/b/peers")),
            ("/", "/k/ice", Route::Ice("k")),
            ("/", "/peerjs/k/ice/", Route::Ice("k")),
            ("/", "/peerjs/peerjs", Route::Socket(Dialect::PeerJs)),
            ("/", "/peerjs/peerjs/", Route::Socket(Dialect::PeerJs)),
            ("/", "/peerjs/peerjs/id", Route::Id("peerjs")),
            ("/", "/peerjs/k/id", Route::Id("k")),
            ("/", "/healthz", Route::Health),
            ("/", "/broker", Route::Page("")),
            ("/", "/broker/", Route::Page("")),
            ("/", "/broker/slides/", Route::Page("slides/")),
            ("/", "/broker/id", Route::Page("id")),
            ("/", "/broker/register", Route::Register),
            ("/", "/broker/register/", Route::Page("register/")),
            ("/x/", "/x/broker/register", Route::Register),
            ("/x/", "/broker/register", Route::Outside),
            ("/", "//id", Route::File("/id")),
            ("/", "/k", Route::File("k")),
            ("/", "/k/", Route::File("k/")),
            ("/", "/k/id/x", Route::File("k/id/x")),
            ("/", "/peerjs/k/id/x", Route::File("peerjs/k/id/x")),
            ("/", "/PeerJS", Route::File("PeerJS")),
            ("/x/", "/x", Route::Root),
            ("/x/", "/x/", Route::Root),
            ("/x/", "/x/peerjs", Route::Socket(Dialect::PeerJs)),
            ("/x/", "/x/rxdb", Route::Socket(Dialect::RxDb)),
            ("/x/", "/x/peerjs/id", Route::Id("peerjs")),
            ("/x/", "/x/a/b.js", Route::File("a/b.js")),
            ("/x/", "/xy/peerjs/id", Route::Outside),
            ("/x/", "/peerjs/id", Route::Outside),
            ("/x/", "/", Route::Outside),
            ("/x/", "/healthz", Route::Health),
            ("/peerjs/", "/peerjs/peerjs", Route::Socket(Dialect::PeerJs)),
            ("/peerjs/", "/peerjs/peerjs/id", Route::Id("peerjs")),
            ("/peerjs/", "/peerjs/peerjs/peerjs", Route::Socket(Dialect::PeerJs)),
        ];
        for (mount, path, route) in table {
            let mount = MountPath::parse(mount).unwrap();
            assert_eq!(find(&mount, path), route, "{path} below {mount}");
        }
    }
}
