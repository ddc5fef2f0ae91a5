//! Reading the orders back from the lines, and checking the lines after the checkpoint.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use api::OrderNumber;
use api::catalog::OrderLine;
use replication::StateStoreError;

use super::checkpoint::{LedgerCheckpoint, LedgerPosition};
use super::line;
use super::lines::{LedgerLines, NextLine};
use crate::orders::{DedupWindow, OrderCommand, Orders, Restored};

/// Reads the orders after the header up to `checkpoint`, all of which must be present. Passes the
/// position after each line to `check`.
pub(super) fn read(
    input: impl BufRead,
    checkpoint: &LedgerCheckpoint,
    path: &Path,
    dedup_window: DedupWindow,
    mut check: impl FnMut(LedgerPosition) -> Result<(), StateStoreError>,
) -> Result<Orders, StateStoreError> {
    let mut lines = LedgerLines::new(input);
    let mut orders = Restored::new(dedup_window);
    let mut position = LedgerPosition::start(checkpoint.position.chain.format);
    while position.lines < checkpoint.position.lines {
        let wrong = |what: &str| Err(damaged(path, position, what));
        position = match lines.next().map_err(StateStoreError::io("read", path))? {
            NextLine::Line(line) => match take(&mut orders, line, position) {
                Ok(next) => next,
                Err(what) => return wrong(&what),
            },
            NextLine::Torn(_) => {
                return wrong(&format!(
                    "it is cut off, but the checkpoint is after {} orders",
                    checkpoint.position.lines
                ));
            }
            NextLine::TooLong(_) => return wrong("it is longer than any line"),
            NextLine::End => {
                return wrong(&format!(
                    "the ledger ends, but the checkpoint is after {} orders",
                    checkpoint.position.lines
                ));
            }
        };
        check(position)?;
    }
    if position != checkpoint.position {
        let what = format!("the ledger up to here does not match its checkpoint ({:?})", checkpoint.position);
        return Err(damaged(path, position, &what));
    }
    orders
        .finish(checkpoint.begun, &checkpoint.refusals)
        .map_err(|what| StateStoreError::damaged(path, format!("its checkpoint: {what}")))
}

fn take(orders: &mut Restored, line: &[u8], position: LedgerPosition) -> Result<LedgerPosition, String> {
    let (read, chain) = line::read(line, position.chain, orders.next_number())?;
    orders.push(&read.name, read.quantity, read.order_id).map_err(|error| error.to_string())?;
    Ok(position_after(position, line, chain))
}

/// The position after `line`, which is at `position`.
fn position_after(position: LedgerPosition, line: &[u8], chain: line::Chain) -> LedgerPosition {
    LedgerPosition { lines: position.lines + 1, bytes: position.bytes + line.len() as u64 + 1, chain }
}

/// What follows the checkpoint.
pub(super) struct TailScan {
    /// After the last complete line.
    pub(super) end: LedgerPosition,
    /// Why everything from there on must be truncated, if there is anything.
    pub(super) cut: Option<&'static str>,
}

/// Scans the lines after `from`. An end that a crash may have left is no error; any other damage
/// is.
pub(super) fn scan_tail(input: impl BufRead, from: LedgerPosition, path: &Path) -> Result<TailScan, StateStoreError> {
    let mut lines = LedgerLines::new(input);
    let mut end = from;
    loop {
        let (bytes, torn) = match lines.next().map_err(StateStoreError::io("read", path))? {
            NextLine::Line(line) => {
                let number = OrderNumber::new(end.lines + 1).expect("one more than a count is not 0");
                match line::read(line, end.chain, number) {
                    Ok((_, chain)) => {
                        end = position_after(end, line, chain);
                        continue;
                    }
                    Err(_) if line.contains(&0) => (line, None),
                    Err(what) => return Err(damaged(path, end, &what)),
                }
            }
            NextLine::End => return Ok(TailScan { end, cut: None }),
            NextLine::Torn(bytes) => (bytes, Some("a line was cut off")),
            NextLine::TooLong(bytes) => (bytes, None),
        };
        let cut = if bytes.contains(&0) { Some("bytes that never reached the disk") } else { torn };
        return match cut {
            Some(_) => Ok(TailScan { end, cut }),
            None => Err(damaged(path, end, "it is longer than any line")),
        };
    }
}

/// Looks for each order of the tail, which lies between `from` and `end`, in the log after the
/// checkpoint. The orders must appear there in the same sequence; refused and repeated orders may
/// come in between.
pub(super) fn check_tail_in_log(
    input: impl Read,
    from: LedgerPosition,
    end: LedgerPosition,
    commands: &mut dyn Iterator<Item = OrderCommand>,
    path: &Path,
) -> Result<(), StateStoreError> {
    let mut lines = LedgerLines::new(BufReader::new(input));
    let mut logged = commands.flat_map(|command| match command {
        OrderCommand::Place { orders, .. } | OrderCommand::Decide { orders, .. } => orders,
        OrderCommand::Begin { .. } | OrderCommand::UseLedgerFormat { .. } => Vec::new(),
    });
    let mut position = from;
    while position != end {
        let number = OrderNumber::new(position.lines + 1).expect("one more than a count is not 0");
        let NextLine::Line(line) = lines.next().map_err(StateStoreError::io("read", path))? else {
            return Err(damaged(path, position, "it has changed since the start"));
        };
        let (order, chain) = line::read(line, position.chain, number).map_err(|what| damaged(path, position, &what))?;
        let is_this = |logged: &OrderLine| {
            (logged.order_id, logged.quantity) == (order.order_id, order.quantity) && logged.name.as_str() == order.name
        };
        if !logged.any(|logged| is_this(&logged)) {
            let what = format!(
                "order {number} and the {} after it are written here, but are in no entry of this replica's log. Only orders \
                 in its log are written, so the log has lost its end, or this ledger belongs to another replica",
                end.lines - position.lines - 1
            );
            return Err(damaged(path, position, &what));
        }
        position = position_after(position, line, chain);
    }
    Ok(())
}

fn damaged(path: &Path, position: LedgerPosition, what: &str) -> StateStoreError {
    // The header is line 1.
    StateStoreError::damaged(path, format!("line {} (byte {}): {what}", position.lines + 2, position.bytes))
}
