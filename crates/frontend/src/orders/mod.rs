//! Orders: placed through the leader, read from whichever replica has them.

mod errand;
mod place;
mod read;

pub(crate) use errand::Placing;
pub(crate) use place::{Orders, PATH, place};
pub(crate) use read::read;
