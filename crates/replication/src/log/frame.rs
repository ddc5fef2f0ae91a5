//! How a piece of the log lies in its file, and what may stand where one should be.
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
//! A frame is written at once, and synced before the next one is begun. So the power can fail in at most one, the last; what lies
//! behind the frames is zeroes. A disk writes a sector wholly or not at all: of a frame that was not written to its end at least one
//! sector is still zeroes. Anything else that cannot be read is damage.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::decode_body;

/// Length, checksum, number, and their checksum.
pub(super) const HEAD_BYTES: usize = 20;
/// What a disk writes wholly or not at all.
const SECTOR: usize = 512;

/// Appends the frame of `body` to `to`.
pub(super) fn encode<T: Serialize>(number: u64, body: &T, mut to: Vec<u8>) -> Result<Vec<u8>, String> {
    let start = to.len();
    to.resize(start + HEAD_BYTES, 0);
    let mut bytes = postcard::to_extend(body, to).map_err(|error| format!("cannot be encoded: {error}"))?;
    let head = Head::of(number, &bytes[start + HEAD_BYTES..])?;
    bytes[start..start + HEAD_BYTES].copy_from_slice(&head.encode());
    Ok(bytes)
}

/// A frame with these bytes for its body.
#[cfg(any(test, fuzzing))]
pub(super) fn seal(number: u64, body: &[u8]) -> Vec<u8> {
    let head = Head::of(number, body).expect("it is in memory, and short");
    [&head.encode(), body].concat()
}

struct Head {
    length: u32,
    crc: u32,
    number: u64,
}

impl Head {
    fn of(number: u64, body: &[u8]) -> Result<Self, String> {
        let length = u32::try_from(body.len()).map_err(|_| "is longer than 4 GiB".to_owned())?;
        Ok(Self { length, crc: crc32c::crc32c(body), number })
    }

    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head at the beginning of `bytes`, if it is whole.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let own_crc = u32::from_le_bytes(*rest.first_chunk()?);
        let [length, crc] = [length, crc].map(|bytes| u32::from_le_bytes(*bytes));
        let head = Self { length, crc, number: u64::from_le_bytes(*number) };
        (own_crc == crc32c::crc32c(&bytes[..16])).then_some(head)
    }

    fn end(&self) -> usize {
        HEAD_BYTES.saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// The frame at the beginning of `bytes`: its number, the encoding of its body. `None`: there is none that is whole.
fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let head = Head::decode(bytes)?;
    let body = bytes.get(HEAD_BYTES..head.end())?;
    (crc32c::crc32c(body) == head.crc).then_some((head.number, body))
}

/// The body of frame `number`, which must be all of `bytes`.
pub(super) fn decode<T: DeserializeOwned>(number: u64, bytes: &[u8]) -> Result<T, String> {
    match split(bytes) {
        Some((found, body)) if found == number && HEAD_BYTES + body.len() == bytes.len() => decode_body(body),
        Some((found, _)) => Err(format!("frame {found} lies where frame {number} was written")),
        None => Err("its checksum is wrong".to_owned()),
    }
}

/// What is found where a frame could begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    Frame {
        body: T,
        /// Where the next one may begin, from here.
        bytes: usize,
    },
    /// The end: nothing but zeroes.
    End,
    /// The end, and a frame that was not written to its end; nothing that depends on it has been told to anyone.
    Torn,
}

/// Looks for frame `number` at `at`, in all bytes of a file. An error says what is wrong with them.
pub(super) fn find<T: DeserializeOwned>(number: u64, file: &[u8], at: usize) -> Result<Found<T>, String> {
    let bytes = &file[at..];
    if let Some((found, body)) = split(bytes) {
        if found != number {
            return Err(format!("at byte {at} lies frame {found}, and frame {number} is missing"));
        }
        let value = decode_body(body).map_err(|what| format!("frame {number} at byte {at}: {what}"))?;
        return Ok(Found::Frame { body: value, bytes: HEAD_BYTES + body.len() });
    }
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
        return Ok(Found::End);
    };
    let later = (1..=last).find_map(|from| split(&bytes[from..]).filter(|(found, _)| *found > number));
    if let Some((later, _)) = later {
        return Err(format!("frame {number} at byte {at} is damaged: frame {later} comes after it"));
    }
    // Without a whole head a frame does not say how long it is.
    let end = Head::decode(bytes).map_or(HEAD_BYTES, |head| head.end());
    if Head::decode(bytes).is_some() && end <= last {
        return Err(format!("behind frame {number} at byte {at}, which is not whole, lies something"));
    }
    if sectors(at, at.saturating_add(end)).any(|(from, to)| is_unwritten(file, from, to)) {
        return Ok(Found::Torn);
    }
    Err(format!("frame {number} at byte {at} is damaged: its checksum is wrong"))
}

/// `from..to`, cut at the sectors' edges.
fn sectors(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    let next_edge = move |at: usize| (at / SECTOR + 1).saturating_mul(SECTOR).min(to);
    std::iter::successors(Some((from, next_edge(from))), move |(_, end)| Some((*end, next_edge(*end))))
        .take_while(move |(start, _)| *start < to)
}

/// Nothing but zeroes, or cut off by the end of the file.
fn is_unwritten(file: &[u8], from: usize, to: usize) -> bool {
    file.get(from..to).is_none_or(|sector| sector.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 700;

    /// Frame 6, zeroes, and frame 7 at [`AT`] with so many bytes, and zeroes behind it.
    fn file(length: usize) -> (Vec<u8>, usize) {
        let mut file = vec![0; AT];
        let before = encode(6, &"before", Vec::new()).unwrap();
        file[..before.len()].copy_from_slice(&before);
        let file = encode(7, &"x".repeat(length), file).unwrap();
        let end = file.len();
        ([file, vec![0; 3000]].concat(), end)
    }

    fn found(file: &[u8]) -> Result<Found<String>, String> {
        find(7, file, AT)
    }

    #[test]
    fn a_frame_is_found_and_its_end() {
        let (file, end) = file(2000);
        assert_eq!(found(&file), Ok(Found::Frame { body: "x".repeat(2000), bytes: end - AT }));
        assert_eq!(find::<String>(8, &file, end), Ok(Found::End));
        assert_eq!(find::<String>(8, &file, file.len()), Ok(Found::End));
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
            let expected = if kept == 0 { Found::End } else { Found::Torn };
            assert_eq!(found(&torn).as_ref(), Ok(&expected), "{kept:b}");
        }
        // Its end was not even made room for.
        for length in AT + 1..end {
            assert_eq!(found(&whole[..length]), Ok(Found::Torn), "cut to {length}");
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
    fn damage_before_another_frame_is_never_taken_for_the_end() {
        let (file, end) = file(2000);
        let two = encode(8, &"later", file[..end].to_vec()).unwrap();
        for (from, to) in sectors(AT, end) {
            let mut damaged = two.clone();
            damaged[from..to].fill(0);
            assert!(found(&damaged).unwrap_err().contains("frame 8 comes after it"), "{from}..{to}");
        }
    }
}
