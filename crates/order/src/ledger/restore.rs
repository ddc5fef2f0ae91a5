//! From lines back to orders; and what a crash may have left behind the mark.

use std::io::BufRead;
use std::path::Path;

use api::OrderNumber;
use replication::StoreError;

use super::line;
use super::lines::{Lines, Next};
use super::mark::{Mark, Place};
use crate::orders::{Orders, Restored};

/// Reads the orders from behind the header up to `mark`, all of which must be there; shows each place between lines to `check`.
pub(super) fn read(
    input: impl BufRead,
    mark: &Mark,
    path: &Path,
    check: impl Fn(Place) -> Result<(), StoreError>,
) -> Result<Orders, StoreError> {
    let mut lines = Lines::new(input);
    let mut orders = Restored::new();
    let mut place = Place::START;
    while place.lines < mark.place.lines {
        let wrong = |what: &str| Err(damaged(path, place, what));
        place = match lines.next().map_err(StoreError::io("read", path))? {
            Next::Line(line) => match take(&mut orders, line, place) {
                Ok(next) => next,
                Err(what) => return wrong(&what),
            },
            Next::Torn(_) => return wrong(&format!("it is cut off, but {} orders were written", mark.place.lines)),
            Next::Endless(_) => return wrong("it has no end"),
            Next::End => return wrong(&format!("the ledger ends, but {} orders were written", mark.place.lines)),
        };
        check(place)?;
    }
    if place != mark.place {
        let what = format!("the ledger up to here is not the one that was written ({:?})", mark.place);
        return Err(damaged(path, place, &what));
    }
    Ok(orders.finish(mark.begun))
}

fn take(orders: &mut Restored, line: &[u8], place: Place) -> Result<Place, String> {
    let (read, chain) = line::read(line, place.chain, orders.next_number())?;
    orders.push(&read.name, read.quantity, read.order_id).map_err(|error| error.to_string())?;
    Ok(behind(place, line, chain))
}

/// The place behind `line`, which is at `place`.
fn behind(place: Place, line: &[u8], chain: line::Chain) -> Place {
    Place { lines: place.lines + 1, bytes: place.bytes + line.len() as u64 + 1, chain }
}

/// What is behind the mark.
pub(super) struct Found {
    /// Behind the last whole line.
    pub(super) end: Place,
    /// Why everything from there on must be cut away, if there is anything.
    pub(super) cut: Option<&'static str>,
}

/// Looks at the lines behind `from`. An end that a crash may have left is no error; any other damage is.
pub(super) fn survey_tail(input: impl BufRead, from: Place, path: &Path) -> Result<Found, StoreError> {
    let mut lines = Lines::new(input);
    let mut end = from;
    loop {
        let (bytes, torn) = match lines.next().map_err(StoreError::io("read", path))? {
            Next::Line(line) => {
                let number = OrderNumber::new(end.lines + 1).expect("one more than a count is not 0");
                match line::read(line, end.chain, number) {
                    Ok((_, chain)) => {
                        end = behind(end, line, chain);
                        continue;
                    }
                    Err(_) if line.contains(&0) => (line, None),
                    Err(what) => return Err(damaged(path, end, &what)),
                }
            }
            Next::End => return Ok(Found { end, cut: None }),
            Next::Torn(bytes) => (bytes, Some("a line was cut off")),
            Next::Endless(bytes) => (bytes, None),
        };
        let cut = if bytes.contains(&0) { Some("bytes that never reached the disk") } else { torn };
        return match cut {
            Some(_) => Ok(Found { end, cut }),
            None => Err(damaged(path, end, "it has no end")),
        };
    }
}

fn damaged(path: &Path, place: Place, what: &str) -> StoreError {
    // The header is line 1.
    StoreError::damaged(path, format!("line {} (byte {}): {what}", place.lines + 2, place.bytes))
}
