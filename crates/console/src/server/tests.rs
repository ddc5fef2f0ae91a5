use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::http::{Method, Request, StatusCode};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::state::FEEDS_MAX;
use super::*;
use crate::control::{Control, ControlError, ControlsState, OwnedProcess, Shoppers, StoreControls};
use crate::frame::Frame;
use crate::hub::Frames;

/// Controls that remember what they were told to do.
#[derive(Debug)]
struct Recorder(mpsc::Sender<Control>);

impl StoreControls for Recorder {
    fn state(&self) -> ControlsState {
        let shoppers = Shoppers { count: 0, order_probability: 0.0, hot_product: None };
        ControlsState { shoppers, cache: true, cut: Vec::new(), slow: Vec::new(), full: Vec::new() }
    }

    fn processes(&self) -> Vec<OwnedProcess> {
        Vec::new()
    }

    fn perform(&self, control: Control) -> BoxFuture<'_, Result<(), ControlError>> {
        async move {
            match control {
                Control::KillAll => Err(ControlError::Failed("they do not die".to_owned())),
                Control::Kill { process } if process == "nobody" => {
                    Err(ControlError::Invalid("there is no process nobody".to_owned()))
                }
                control => {
                    self.0.try_send(control).unwrap();
                    Ok(())
                }
            }
        }
        .boxed()
    }
}

struct Console {
    router: Router,
    frames: Frames,
    performed: mpsc::Receiver<Control>,
    clicks: mpsc::Receiver<(Control, u64)>,
}

fn console(with_controls: bool) -> Console {
    let frames = Frames::new();
    let (done, performed) = mpsc::channel(8);
    let (clicked, clicks) = mpsc::channel(8);
    let desk = with_controls.then(|| ControlDesk::new(Arc::new(Recorder(done)), clicked));
    let server = ConsoleServer::new(frames.clone(), Some("http://localhost:1110".to_owned()), desk);
    Console { router: server.into_service().router().clone(), frames, performed, clicks }
}

impl Console {
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Response) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost:1100");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        (response.status(), response)
    }

    async fn get(&self, path: &str) -> (StatusCode, Response) {
        self.send(Method::GET, path, &[], "").await
    }

    /// The status of a control, and its error code.
    async fn control(&self, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let (status, response) = self.send(Method::POST, "/api/control", headers, body).await;
        let code = json_of(response).await["error"]["code"].as_str().unwrap_or_default().to_owned();
        (status.as_u16(), code)
    }
}

async fn json_of(response: Response) -> Value {
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn frame(n: u64) -> Frame {
    let changes = crate::frame::Changes::default();
    Frame { n, at_ms: n, complete: false, changes, flows: Vec::new(), events: Vec::new(), dropped: 0 }
}

const FROM_PAGE: [(&str, &str); 4] = [
    ("x-toystore-console", "1"),
    ("content-type", "application/json; charset=utf-8"),
    ("origin", "http://localhost:1100"),
    ("sec-fetch-site", "same-origin"),
];

const KILL: &str = r#"{"action":"kill","process":"order-1"}"#;

#[tokio::test]
async fn the_page_can_control_the_store() {
    let mut console = console(true);
    assert_eq!(console.control(&FROM_PAGE, KILL).await, (200, String::new()));
    let expected = Control::Kill { process: "order-1".to_owned() };
    assert_eq!(console.performed.recv().await, Some(expected.clone()));
    assert_eq!(console.clicks.recv().await.map(|(control, _)| control), Some(expected));
    // A program that is no browser sends neither of the other headers.
    assert_eq!(console.control(&FROM_PAGE[..2], KILL).await.0, 200);
    let wrong = |code: &str, status| (status, code.to_owned());
    assert_eq!(console.control(&FROM_PAGE, r#"{"action":"kill_all"}"#).await, wrong("control_failed", 500));
    assert_eq!(console.control(&FROM_PAGE, &KILL.replace("order-1", "nobody")).await, wrong("bad_request", 400));
    assert_eq!(console.control(&FROM_PAGE, r#"{"action":"explode"}"#).await, wrong("bad_request", 400));
}

#[tokio::test]
async fn another_page_cannot_control_the_store() {
    let mut console = console(true);
    let with = |name: &'static str, value: &'static str| {
        let others = FROM_PAGE.into_iter().filter(|(other, _)| *other != name);
        others.chain((!value.is_empty()).then_some((name, value))).collect::<Vec<_>>()
    };
    for (name, value, status) in [
        ("x-toystore-console", "", 403),
        ("x-toystore-console", "0", 403),
        ("origin", "http://evil.example", 403),
        ("origin", "http://localhost:8080", 403),
        ("origin", "https://localhost:1100", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("content-type", "text/plain", 415),
        ("content-type", "", 415),
    ] {
        let (seen, code) = console.control(&with(name, value), KILL).await;
        assert_eq!(seen, status, "{name}: {value}");
        assert_eq!(code, if status == 403 { "forbidden" } else { "unsupported_media_type" });
    }
    let (status, _) = console.send(Method::GET, "/api/history", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "nor read anything");
    assert!(console.performed.try_recv().is_err() && console.clicks.try_recv().is_err());
}

#[tokio::test]
async fn a_console_without_controls_says_so() {
    let console = console(false);
    assert_eq!(console.control(&FROM_PAGE, KILL).await, (404, "not_found".to_owned()));
    let about = json_of(console.get("/api/about").await.1).await;
    assert_eq!((&about["controls"], &about["store"]), (&json!(false), &json!("http://localhost:1110")));
    assert_eq!((&about["keep_s"], &about["frame_ms"]), (&json!(600), &json!(250)));
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let console = console(true);
    for (path, status) in [("/", 200), ("/api/about", 200), ("/assets/no.js", 404), ("/nowhere", 404)] {
        let (seen, response) = console.get(path).await;
        assert_eq!(seen.as_u16(), status, "{path}");
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert!(header("content-security-policy").unwrap().starts_with("default-src 'none'; script-src 'self';"));
        assert_eq!(header("x-content-type-options").unwrap(), "nosniff");
        assert_eq!(header("referrer-policy").unwrap(), "no-referrer");
        let cache = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(header("cache-control").unwrap(), cache, "{path}");
    }
    assert_eq!(console.get("/").await.1.headers()["content-type"], "text/html; charset=utf-8");
    for outside in ["/assets/tests%2Fx.js", "/assets/..%2FCargo.toml", "/assets/"] {
        assert_eq!(console.get(outside).await.0, StatusCode::NOT_FOUND, "{outside}");
    }
}

#[tokio::test]
async fn a_feed_begins_where_the_page_was() {
    let console = console(false);
    (1..=3).for_each(|n| console.frames.publish(&frame(n)));
    let history = json_of(console.get("/api/history").await.1).await;
    assert_eq!(history["frames"].as_array().unwrap().len(), 3);
    for (path, headers) in [("/api/feed?after=2", &[][..]), ("/api/feed?after=1", &[("last-event-id", "2")][..])] {
        let (status, response) = console.send(Method::GET, path, headers, "").await;
        assert_eq!(
            (status, &response.headers()["content-type"]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        let mut feed = response.into_body().into_data_stream();
        let first = feed.next().await.unwrap().unwrap();
        assert!(first.starts_with(b"id: 3\nevent: frame\ndata: {\"n\":3,"), "{first:?}");
        console.frames.publish(&frame(4));
        assert!(feed.next().await.unwrap().unwrap().starts_with(b"id: 4\n"));
    }
}

#[tokio::test]
async fn a_slow_page_is_cut_off_and_only_so_many_pages_are_served() {
    let console = console(false);
    console.frames.publish(&frame(1));
    let slow = console.get("/api/feed?after=1").await.1;
    (2..=100).for_each(|n| console.frames.publish(&frame(n)));
    let pieces: Vec<_> = slow.into_body().into_data_stream().collect().await;
    assert_eq!(pieces.len(), 0, "the stream has ended");
    let mut open = Vec::new();
    for _ in 0..FEEDS_MAX {
        open.push(console.get("/api/feed").await.1);
    }
    assert_eq!(console.get("/api/feed").await.0, StatusCode::SERVICE_UNAVAILABLE);
    drop(open);
    assert_eq!(console.get("/api/feed").await.0, StatusCode::OK);
}

/// The response to a request from `host`, and its first line.
async fn over_tcp(at: std::net::SocketAddr, host: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let request = format!("GET /api/about HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn only_a_console_on_loopback_has_controls_and_it_checks_the_host() {
    for (host, has_controls) in [(Ipv4Addr::LOCALHOST, true), (Ipv4Addr::UNSPECIFIED, false)] {
        let listener = service::http::Listener::bind(host.into(), 0).unwrap();
        let at = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, listener.address().port()));
        let config = crate::console::ConsoleConfig {
            listener,
            sources: tokio::sync::watch::Sender::new(Vec::new()).subscribe(),
            client: service::json_client::JsonClient::new(None),
            store_url: None,
        };
        let controls: Arc<dyn StoreControls> = Arc::new(Recorder(mpsc::channel(8).0));
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(crate::console::run(config, Some(controls), stop.clone()));
        let about = over_tcp(at, "localhost").await;
        assert!(about.contains(&format!("\"controls\":{has_controls}")), "{about}");
        let foreign = over_tcp(at, "evil.example").await;
        assert!(foreign.starts_with("HTTP/1.1 421 "), "{foreign}");
        stop.cancel();
        running.await.unwrap();
    }
}
