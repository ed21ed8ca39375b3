//! One connected client, from admission to goodbye.

pub(crate) mod admission;
pub(crate) mod run;

pub(crate) use run::run;
