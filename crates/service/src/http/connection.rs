//! One client's connection, from its first request to its end.
//!
//! # Half-closed or gone?
//! A client may close its half of the connection when it has sent everything (`shutdown(SHUT_WR)`;
//! RFC 9112 §9.6): its requests are answered, then the connection is closed. A client that has gone
//! for good looks the same until something is written to it, because closing a socket sends a FIN,
//! too. So a FIN ends nothing: the requests in flight continue until their own deadlines, and an
//! unread response is lost with the connection. A reset shows that the client is gone,
//! and its work is dropped at once. The clients of this crate send a reset (see `connection_pool`),
//! so between the services no work is done for a client that has given up.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::{Either, ready};
use futures::{FutureExt, TryFutureExt};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::connections::{ActivityHandle, Registration};
use super::host_check::HostCheck;
use super::json_response::ErrorResponse;
use super::limits::Limits;
use super::lingering_close::{LingeringClose, RefusedFlag};
use super::refusal_throttle::{RefusalObserver, RefusalThrottle};
use super::request_head::{self, KnownHost, ValidHead};
use super::service::{ResponseFuture, Service};
use super::stream::{ClientStream, WatchedStream};
use super::unread_responses::UnreadResponses;
use super::write_timeout::WriteTimeout;

/// The IP address of the client, or of a proxy: the other end of the connection. It is among the
/// extensions of every request to a router, except in simulated worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Is cancelled when the port stops. It is among the extensions of every request to a router,
/// except in simulated worlds, so that an endless response can end itself.
#[derive(Clone, Debug)]
pub struct PortStop(pub CancellationToken);

/// What the connections of a port share.
pub(super) struct PortContext {
    pub(super) service: Service,
    pub(super) host_check: HostCheck,
    pub(super) limits: Limits,
    pub(super) refusal_throttle: RefusalThrottle,
    pub(super) unread: UnreadResponses,
    pub(super) graceful: GracefulShutdown,
    pub(super) stop: CancellationToken,
}

impl PortContext {
    /// Spawns a task that answers the requests of one connection.
    pub(super) fn serve(&self, stream: TcpStream, peer: PeerAddress, registration: Registration) {
        let refused = RefusedFlag::default();
        let (refusals, hold) = self.refusal_throttle.connection();
        let write_timeout = WriteTimeout::new(self.limits.write_timeout);
        let lingering_close = LingeringClose::new(refused.clone());
        let (stream, watch) = WatchedStream::new(stream);
        let stream = ClientStream { stream, hold, write_timeout, lingering_close };
        let activity = registration.activity();
        let finisher = Finisher {
            activity: registration.activity(),
            refused,
            refusals,
            unread: self.unread.clone(),
            stop: self.stop.clone(),
        };
        let (finisher, service, host_check) = (Arc::new(finisher), self.service.clone(), self.host_check.clone());
        let (known_host, stop) = (KnownHost::default(), PortStop(self.stop.clone()));
        let service = service_fn(move |request: Request<Incoming>| {
            activity.busy();
            let is_host_known = known_host.is_host_of(&request);
            let ValidHead { expects_continue } = match request_head::check(&request, is_host_known) {
                Ok(head) => head,
                Err(failure) => {
                    let refusal = failure.into_response();
                    service.refused(&request, &refusal);
                    return Either::Left(ready(Ok(finisher.finish(refusal, true))));
                }
            };
            let mut request = request.map(body);
            if !is_host_known {
                if let Some(refusal) = host_check.refuse(&request) {
                    let refusal = ErrorResponse(refusal).into_response();
                    service.refused(&request, &refusal);
                    return Either::Left(ready(Ok(finisher.answered(refusal, expects_continue))));
                }
                known_host.accept(&request);
            }
            let response = if let Some(handle) = service.direct() {
                match handle(request) {
                    ResponseFuture::Ready(response) => {
                        return Either::Left(ready(Ok(finisher.answered(response, expects_continue))));
                    }
                    ResponseFuture::Pending(response) => Either::Left(response.map(Ok)),
                }
            } else {
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(stop.clone());
                Either::Right(service.router().clone().call(request))
            };
            let finisher = Arc::clone(&finisher);
            Either::Right(response.map_ok(move |response| finisher.answered(response, expects_continue)))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_headers(self.limits.headers_max)
            // This bounds the bytes that wait to be written, too. With `pipeline_flush`, a client
            // that pipelines requests and does not read would not be bounded.
            .max_buf_size(self.limits.head_bytes_max)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                ended = connection => {
                    // A client that hangs up or sends garbage is not an error of the server. hyper
                    // has answered 400 where it could.
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                }
                () = watch.reset() => tracing::debug!("the client reset its connection"),
                why = registration.closed() => tracing::debug!(?why, "closed a connection"),
            }
        });
    }
}

/// Completes each response before it is written.
struct Finisher {
    activity: ActivityHandle,
    refused: RefusedFlag,
    refusals: RefusalObserver,
    unread: UnreadResponses,
    stop: CancellationToken,
}

impl Finisher {
    /// `expects_continue`: the client may wait for an interim response before it sends its body.
    fn answered(&self, response: Response, expects_continue: bool) -> Response {
        // The body was not read to its end, so no other request can follow. Saying so is better
        // than letting the client find out.
        let is_body_unread = matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
            || (expects_continue && !response.status().is_success());
        self.finish(response, is_body_unread)
    }

    /// `is_last`: the connection is closed after this response.
    fn finish(&self, mut response: Response, is_last: bool) -> Response {
        self.activity.idle();
        self.refused.set(!response.status().is_success());
        self.refusals.observe(&mut response);
        if is_last || self.stop.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.unread.count(response, self.activity.close_signal())
    }
}

/// Converts a request's body. An empty body needs no allocation.
fn body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { Body::new(incoming) }
}
