//! Properties of the log's encoding that hold for any bytes.

use super::change::LogBatch;
use super::frame::{self, FoundFrame};

/// For any bytes of a file: nothing panics, and what is read as a frame is that frame's own
/// encoding.
pub(crate) fn any_file(bytes: &[u8]) {
    for number in [0, 1] {
        for at in [0, bytes.len() / 2, bytes.len()] {
            if let Ok(FoundFrame::Frame { body, bytes: length }) = frame::find::<LogBatch>(number, bytes, at) {
                assert_eq!(encode_again(number, body), length);
            }
        }
    }
}

/// The same for any bytes as the body of an intact frame.
pub(crate) fn any_record(body: &[u8]) {
    let number = 1;
    let file = [&frame::seal(number, body), [0; 8].as_slice()].concat();
    match frame::find::<LogBatch>(number, &file, 0) {
        Ok(FoundFrame::Frame { body: batch, bytes: length }) => {
            assert_eq!(length, file.len() - 8);
            encode_again(number, batch);
        }
        found => assert!(found.is_err(), "an intact frame is mistaken for the end: {found:?}"),
    }
}

/// Encodes and decodes the batch again; returns the length of its frame.
fn encode_again(number: u64, batch: LogBatch) -> usize {
    let again = frame::encode(number, &batch, Vec::new()).expect("it was decoded");
    assert_eq!(frame::decode::<LogBatch>(number, &again), Ok(batch));
    again.len()
}
