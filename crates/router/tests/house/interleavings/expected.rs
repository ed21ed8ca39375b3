//! The model's steps.

use super::wish::Step;
use super::world::Outcome;
use crate::model::{Chooser, ConnNo, Model, Stage};

/// Performs a step on the model.
pub(super) fn expect(model: &mut Model, step: &Step, choose: &mut Chooser) -> Outcome {
    match step {
        Step::Connect { id, token, room } => return Outcome::Entry(model.connect(id, token, *room, choose)),
        Step::Send { from, burst } => {
            let mut routings = Vec::new();
            for message in burst {
                if !model.holds(*from) {
                    break;
                }
                routings.push(model.send(*from, message.clone(), choose));
            }
            return Outcome::Routings(routings);
        }
        Step::Leave(conn) => model.part(*conn, false, choose),
        Step::Die(conn) | Step::Vanish(conn) => {
            model.part(*conn, true, choose);
            model.end(*conn, choose);
        }
        Step::Notice(conn) => notice(model, *conn, choose),
        Step::End(conn) => model.end(*conn, choose),
        Step::Hear(conn) => model.hear(*conn),
        Step::Pong(conn) => model.pong(*conn, choose),
        Step::Room(conn, room) => {
            model.conns[*conn].room = *room;
            notice(model, *conn, choose);
        }
        Step::Break(conn) => model.conns[*conn].broken = true,
        Step::Advance(millis) => model.now = model.now.plus_millis(*millis),
        Step::Sweep => model.sweep(choose),
        Step::Probe(id, no) => model.probe(id, *no),
    }
    Outcome::Nothing
}

fn notice(model: &mut Model, conn: ConnNo, choose: &mut Chooser) {
    if model.conns[conn].stage == Stage::Over {
        return;
    }
    if matches!(model.conns[conn].stage, Stage::Dismissed(_)) {
        model.part(conn, false, choose);
    }
    model.flush(conn);
}
