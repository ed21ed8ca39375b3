//! One connected client, from admission to goodbye.

mod admission;
mod farewell;
mod run;

pub(crate) use run::run;
