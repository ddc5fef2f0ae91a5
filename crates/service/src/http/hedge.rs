//! Hedged requests: sending more copies of a request while there is no response, each on another
//! connection.
//!
//! TCP retransmits a lost packet after 200 ms at the earliest (`TCP_RTO_MIN` on Linux), then after
//! twice as long, and so on. Until then the connection is blocked. With one request per connection,
//! no later packet follows that would reveal the loss sooner. A copy on another connection is a
//! fresh packet, and the faster response wins (Dean and Barroso, *The Tail at Scale*, 2013).
//!
//! Hedging is only for requests that may be carried out twice: reads, and requests with an id by
//! which the receiver recognizes a repetition. Copies arrive in any order, and late.
//!
//! # Copies that lose
//! A request that is given up closes its connection. Under loss a new connection is expensive: it
//! needs three more packets that may be lost, and a SYN is retransmitted only after a second. So
//! the copies that lose the race continue until they are answered, and leave a warm connection
//! behind, even if the caller has given up. [`COPY_TIMEOUT_MIN`] bounds this.
//!
//! # Caveats
//! If the receiver is slow because it is overloaded, copies make it worse. So a client has at most
//! [`EXTRA_MAX`] additional copies in flight, whatever it sends.

use std::sync::Arc;
use std::time::Duration;

use api::Address;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::client_request::{ClientRequest, Payload, SendError};
use super::hedge_policy::Hedge;
use super::transport::{Transport, within};

/// The shortest timeout of a copy, whatever the caller's timeout: a packet that is lost twice
/// arrives after 600 ms, and its response may be lost, too.
const COPY_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The most additional copies that one client has in flight: what some hundred requests per second
/// need at 30 % loss.
const EXTRA_MAX: usize = 32;

type SendResult = Result<(StatusCode, Bytes), SendError>;

/// Sends hedged requests and bounds the additional copies of one client. Clones share the bound.
#[derive(Clone, Debug)]
pub(super) struct Hedging(Arc<Semaphore>);

impl Default for Hedging {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(EXTRA_MAX)))
    }
}

/// A request that owns its parts, so that it can be sent more than once.
#[derive(Clone)]
struct OwnedRequest {
    transport: Transport,
    to: Address,
    method: Method,
    path: String,
    route: &'static str,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    response_bytes_max: usize,
}

impl OwnedRequest {
    fn new(transport: Transport, to: &Address, request: ClientRequest<'_>) -> Self {
        let ClientRequest { method, path, route, headers, body, timeout, response_bytes_max, hedge: _ } = request;
        let body = if let Payload::Whole(bytes) = body { bytes } else { Bytes::new() };
        let timeout = timeout.unwrap_or_default().max(COPY_TIMEOUT_MIN);
        Self {
            transport,
            to: to.clone(),
            method,
            path: path.to_owned(),
            route,
            headers,
            body,
            timeout,
            response_bytes_max,
        }
    }

    async fn send(self) -> SendResult {
        let Self { transport, to, method, path, route, headers, body, timeout, response_bytes_max } = self;
        let body = if body.is_empty() { Payload::Empty } else { Payload::Whole(body) };
        let timeout = Some(timeout);
        let request =
            ClientRequest { method, path: &path, route, headers, body, timeout, response_bytes_max, hedge: None };
        transport.send(&to, request).await
    }
}

impl Hedging {
    /// Sends `request`, and more copies of it while there is no response, within the request's
    /// timeout.
    pub(super) async fn send(
        &self,
        hedge: Hedge,
        transport: Transport,
        to: &Address,
        request: ClientRequest<'_>,
    ) -> SendResult {
        let request_timeout = request.timeout;
        let race = self.race(&hedge, OwnedRequest::new(transport, to, request));
        within(request_timeout, race).await
    }

    async fn race(&self, hedge: &Hedge, request: OwnedRequest) -> SendResult {
        hedge.count_copy();
        // Most requests are answered before the second copy is due, and then nothing is spawned.
        let mut first = Box::pin(request.clone().send());
        if let Ok(response) = timeout(hedge.after, &mut first).await {
            return response;
        }
        // Dropping a handle does not stop its task.
        let mut in_flight = FuturesUnordered::from_iter([tokio::spawn(first)]);
        for _ in 1..hedge.copies {
            if let Some(permit) = self.permit() {
                hedge.count_copy();
                let copy = request.clone();
                in_flight.push(tokio::spawn(async move {
                    let _permit = permit;
                    copy.send().await
                }));
            }
            if let Ok(response) = timeout(hedge.after, first_response(&mut in_flight)).await {
                return response;
            }
        }
        first_response(&mut in_flight).await
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The first response, or a failure if all copies fail. A refused connection decides for all
/// copies.
async fn first_response(in_flight: &mut FuturesUnordered<tokio::task::JoinHandle<SendResult>>) -> SendResult {
    let mut last = SendError::Broken("the request was given up".to_owned());
    while let Some(done) = in_flight.next().await {
        match done {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(SendError::NotListening(why))) => return Err(SendError::NotListening(why)),
            Ok(Err(error)) => last = error,
            // The runtime is shutting down.
            Err(_) => {}
        }
    }
    Err(last)
}

#[cfg(test)]
#[path = "hedge/tests.rs"]
mod tests;
