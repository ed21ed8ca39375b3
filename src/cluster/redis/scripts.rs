//! The scripts, by their content. Each touches one key, so they work in a cluster.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)));)*
    };
}

scripts! {
    CLAIM = "record.lua" "claim.lua";
    REGISTER = "record.lua" "register.lua";
    RELEASE = "record.lua" "release.lua";
    LOCATE = "record.lua" "locate.lua";
    CLIENTS = "clients.lua";
    LEASE = "lease.lua";
    INBOX = "inbox.lua";
}
