//! Reading a ledger line by line, however it ends.

use std::io::{self, BufRead, Read};

use super::line::LINE_BYTES_MAX;

/// The lines of a ledger, from some position on.
pub(super) struct LedgerLines<R> {
    input: R,
    line: Vec<u8>,
}

/// What comes next in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextLine<'a> {
    /// A line, without its line feed.
    Line(&'a [u8]),
    /// The last bytes of the file, without a line feed: a torn write.
    Torn(&'a [u8]),
    /// More bytes without a line feed than a line may have; the first of them.
    TooLong(&'a [u8]),
    /// The end of the file.
    End,
}

impl<R: BufRead> LedgerLines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::with_capacity(LINE_BYTES_MAX) }
    }

    pub(super) fn next(&mut self) -> io::Result<NextLine<'_>> {
        self.line.clear();
        let read = (&mut self.input).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut self.line)?;
        Ok(match self.line.as_slice() {
            [] => NextLine::End,
            [line @ .., b'\n'] => NextLine::Line(line),
            bytes if read == LINE_BYTES_MAX => NextLine::TooLong(bytes),
            bytes => NextLine::Torn(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_may_end_in_many_ways() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        let mut lines = LedgerLines::new([b"one\n\ntwo".as_slice(), &long].concat().leak() as &[u8]);
        assert_eq!(lines.next().unwrap(), NextLine::Line(b"one"));
        assert_eq!(lines.next().unwrap(), NextLine::Line(b""));
        assert!(matches!(lines.next().unwrap(), NextLine::TooLong(bytes) if bytes.starts_with(b"twoxx")));
        assert_eq!(lines.next().unwrap(), NextLine::Torn(&[b'x'; 13]));
        assert_eq!(lines.next().unwrap(), NextLine::End);
    }
}
