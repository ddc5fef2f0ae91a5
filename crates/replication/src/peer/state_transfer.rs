//! A state on its way to a replica that is too far behind for the log, as the body of one HTTP
//! request.
//!
//! ```text
//! frame*  end          frame = length u32 (1 to 256 KiB) │ bytes
//!                      end   = 0 u32 │ CRC32C of all frames' bytes u32
//! ```
//! Numbers are little-endian. The first frame is the header: the sender's vote, and what the state
//! contains. A body without its end was cut off.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde::{Deserialize, Serialize};
use service::world;
use service::world::disk::{File, OpenMode};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::validation;
use crate::consensus::checkpoint::ReceivedFile;
use crate::consensus::types::{CheckpointMeta, Vote};

const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Larger than any state of this store: 256 GiB. A sender that never stops is cut off before the
/// disk is full.
const STATE_BYTES_MAX: u64 = 256 << 30;

/// The first frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) vote: Vote,
    pub(crate) meta: CheckpointMeta,
}

impl Header {
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let header: Self = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        validation::check_leader(&header.vote)?;
        validation::check_log_id(header.meta.last_log_id.as_ref(), header.vote.leader_id.term)?;
        Ok(header)
    }
}

/// Why receiving a state failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("no data arrived for {0:?}")]
    Idle(Duration),
    #[error("the state was cut off: {0}")]
    Cut(io::Error),
    #[error("the state is damaged: {0}")]
    Garbled(String),
    #[error("cannot write the received state: {0}")]
    Disk(io::Error),
}

/// The body of the request. Each frame is read on a blocking thread.
pub(crate) fn body(header: &Header, state: Box<dyn Read + Send>) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let header = postcard::to_stdvec(header).expect("a transfer's header can be encoded: it is plain data");
    let sender = Sender { header: Some(header), state: Some(state), crc: 0 };
    futures::stream::try_unfold(sender, async |mut sender| {
        let next = move || Ok(sender.next()?.map(|frame| (frame, sender)));
        world::blocking("reading the state", next).await
    })
}

/// What remains to be sent.
struct Sender {
    header: Option<Vec<u8>>,
    /// `None` after the end.
    state: Option<Box<dyn Read + Send>>,
    crc: u32,
}

impl Sender {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(header) = self.header.take() {
            return self.frame(&header).map(Some);
        }
        let Some(state) = &mut self.state else { return Ok(None) };
        let mut bytes = Vec::with_capacity(FRAME_BYTES_MAX);
        state.take(FRAME_BYTES_MAX as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            self.state = None;
            let mut end = BytesMut::with_capacity(8);
            end.put_u32_le(0);
            end.put_u32_le(self.crc);
            return Ok(Some(end.freeze()));
        }
        self.frame(&bytes).map(Some)
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        let mut frame = BytesMut::with_capacity(4 + bytes.len());
        frame.put_u32_le(u32::try_from(bytes.len()).map_err(io::Error::other)?);
        frame.put_slice(bytes);
        Ok(frame.freeze())
    }
}

/// A whole body in memory.
#[cfg(any(test, fuzzing))]
pub(crate) fn put_together(header: &Header, state: &[u8]) -> Vec<u8> {
    let header = postcard::to_stdvec(header).expect("plain data");
    let state = Box::new(io::Cursor::new(state.to_vec()));
    let mut sender = Sender { header: Some(header), state: Some(state), crc: 0 };
    let frames = std::iter::from_fn(|| sender.next().expect("memory can be read"));
    frames.collect::<Vec<_>>().concat()
}

/// A whole body in memory, read as [`receive`] reads it.
#[cfg(any(test, fuzzing))]
pub(crate) async fn take_apart(mut body: &[u8]) -> Result<(Header, Vec<u8>), TransferError> {
    let mut frames = Frames { body: &mut body, idle: Duration::ZERO, crc: 0 };
    let header = header(frames.read().await?)?;
    let mut state = Vec::new();
    while let Some(bytes) = frames.read().await? {
        state.extend_from_slice(&bytes);
    }
    Ok((header, state))
}

/// The header, if the first frame is one that a leader would send.
fn header(first: Option<Vec<u8>>) -> Result<Header, TransferError> {
    let first = first.ok_or_else(|| TransferError::Garbled("it has no header".to_owned()))?;
    Header::decode(&first).map_err(|what| TransferError::Garbled(format!("header: {what}")))
}

/// Reads a body into a file in `dir`. Each frame must arrive within `idle`.
pub(crate) async fn receive(
    mut body: impl AsyncRead + Unpin,
    dir: &Path,
    idle: Duration,
) -> Result<(Header, ReceivedFile), TransferError> {
    static RECEIVED: AtomicU64 = AtomicU64::new(0);
    let mut frames = Frames { body: &mut body, idle, crc: 0 };
    let header = header(frames.next().await?)?;

    let received = ReceivedFile::new(dir, RECEIVED.fetch_add(1, Ordering::Relaxed));
    let mut file = File::open(received.path(), OpenMode::Create).map_err(TransferError::Disk)?;
    let mut total = 0;
    while let Some(bytes) = frames.next().await? {
        total += bytes.len() as u64;
        if total > STATE_BYTES_MAX {
            return Err(TransferError::Garbled(format!("it is longer than {STATE_BYTES_MAX} bytes")));
        }
        let written = world::blocking("writing the received state", move || file.write_all(&bytes).map(|()| file));
        file = written.await.map_err(TransferError::Disk)?;
    }
    Ok((header, received))
}

struct Frames<'a, R> {
    body: &'a mut R,
    idle: Duration,
    crc: u32,
}

impl<R: AsyncRead + Unpin> Frames<'_, R> {
    /// The next frame's bytes; `None` at the end, if the checksum is right.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, TransferError> {
        let idle = self.idle;
        tokio::time::timeout(idle, self.read()).await.map_err(|_| TransferError::Idle(idle))?
    }

    async fn read(&mut self) -> Result<Option<Vec<u8>>, TransferError> {
        let length = self.body.read_u32_le().await.map_err(TransferError::Cut)? as usize;
        if length == 0 {
            let crc = self.body.read_u32_le().await.map_err(TransferError::Cut)?;
            return if crc == self.crc {
                Ok(None)
            } else {
                Err(TransferError::Garbled(format!("its checksum is {:08x}, not {crc:08x}", self.crc)))
            };
        }
        if length > FRAME_BYTES_MAX {
            return Err(TransferError::Garbled(format!("a frame claims a length of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.body.read_exact(&mut bytes).await.map_err(TransferError::Cut)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes);
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn header() -> Header {
        Header { vote: Vote::new_committed(3, api::NodeId(7)), meta: CheckpointMeta::default() }
    }

    async fn sent(state: Vec<u8>) -> Vec<u8> {
        let frames: Vec<_> = body(&header(), Box::new(io::Cursor::new(state))).collect().await;
        frames.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat()
    }

    #[tokio::test]
    async fn a_state_arrives_as_it_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let state: Vec<u8> = (0..=250).cycle().take(3 * FRAME_BYTES_MAX + 5).collect();
        let (received_header, file) = receive(&sent(state.clone()).await[..], dir.path(), IDLE).await.unwrap();
        assert_eq!(received_header, header());
        assert_eq!(std::fs::read(file.path()).unwrap(), state);
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a file that is not installed is removed");
    }

    #[tokio::test]
    async fn a_cut_or_damaged_state_is_refused_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let whole = sent(b"state".to_vec()).await;
        for length in 0..whole.len() {
            assert!(receive(&whole[..length], dir.path(), IDLE).await.is_err(), "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[at] ^= 0x10;
            assert!(receive(&garbled[..], dir.path(), IDLE).await.is_err(), "byte {at}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
