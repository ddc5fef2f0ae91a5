//! Orders: placed through the leader, read from whichever replica has them.

mod place;
mod read;

pub(crate) use place::{Orders, place};
pub(crate) use read::read;
