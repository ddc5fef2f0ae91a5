//! What a port answers to bytes that no well-behaved client library would send.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use prometheus::Registry;
use serde_json::Value;
use service::http::{JsonBody, Limits, Listener, PortMetrics, ResponseFuture, ServerMetrics, Service, harden, serve};
use service::lifecycle::Task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower::ServiceExt;

/// For events that should happen at once.
const TIMEOUT: Duration = Duration::from_secs(20);

struct Port {
    at: SocketAddr,
    registry: Registry,
    /// Receives a message when a request for `/never` begins, and when it is dropped.
    begun: mpsc::Receiver<&'static str>,
    _served: Task,
}

impl Port {
    fn serve() -> Self {
        Self::serve_with(harden)
    }

    /// With a function in front that calls the router.
    fn serve_with_handler() -> Self {
        Self::serve_with(|router, metrics| {
            let router = harden(router, metrics.clone()).router().clone();
            Service::handler(metrics, move |request| {
                let response = router.clone().oneshot(request);
                ResponseFuture::pending(async { response.await.unwrap_or_else(|never| match never {}) })
            })
        })
    }

    fn serve_with(service: impl FnOnce(Router, PortMetrics) -> Service) -> Self {
        let registry = Registry::new();
        let (events, begun) = mpsc::channel(16);
        let never = async move || {
            let _dropped = Reporter::begin(events);
            std::future::pending::<()>().await;
        };
        // Both take a while, so that the client's half is closed before the response.
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(30)).await;
            "slow"
        };
        let echo = async |JsonBody(value): JsonBody<Value>| {
            tokio::time::sleep(Duration::from_millis(30)).await;
            value.to_string()
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/slow", get(slow))
            .route("/echo", post(echo))
            .route("/never", get(never));
        let service = service(router, ServerMetrics::new(&registry).port("test"));
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let at = listener.address();
        Self { at, registry, begun, _served: serve(listener, service, Limits::default()) }
    }

    /// Sends `request` and returns everything until the server closes the connection. With
    /// `half_closed`, the client closes its half after the request.
    async fn exchange(&self, request: &str, half_closed: bool) -> String {
        let mut client = TcpStream::connect(self.at).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        if half_closed {
            client.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let read = timeout(TIMEOUT, client.read_to_end(&mut answer)).await;
        read.unwrap_or_else(|_| panic!("{request:?}: the connection stays open after {answer:?}")).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn counted(&self, status: &str) -> u64 {
        let families = self.registry.gather();
        let requests =
            families.iter().find(|family| family.name() == "toystore_http_request_duration_seconds").unwrap();
        let is_it =
            |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|label| label.value() == status);
        requests.get_metric().iter().filter(is_it).map(|metric| metric.get_histogram().get_sample_count()).sum()
    }
}

struct Reporter(mpsc::Sender<&'static str>);

impl Reporter {
    fn begin(events: mpsc::Sender<&'static str>) -> Self {
        events.try_send("begun").unwrap();
        Self(events)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let _ = self.0.try_send("dropped");
    }
}

fn statuses(answer: &str) -> Vec<&str> {
    let after = answer.split("HTTP/1.1 ").skip(1).filter_map(|after| after.get(..3));
    after.filter(|status| status.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

#[tokio::test]
async fn a_half_closed_connection_is_answered_and_then_closed() {
    answers_a_half_closed_connection(&Port::serve()).await;
    answers_a_half_closed_connection(&Port::serve_with_handler()).await;
}

async fn answers_a_half_closed_connection(port: &Port) {
    let body = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let (length, chunked) = (
        format!("{body}content-length: 4\r\n\r\ntrue"),
        format!("{body}transfer-encoding: chunked\r\n\r\n2\r\ntr\r\n2\r\nue\r\n0\r\n\r\n"),
    );
    let slow = "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let pipelined = format!("{slow}{length}{slow}{chunked}{slow}");
    let old = "GET /slow HTTP/1.0\r\n\r\n";
    for (requests, answers) in [
        (slow, vec!["slow"]),
        (&length, vec!["true"]),
        (&chunked, vec!["true"]),
        (&pipelined, vec!["slow", "true", "slow", "true", "slow"]),
        (old, vec!["slow"]),
    ] {
        let answer = port.exchange(requests, true).await.replace("HTTP/1.0", "HTTP/1.1");
        let bodies: Vec<_> =
            answer.split("HTTP/1.1 200 OK").skip(1).filter_map(|one| one.split("\r\n\r\n").nth(1)).collect();
        assert_eq!(bodies, answers, "{requests:?}: {answer}");
    }
    // A request that was cut off can never be completed.
    let cut = format!("{body}content-length: 5\r\n\r\ntrue");
    assert_eq!(statuses(&port.exchange(&cut, true).await), ["400"]);
    assert_eq!(port.exchange("GET /slow HT", true).await, "", "there is no request to answer");
    assert_eq!(port.counted("499"), 0);
}

#[tokio::test]
async fn a_client_that_resets_its_connection_is_gone_and_counted() {
    let mut port = Port::serve();
    for pipelined in ["", "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut client = TcpStream::connect(port.at).await.unwrap();
        let request = format!("GET /never HTTP/1.1\r\nhost: localhost\r\n\r\n{pipelined}");
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(port.begun.recv().await, Some("begun"));
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(timeout(TIMEOUT, port.begun.recv()).await.unwrap(), Some("dropped"), "{pipelined}");
    }
    assert_eq!(port.counted("499"), 2);
}

/// The store's clients reset the connection of a request that they give up, so that a server that
/// answers half-closed clients notices.
#[tokio::test]
async fn a_request_that_a_client_of_the_store_gives_up_is_dropped_by_its_server() {
    let mut port = Port::serve();
    let client = service::json_client::JsonClient::new(None);
    let address = api::Address::new("127.0.0.1", port.at.port());
    let asked = tokio::spawn(async move { client.get::<Value>(&address, "/never", TIMEOUT * 10).await.map(|_| ()) });
    assert_eq!(port.begun.recv().await, Some("begun"));
    asked.abort();
    assert_eq!(timeout(TIMEOUT, port.begun.recv()).await.unwrap(), Some("dropped"));
}

#[tokio::test]
async fn heads_that_a_server_must_refuse() {
    let port = Port::serve();
    let sized = "content-type: application/json\r\ncontent-length: 4\r\n";
    let json = "content-type: application/json\r\n";
    let x = "host: localhost\r\n";
    let table = [
        // RFC 9112 §3.2: one Host, and a valid one.
        ("GET / HTTP/1.1", String::new(), "", "400"),
        ("GET / HTTP/1.1", format!("{x}{x}"), "", "400"),
        ("GET / HTTP/1.1", format!("{x}host: y\r\n"), "", "400"),
        ("GET / HTTP/1.0", format!("{x}{x}"), "", "400"),
        ("GET / HTTP/1.0", String::new(), "", "200"),
        ("GET / HTTP/1.1", "host: a b\r\n".into(), "", "400"),
        ("GET / HTTP/1.1", "host: http://x/\r\n".into(), "", "400"),
        ("GET / HTTP/1.1", "host: u:p@x\r\n".into(), "", "400"),
        ("GET / HTTP/1.1", "host: x:http\r\n".into(), "", "400"),
        ("GET / HTTP/1.1", "host: x, y\r\n".into(), "", "400"),
        ("GET / HTTP/1.1", "host: [::1]:80\r\n".into(), "", "200"),
        ("GET / HTTP/1.1", "host:\r\n".into(), "", "200"),
        // §3.2.1 to 3.2.4: the forms of a target.
        ("GET http://localhost/ HTTP/1.1", x.into(), "", "200"),
        ("GET http://127.0.0.1:7/ HTTP/1.1", "host: y\r\n".into(), "", "200"),
        ("GET http://y/ HTTP/1.1", String::new(), "", "400"),
        ("GET http://u@y/ HTTP/1.1", x.into(), "", "400"),
        ("GET ftp://y/ HTTP/1.1", x.into(), "", "400"),
        ("GET y:7 HTTP/1.1", x.into(), "", "400"),
        ("GET * HTTP/1.1", x.into(), "", "400"),
        ("OPTIONS * HTTP/1.1", x.into(), "", "404"),
        ("CONNECT y:7 HTTP/1.1", x.into(), "", "501"),
        // §6.1 and 6.3: where the body ends.
        ("POST /echo HTTP/1.1", format!("{x}{sized}transfer-encoding: chunked\r\n"), "4\r\ntrue\r\n0\r\n\r\n", "200"),
        ("POST /echo HTTP/1.1", format!("{x}{json}transfer-encoding: gzip, chunked\r\n"), "0\r\n\r\n", "501"),
        ("POST /echo HTTP/1.1", format!("{x}{json}transfer-encoding: chunked, chunked\r\n"), "0\r\n\r\n", "501"),
        ("POST /echo HTTP/1.1", format!("{x}{json}transfer-encoding: gzip\r\n"), "", "400"),
        ("POST /echo HTTP/1.1", format!("{x}{json}transfer-encoding: identity\r\n"), "", "400"),
        ("POST /echo HTTP/1.0", format!("{json}transfer-encoding: chunked\r\n"), "4\r\ntrue\r\n0\r\n\r\n", "400"),
        ("POST /echo HTTP/1.1", format!("{x}{sized}content-length: 5\r\n"), "true", "400"),
        ("POST /echo HTTP/1.1", format!("{x}{json}content-length: +4\r\n"), "true", "400"),
        ("POST /echo HTTP/1.1", format!("{x}{json}content-length: -1\r\n"), "true", "400"),
        ("POST /echo HTTP/1.1", format!("{x}{json}content-length: 4x\r\n"), "true", "400"),
        ("GET / HTTP/1.1", format!("{x}a : b\r\n"), "", "400"),
        ("GET / HTTP/1.1", format!("{x} folded\r\n"), "", "400"),
        // RFC 9110 §10.1.1: expectations, which HTTP/1.0 does not have.
        ("POST /echo HTTP/1.1", format!("{x}{sized}expect: a-miracle\r\n"), "true", "417"),
        ("POST /echo HTTP/1.1", format!("{x}{sized}expect: 100-continue, a-miracle\r\n"), "true", "417"),
        ("POST /echo HTTP/1.0", format!("{sized}expect: a-miracle\r\n"), "true", "200"),
        // §8.4: content codings that the server does not decode.
        ("POST /echo HTTP/1.1", format!("{x}{sized}content-encoding: gzip\r\n"), "true", "415"),
        ("POST /echo HTTP/1.1", format!("{x}{sized}content-encoding: identity, br\r\n"), "true", "415"),
        (
            "POST /echo HTTP/1.1",
            format!("{x}{sized}content-encoding: identity\r\ncontent-encoding: zstd\r\n"),
            "true",
            "415",
        ),
        ("POST /echo HTTP/1.1", format!("{x}{sized}content-encoding: Identity\r\n"), "true", "200"),
        ("POST /echo HTTP/1.1", format!("{x}content-length: 4\r\n"), "true", "415"),
    ];
    for (line, headers, body, status) in table {
        let request = format!("{line}\r\n{headers}\r\n{body}");
        let answer = port.exchange(&request, true).await.replace("HTTP/1.0", "HTTP/1.1");
        assert_eq!(statuses(&answer), [status], "{request:?}: {answer}");
        let is_coded = answer.contains("unsupported_content_encoding");
        assert_eq!(is_coded, answer.contains("accept-encoding: identity"), "{answer}");
        assert_eq!(is_coded, headers.contains("content-encoding") && status == "415", "{answer}");
    }
    assert!(port.counted("417") == 2 && port.counted("501") == 3, "requests refused by their head are counted");
}

#[tokio::test]
async fn after_a_length_and_a_coding_and_after_a_bad_host_the_connection_is_closed() {
    let port = Port::serve();
    let both = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\
                transfer-encoding: chunked\r\n\r\n4\r\ntrue\r\n0\r\n\r\n";
    let smuggled = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for first in [both, "GET / HTTP/1.1\r\n\r\n"] {
        let answer = port.exchange(&format!("{first}{smuggled}"), false).await;
        assert_eq!(statuses(&answer).len(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

/// A client that expects `100 Continue` has not sent its body yet, and gets a refusal by its head
/// at once.
#[tokio::test]
async fn an_expected_continue_is_sent_only_for_a_body_that_is_wanted() -> io::Result<()> {
    let port = Port::serve();
    let head = |fields: &str| format!("POST /echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n{fields}\r\n");
    let json = "content-type: application/json\r\n";
    for (fields, status) in [
        (format!("{json}content-length: 9999999\r\n"), "413"),
        ("content-type: text/plain\r\ncontent-length: 4\r\n".into(), "415"),
        (format!("{json}content-length: 4\r\ncontent-encoding: gzip\r\n"), "415"),
    ] {
        let answer = port.exchange(&head(&fields), false).await;
        assert_eq!(statuses(&answer), [status], "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // The length is enough for a refusal also without `Expect`.
    let long = format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{json}content-length: 9999999\r\n\r\n");
    assert_eq!(statuses(&port.exchange(&long, false).await), ["413"]);

    for (fields, body) in
        [("content-length: 4\r\n", "true"), ("transfer-encoding: chunked\r\n", "4\r\ntrue\r\n0\r\n\r\n")]
    {
        let mut client = TcpStream::connect(port.at).await?;
        client.write_all(head(&format!("{json}{fields}")).as_bytes()).await?;
        let mut interim = [0; 25];
        client.read_exact(&mut interim).await?;
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(body.as_bytes()).await?;
        socket2::SockRef::from(&client).shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert_eq!(statuses(&answer), ["200"], "{answer}");
    }
    // A body without a declared length is refused as soon as it is too long.
    let mut client = TcpStream::connect(port.at).await?;
    client.write_all(head(&format!("{json}transfer-encoding: chunked\r\n")).as_bytes()).await?;
    client.write_all(format!("30000\r\n{}", "7".repeat(0x30000)).as_bytes()).await?;
    let mut answer = String::new();
    timeout(TIMEOUT, client.read_to_string(&mut answer)).await??;
    assert_eq!(statuses(&answer), ["100", "413"], "{answer}");
    Ok(())
}
