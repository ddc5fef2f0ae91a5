//! The encoding of a value that is sent to a peer: CRC32C of what follows (4 bytes, little-endian),
//! then the value in postcard.
//!
//! Postcard contains no type information, so nearly any short garbage is a valid message; the
//! checksum keeps it out. (TCP's own checksum lets one damaged segment in 65,536 pass.)

use serde::Serialize;
use serde::de::DeserializeOwned;

const CRC_BYTES: usize = 4;

/// Encodes `value`.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let message = vec![0; CRC_BYTES];
    let mut message = postcard::to_extend(value, message).map_err(|error| format!("cannot be encoded: {error}"))?;
    let crc = crc32c::crc32c(&message[CRC_BYTES..]);
    message[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(message)
}

/// Decodes a value, or says what is wrong.
pub(crate) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, String> {
    let Some((stored, body)) = message.split_first_chunk::<CRC_BYTES>() else {
        return Err(format!("{} bytes are too few for a message", message.len()));
    };
    let (stored, actual) = (u32::from_le_bytes(*stored), crc32c::crc32c(body));
    if stored != actual {
        return Err(format!("its checksum is {actual:08x}, but {stored:08x} was written"));
    }
    decode_body(body)
}

/// Decodes a value whose encoding is all of `body`.
pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes follow its end", rest.len())),
        Err(error) => Err(format!("it cannot be decoded: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let message = encode(&(7_u64, "tux")).unwrap();
        assert_eq!(decode::<(u64, String)>(&message), Ok((7, "tux".to_owned())));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let message = encode(&(7_u64, "tux")).unwrap();
        for bit in 0..message.len() * 8 {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String)>(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..message.len() {
            assert!(decode::<(u64, String)>(&message[..length]).is_err(), "cut to {length}");
        }
    }
}
