//! Every URL, in one table.

use crate::config::MountPath;

/// What a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Says what this is: JSON for programs, the landing page for people.
    Root,
    /// A fresh id. The key is not compared, as in the reference.
    Id(&'a str),
    /// The ids of all peers of a key.
    Peers(&'a str),
    /// The WebSocket.
    Socket,
    /// For load balancers and process managers.
    Health,
    /// A file of the landing page and the demos.
    Page(&'a str),
    /// Where the form of the landing page is posted to that registers keys.
    Register,
    /// Below the mount path, and nothing of the broker's: a file of the app, if there is one.
    File(&'a str),
    /// Not below the mount path.
    Outside,
}

/// The last segment of the WebSocket's address, whatever the key is.
const SOCKET: &str = "peerjs";

/// Finds what a path means below a mount path.
///
/// People's first mistake is the client's `path`: with `path: "/peerjs"` against a server at `/` a
/// client asks for `/peerjs/peerjs` and `/peerjs/{key}/id`. That cannot mean anything else, so it
/// is simply right.
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
    match below {
        SOCKET => Route::Socket,
        "broker" => Route::Page(""),
        "healthz" => Route::Health,
        _ => match (resource(below), doubled) {
            (Some(route), _) => route,
            (None, Some(SOCKET)) => Route::Socket,
            (None, Some(doubled)) => resource(doubled).unwrap_or(file),
            (None, None) => file,
        },
    }
}

/// What PeerJS 0.3.x posts, and as whom. All three are percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post<'a> {
    pub(crate) key: &'a str,
    pub(crate) id: &'a str,
    pub(crate) token: &'a str,
    pub(crate) what: Posted,
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// A wish to hear what comes.
    Stream,
    /// A message for somebody else.
    Message,
}

/// Finds what a path means that is posted to.
pub(crate) fn find_post<'a>(mount: &MountPath, path: &'a str) -> Option<Post<'a>> {
    let below = path.strip_prefix(mount.as_str())?;
    let below = below.strip_suffix('/').unwrap_or(below);
    let (rest, word) = below.rsplit_once('/')?;
    let what = match word {
        "id" => Posted::Stream,
        "offer" | "answer" | "candidate" | "leave" => Posted::Message,
        _ => return None,
    };
    // As above: the client's `path` may have the server's word for its WebSocket at its end.
    let mut segments = rest.split('/').rev();
    let (token, id, key) = (segments.next()?, segments.next()?, segments.next()?);
    let rest = (segments.next(), segments.next());
    matches!(rest, (None, _) | (Some(SOCKET), None)).then_some(Post { key, id, token, what })
}

fn resource(path: &str) -> Option<Route<'_>> {
    match path.split_once('/')? {
        ("", _) => None,
        (key, "id") => Some(Route::Id(key)),
        (key, "peers") => Some(Route::Peers(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_means_one_thing() {
        let table = [
            ("/", "/", Route::Root),
            ("/", "/peerjs", Route::Socket),
            ("/", "/peerjs/", Route::Socket),
            ("/", "/peerjs/id", Route::Id("peerjs")),
            ("/", "/peerjs/id/", Route::Id("peerjs")),
            ("/", "/k/peers", Route::Peers("k")),
            ("/", "/peerjs/peerjs", Route::Socket),
            ("/", "/peerjs/peerjs/", Route::Socket),
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
            ("/x/", "/x/peerjs", Route::Socket),
            ("/x/", "/x/peerjs/id", Route::Id("peerjs")),
            ("/x/", "/x/a/b.js", Route::File("a/b.js")),
            ("/x/", "/xy/peerjs/id", Route::Outside),
            ("/x/", "/peerjs/id", Route::Outside),
            ("/x/", "/", Route::Outside),
            ("/x/", "/healthz", Route::Health),
            ("/peerjs/", "/peerjs/peerjs", Route::Socket),
            ("/peerjs/", "/peerjs/peerjs/id", Route::Id("peerjs")),
            ("/peerjs/", "/peerjs/peerjs/peerjs", Route::Socket),
        ];
        for (mount, path, route) in table {
            let mount = MountPath::parse(mount).unwrap();
            assert_eq!(find(&mount, path), route, "{path} below {mount}");
        }
    }
}
