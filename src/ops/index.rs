//! What the API offers, for those who open its address.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;

/// Where the OpenAPI description is.
pub(super) const DESCRIPTION: &str = "/api/openapi.json";

/// An index of the API: a short form of its description.
#[derive(Clone, Serialize)]
pub(super) struct Index {
    name: &'static str,
    version: &'static str,
    /// Where the OpenAPI description is.
    description: &'static str,
    /// What each operation does, by path and method.
    operations: BTreeMap<String, BTreeMap<&'static str, String>>,
}

impl Index {
    pub(super) fn of(api: &OpenApi) -> Self {
        let operations = api.paths.paths.iter().map(|(path, item)| {
            let methods = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            let summary = |method, operation: &Option<Operation>| {
                operation.as_ref().map(|operation| (method, operation.summary.clone().unwrap_or_default()))
            };
            let methods = methods.into_iter().filter_map(|(method, operation)| summary(method, operation));
            (path.clone(), methods.collect())
        });
        Index {
            name: "peerbroker's API",
            version: env!("CARGO_PKG_VERSION"),
            description: DESCRIPTION,
            operations: operations.collect(),
        }
    }
}
