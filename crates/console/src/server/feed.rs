//! `GET /api/feed`: the frames as Server-Sent Events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use api::ErrorCode;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Deserialize;
use service::http::{ErrorResponse, PortStop, QueryParams};
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::state::{ConsoleServer, FEEDS_MAX};
use crate::hub::SentFrame;

#[derive(Debug, Deserialize)]
pub(super) struct FeedQuery {
    /// The number of the last frame that the page has.
    after: Option<u64>,
}

/// Handles `GET /api/feed`.
pub(super) async fn feed(
    State(server): State<ConsoleServer>,
    stop: Option<Extension<PortStop>>,
    QueryParams(query): QueryParams<FeedQuery>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = Arc::clone(&server.feeds).try_acquire_owned() else {
        let what = format!("{FEEDS_MAX} pages are open already; close one of them");
        return ErrorResponse::new(ErrorCode::Overloaded, what).into_response();
    };
    // A browser that reconnects by itself repeats the address, and says here how far it got.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let (first, later) = server.frames.subscribe(last.or(query.after));
    let frames = Feed { first: first.into(), later, _permit: permit }.into_stream();
    match stop {
        Some(Extension(PortStop(stop))) => {
            let stopped = async move { stop.cancelled().await };
            Sse::new(futures::StreamExt::take_until(frames, Box::pin(stopped))).into_response()
        }
        None => Sse::new(frames).into_response(),
    }
}

/// The frames for one page. Ends if the page is too slow: it comes back and says how far it got.
struct Feed {
    first: VecDeque<SentFrame>,
    later: broadcast::Receiver<SentFrame>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut feed| {
            let (n, json) = match feed.first.pop_front() {
                Some(frame) => frame,
                None => feed.later.recv().await.ok()?,
            };
            let data = std::str::from_utf8(&json).expect("JSON is UTF-8");
            Some((Ok(Event::default().id(n.to_string()).event("frame").data(data)), feed))
        })
    }
}
