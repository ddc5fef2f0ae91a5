//! Reads Server-Sent Events.
//!
//! Only what the store's processes send: one `data` line per message. (A crate would not bound the
//! length of a line.)

use futures::{Stream, StreamExt, stream};
use service::http::ByteStream;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

/// The longest line, in bytes. An event has some hundred.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The field `event`.
    pub(super) name: String,
    /// The field `data`.
    pub(super) data: String,
}

/// The messages of a stream, until it ends or breaks.
pub(super) fn messages(body: ByteStream) -> impl Stream<Item = Result<Message, String>> {
    let lines = FramedRead::new(StreamReader::new(body), LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    stream::unfold(Some(lines), async |lines| {
        let mut lines = lines?;
        let mut message = Message::default();
        loop {
            match lines.next().await? {
                Ok(line) if line.is_empty() => {
                    if message != Message::default() {
                        return Some((Ok(message), Some(lines)));
                    }
                }
                Ok(line) => message.add(&line),
                // After an error nothing else can be read.
                Err(error) => return Some((Err(error.to_string()), None)),
            }
        }
    })
}

impl Message {
    fn add(&mut self, line: &str) {
        // A line without a colon is a field without a value; one that begins with it is a comment.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => value.clone_into(&mut self.data),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pieces: &[&'static str]) -> Vec<Result<Message, String>> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(bytes::Bytes::from(*piece))).collect();
        messages(Box::pin(stream::iter(pieces))).collect().await
    }

    fn message(name: &str, data: &str) -> Message {
        Message { name: name.to_owned(), data: data.to_owned() }
    }

    #[tokio::test]
    async fn messages_may_be_cut_anywhere_and_comments_are_no_messages() {
        let found =
            read(&["event: start\nda", "ta: {}\n\n: keep-alive\n\nevent:event\nid: 7\ndata:{\"a\":1}\n", "\nda"]);
        assert_eq!(found.await, [Ok(message("start", "{}")), Ok(message("event", "{\"a\":1}"))]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_ends_the_stream() {
        let endless: &'static str = Box::leak("x".repeat(LINE_BYTES_MAX + 1).into_boxed_str());
        let found = read(&["data: 1\n\n", endless, "\n\ndata: 2\n\n"]).await;
        assert_eq!(found[0], Ok(message("", "1")));
        assert!(found.len() == 2 && found[1].is_err(), "{found:?}");
    }
}
