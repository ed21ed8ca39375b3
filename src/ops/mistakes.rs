//! The mistakes of clients, in words.

use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::Ops;

/// A mistake that clients made within the last hour.
#[derive(Serialize, ToSchema)]
struct ShownMistake {
    /// What the client did, to be read after "a client".
    #[schema(example = "asked for the key \"peerjss\"")]
    what: String,
    /// The probable cause, and a hint.
    #[schema(example = "did it mean \"peerjs\"?")]
    hint: String,
    /// The latest client: its id, its address and the origin of its page, as far as they are known.
    #[schema(example = "from 192.0.2.7, a page of \"https://game.example.org\"")]
    latest: String,
    /// How often it was made.
    times: u64,
    /// How long ago it was made last, in seconds.
    ago: u64,
}

/// The mistakes of clients.
#[derive(Serialize, ToSchema)]
#[schema(as = Mistakes)]
pub(super) struct ShownMistakes {
    /// The latest first; at most 64.
    mistakes: Vec<ShownMistake>,
}

/// Lists what clients did wrong within the last hour, in words and with hints.
#[utoipa::path(
    tag = "stats",
    operation_id = "list_mistakes",
    responses((status = OK, body = ShownMistakes, description = "the mistakes"), Problem)
)]
#[get("/api/mistakes")]
pub(super) async fn list(ops: web::Data<Ops>) -> web::Json<ShownMistakes> {
    let now = ops.parts.now();
    let mistakes = ops.parts.recent_mistakes().into_iter().map(|mistake| ShownMistake {
        what: mistake.what,
        hint: mistake.hint,
        latest: mistake.latest.trim().trim_start_matches('(').trim_end_matches(')').to_owned(),
        times: mistake.times,
        ago: now.saturating_sub(mistake.last) / 1000,
    });
    web::Json(ShownMistakes { mistakes: mistakes.collect() })
}
