//! The documents that the server shows: those for operators and users.

/// Groups of documents, each with its name and the names and texts of its documents.
macro_rules! documents {
    ($($group:literal: $($name:literal)*;)*) => {
        &[$(($group, &[$(($name, include_str!(concat!("../../../docs/", $name, ".md")))),*])),*]
    };
}

/// The documents for operators and users, in the order of the list. A new document is one row.
pub(super) const GROUPS: &[(&str, &[(&str, &str)])] = documents! {
    "Start":
        "USE"
        "CHOOSING"
        "PROGRAMS"
        "COMPATIBILITY"
        "MIGRATING";
    "Deploy":
        "DEPLOY"
        "PROXY"
        "TLS"
        "CALLS"
        "CLUSTER";
    "Operate":
        "OPERATING"
        "CONFIG"
        "DASHBOARD"
        "LOGS"
        "METRICS"
        "ALERTS"
        "LIMITS"
        "TROUBLESHOOTING"
        "KEYS"
        "SECURITY"
        "WEBHOOKS";
    "Reference":
        "API"
        "PROTOCOL"
        "EMBEDDING"
        "GLOSSARY";
};

/// True if there is a document of this name.
pub(super) fn has(name: &str) -> bool {
    GROUPS.iter().any(|(_, documents)| documents.iter().any(|(known, _)| *known == name))
}
