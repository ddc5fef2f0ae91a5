//! The encoding of one batch in a segment, and what else may lie where a frame is expected.
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the body |
//! | 4 | CRC32C of the body |
//! | 8 | the frame's number in its log, one more than that of the frame before |
//! | 4 | CRC32C of these sixteen bytes |
//! | length | postcard encoding of the body |
//!
//! Numbers are little-endian.
//!
//! A frame is written with one call, and synced before the next one is started. So a power failure
//! can tear only the last frame, and zeros follow it. A disk writes a sector as a whole or not at
//! all, so of a torn frame at least one sector is still zeros. Anything else that cannot be read is
//! damage.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::decode_body;

/// Length, checksum, number, and their checksum.
pub(super) const HEADER_BYTES: usize = 20;
/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// Appends the frame of `body` to `to`.
pub(super) fn encode<T: Serialize>(number: u64, body: &T, mut to: Vec<u8>) -> Result<Vec<u8>, String> {
    let start = to.len();
    to.resize(start + HEADER_BYTES, 0);
    let mut bytes = postcard::to_extend(body, to).map_err(|error| format!("cannot be encoded: {error}"))?;
    let header = FrameHeader::of(number, &bytes[start + HEADER_BYTES..])?;
    bytes[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    Ok(bytes)
}

/// A frame with these bytes as its body.
#[cfg(any(test, fuzzing))]
pub(super) fn seal(number: u64, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader::of(number, body).expect("it is in memory, and short");
    [&header.encode(), body].concat()
}

struct FrameHeader {
    length: u32,
    crc: u32,
    number: u64,
}

impl FrameHeader {
    fn of(number: u64, body: &[u8]) -> Result<Self, String> {
        let length = u32::try_from(body.len()).map_err(|_| "is longer than 4 GiB".to_owned())?;
        Ok(Self { length, crc: crc32c::crc32c(body), number })
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`, if it is intact.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let own_crc = u32::from_le_bytes(*rest.first_chunk()?);
        let [length, crc] = [length, crc].map(|bytes| u32::from_le_bytes(*bytes));
        let header = Self { length, crc, number: u64::from_le_bytes(*number) };
        (own_crc == crc32c::crc32c(&bytes[..16])).then_some(header)
    }

    fn end(&self) -> usize {
        HEADER_BYTES.saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// The frame at the beginning of `bytes`: its number and the encoding of its body; `None` if there
/// is no intact frame.
fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let header = FrameHeader::decode(bytes)?;
    let body = bytes.get(HEADER_BYTES..header.end())?;
    (crc32c::crc32c(body) == header.crc).then_some((header.number, body))
}

/// The body of frame `number`, which must be all of `bytes`.
pub(super) fn decode<T: DeserializeOwned>(number: u64, bytes: &[u8]) -> Result<T, String> {
    match split(bytes) {
        Some((found, body)) if found == number && HEADER_BYTES + body.len() == bytes.len() => decode_body(body),
        Some((found, _)) => Err(format!("frame {found} is where frame {number} was written")),
        None => Err("its checksum is wrong".to_owned()),
    }
}

/// The frame at the beginning of `bytes`, whatever its number: its number, its body, and its
/// length.
pub(super) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(u64, T, usize), String> {
    let (number, body) = split(bytes).ok_or("its checksum is wrong")?;
    Ok((number, decode_body(body)?, HEADER_BYTES + body.len()))
}

/// What is found where a frame may start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoundFrame<T> {
    Frame {
        body: T,
        /// Where the next one may start, counted from here.
        bytes: usize,
    },
    /// The end: only zeros follow.
    End,
    /// The end, and a torn frame. Nothing that depends on it has left the process.
    Torn,
}

/// Looks for frame `number` at `at` in the bytes of a whole file. An error says what is wrong.
pub(super) fn find<T: DeserializeOwned>(number: u64, file: &[u8], at: usize) -> Result<FoundFrame<T>, String> {
    let bytes = &file[at..];
    if let Some((found, body)) = split(bytes) {
        if found != number {
            return Err(format!("byte {at} holds frame {found}, and frame {number} is missing"));
        }
        let value = decode_body(body).map_err(|what| format!("frame {number} at byte {at}: {what}"))?;
        return Ok(FoundFrame::Frame { body: value, bytes: HEADER_BYTES + body.len() });
    }
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
        return Ok(FoundFrame::End);
    };
    let later = (1..=last).find_map(|from| split(&bytes[from..]).filter(|(found, _)| *found > number));
    if let Some((later, _)) = later {
        return Err(format!("frame {number} at byte {at} is damaged: frame {later} comes after it"));
    }
    // Without an intact header the length of the frame is unknown.
    let end = FrameHeader::decode(bytes).map_or(HEADER_BYTES, |header| header.end());
    if FrameHeader::decode(bytes).is_some() && end <= last {
        return Err(format!("frame {number} at byte {at} is incomplete, but data follows it"));
    }
    if sectors(at, at.saturating_add(end)).any(|(from, to)| is_unwritten(file, from, to)) {
        return Ok(FoundFrame::Torn);
    }
    Err(format!("frame {number} at byte {at} is damaged: its checksum is wrong"))
}

/// `from..to`, split at sector boundaries.
fn sectors(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    let next_edge = move |at: usize| (at / SECTOR + 1).saturating_mul(SECTOR).min(to);
    std::iter::successors(Some((from, next_edge(from))), move |(_, end)| Some((*end, next_edge(*end))))
        .take_while(move |(start, _)| *start < to)
}

/// Only zeros, or beyond the end of the file.
fn is_unwritten(file: &[u8], from: usize, to: usize) -> bool {
    file.get(from..to).is_none_or(|sector| sector.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 700;

    /// Frame 6, zeros, frame 7 at [`AT`] with a body of that length, and zeros after it.
    fn file(length: usize) -> (Vec<u8>, usize) {
        let mut file = vec![0; AT];
        let before = encode(6, &"before", Vec::new()).unwrap();
        file[..before.len()].copy_from_slice(&before);
        let file = encode(7, &"x".repeat(length), file).unwrap();
        let end = file.len();
        ([file, vec![0; 3000]].concat(), end)
    }

    fn found(file: &[u8]) -> Result<FoundFrame<String>, String> {
        find(7, file, AT)
    }

    #[test]
    fn a_frame_is_found_and_its_end() {
        let (file, end) = file(2000);
        assert_eq!(found(&file), Ok(FoundFrame::Frame { body: "x".repeat(2000), bytes: end - AT }));
        assert_eq!(find::<String>(8, &file, end), Ok(FoundFrame::End));
        assert_eq!(find::<String>(8, &file, file.len()), Ok(FoundFrame::End));
        assert!(find::<String>(8, &file, AT).unwrap_err().contains("frame 8 is missing"));
        assert_eq!(decode::<String>(7, &file[AT..end]).unwrap().len(), 2000);
        assert!(decode::<String>(8, &file[AT..end]).is_err());
    }

    #[test]
    fn whatever_sectors_of_a_frame_are_missing_it_is_torn() {
        let (whole, end) = file(2000);
        let parts: Vec<_> = sectors(AT, end).collect();
        assert_eq!(parts.len(), 5);
        for kept in 0..(1_u32 << parts.len()) - 1 {
            let mut torn = whole.clone();
            for (_, (from, to)) in parts.iter().enumerate().filter(|(n, _)| kept & (1 << n) == 0) {
                torn[*from..*to].fill(0);
            }
            let expected = if kept == 0 { FoundFrame::End } else { FoundFrame::Torn };
            assert_eq!(found(&torn).as_ref(), Ok(&expected), "{kept:b}");
        }
        // Not even space for its end was allocated.
        for length in AT + 1..end {
            assert_eq!(found(&whole[..length]), Ok(FoundFrame::Torn), "cut to {length}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_frame_is_damage() {
        for length in [10, 2000] {
            let (whole, end) = file(length);
            for bit in AT * 8..end * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(found(&damaged).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn damage_before_another_frame_is_never_mistaken_for_the_end() {
        let (file, end) = file(2000);
        let two = encode(8, &"later", file[..end].to_vec()).unwrap();
        for (from, to) in sectors(AT, end) {
            let mut damaged = two.clone();
            damaged[from..to].fill(0);
            assert!(found(&damaged).unwrap_err().contains("frame 8 comes after it"), "{from}..{to}");
        }
    }
}
