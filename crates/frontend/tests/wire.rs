//! Requests as exact bytes: paths that a client library would normalize before sending them, and
//! what clients of similar stores send.

mod store;

use std::collections::BTreeSet;

use api::ErrorCode;
use serde_json::{Value, json};
use store::{Behavior, Store, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A status and a JSON body.
type Answer = (u16, Value);

/// Sends a request with the given request line, headers and body, and reads the head and the body
/// of the response. Adds the headers that every request has.
async fn exchange(url: &str, line: &str, headers: &str, body: &str) -> (String, String) {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {answer:?}"));
    (head.to_ascii_lowercase(), body.to_owned())
}

/// The same for a response in JSON.
async fn send(url: &str, line: &str, headers: &str, body: &str) -> Answer {
    let (head, body) = exchange(url, line, headers, body).await;
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{line}: {head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{line}: {error}: {body}"));
    // Each known path returns the session, whatever the outcome.
    let is_known = body["error"]["code"] != "not_found" && headers.contains(SESSION);
    assert_eq!(head.contains("\r\nsession-id: s-1\r\n"), is_known, "{line}: {head}");
    (status, body)
}

const SESSION: &str = "Session-ID: s-1\r\n";

/// Sends the request twice: without and with a session. Both must have the same status.
async fn with_and_without_session(url: &str, line: &str, headers: &str, body: &str) -> Answer {
    let without = send(url, line, headers, body).await;
    let with = send(url, line, &format!("{SESSION}{headers}"), body).await;
    assert_eq!(without.0, with.0, "{line}: {without:?} {with:?}");
    with
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_in_place_of_a_name_is_a_product_or_not_found() {
    let store = Store::start().await;
    let long = "x".repeat(10_000);
    let nothing = [
        "..",
        ".",
        "%2e",
        "%2E",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%2f",
        "%5c",
        "..%2f..",
        "%2e%2e%2fTux",
        "/",
        "//",
        ";",
        "%3b",
        "?",
        "%",
        "%0",
        "%zz",
        "%00",
        "Tux%00",
        "%0a",
        "%ff",
        "%c3%28",
        "%ed%a0%80",
        "%20",
        "Tux%20",
        "%E2%80%AE",
        "../Tux",
        "Tux/..",
        "Tux/.",
        "Tux//",
        "*",
        "a:b@c",
        "[",
        "%252e",
        "Größe",
        &long,
    ];
    for name in nothing {
        let line = format!("GET /products/{name}");
        let (status, body) = with_and_without_session(&store.public, &line, "", "").await;
        let code = body["error"]["code"].as_str().unwrap_or_default();
        // With another slash, the path is unknown.
        assert!(status == 404 && ["no_such_product", "not_found"].contains(&code) || name == "?", "{line}: {body}");
    }
    let (status, body) = with_and_without_session(&store.public, "GET /products/?", "", "").await;
    assert!(status == 200 && body["data"].is_array(), "without a name, it is the list of all products: {body}");
    for (name, path) in [("Tux", "Tux"), ("50% off/on? #1", "50%25%20off%2Fon%3F%20%231"), ("Tux", "%54u%78")] {
        let (status, body) = with_and_without_session(&store.public, &format!("GET /products/{path}"), "", "").await;
        assert_eq!((status, &body["data"]["name"]), (200, &json!(name)), "{path}");
    }
    // The same holds for names that are to be removed from the cache.
    for name in ["..", "%2e%2e", ".", "%00", "%ff", "Unicorn%00", &long] {
        let (status, body) = send(&store.internal, &format!("DELETE /cache/{name}"), "", "").await;
        assert_eq!((status, &body["error"]["code"]), (404, &json!("no_such_product")), "{name}: {body}");
    }
    assert_eq!(send(&store.internal, "DELETE /cache/50%25%20off%2Fon%3F%20%231", "", "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_whose_name_cannot_be_in_a_url_cannot_be_ordered() {
    let store = Store::start().await;
    for name in [".", "..", "", "\0", " Tux"] {
        let body = json!({ "name": name, "quantity": 1 }).to_string();
        let (status, answer) = with_and_without_session(&store.public, "POST /orders", &length(&body), &body).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("no_such_product")), "{name:?}: {answer}");
    }
    assert_eq!(store.orders.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_public_path_may_end_with_a_slash() {
    let store = Store::start().await;
    let body = r#"{"name":"Tux","quantity":1}"#;
    let (status, placed) = with_and_without_session(&store.public, "POST /orders/", &length(body), body).await;
    assert_eq!(
        (status, &placed["data"]["order_number"]),
        (200, &json!(2)),
        "one without and one with a session: {placed}"
    );
    for path in ["/products/", "/products/Tux/", "/products/Tux/?a=b/", "/orders/1/", "/openapi.json/"] {
        let (status, body) = with_and_without_session(&store.public, &format!("GET {path}"), "", "").await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    for path in ["healthz", "readyz", "metrics"] {
        assert_eq!(store.get(&format!("/{path}/")).await.status(), 200, "{path}");
    }
    for path in ["/", "//", "/orders//", "/products/Tux//"] {
        assert_eq!(with_and_without_session(&store.public, &format!("GET {path}"), "", "").await.0, 404, "{path}");
    }
    let metrics = store.get("/metrics").await.text().await.unwrap();
    assert!(!metrics.contains(r#"route="/orders/""#), "each route has one name in the metrics");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_content_type_is_json_and_a_wrong_content_type_is_refused() {
    let store = Store::start().await;
    let body = r#"{"name":"Tux","quantity":1}"#;
    assert_eq!(with_and_without_session(&store.public, "POST /orders", &length(body), body).await.0, 200);
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"] {
        let headers = format!("Content-Type: {wrong}\r\n{}", length(body));
        let (status, answer) = with_and_without_session(&store.public, "POST /orders", &headers, body).await;
        assert_eq!((status, &answer["error"]["code"]), (415, &json!("unsupported_media_type")), "{wrong:?}");
    }
    let form = "name=Tux&quantity=1";
    let (status, answer) = with_and_without_session(&store.public, "POST /orders", &length(form), form).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_request")), "{answer}");
    assert_eq!(store.orders.placed(), 2);
}

/// The headers that Python's `requests` adds. A common client of such stores uses it: the client
/// reads a product, orders one piece, and in the end reads each order by POST. It treats any JSON
/// object with `error` as a failure, and depends on everything else that is asserted here.
const PYTHON: &str = "User-Agent: python-requests/2.28.2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_orders_by_post_is_supported() {
    let store = Store::start().await;
    let (status, product) = with_and_without_session(&store.public, "GET /products/Tux", PYTHON, "").await;
    assert!(status == 200 && product.get("error").is_none());
    assert_eq!(product["data"]["name"], "Tux");
    assert!(product["data"]["quantity"].is_u64() && product["data"]["price"].is_f64(), "{product}");

    let body = r#"{"name": "Tux", "quantity": 1}"#;
    let headers = format!("{PYTHON}{}Content-Type: application/json\r\n", length(body));
    let (status, placed) = send(&store.public, "POST /orders", &headers, body).await;
    assert!(status == 200 && placed.get("error").is_none(), "{placed}");
    let number = placed["data"]["order_number"].as_i64().expect("a number, and not a string");

    for path in [format!("/orders/{number}"), format!("/orders/{number}/")] {
        let headers = format!("{PYTHON}Content-Length: 0\r\n");
        let by_post = with_and_without_session(&store.public, &format!("POST {path}"), &headers, "").await;
        assert_eq!(by_post, (200, json!({ "data": { "number": number, "name": "Tux", "quantity": 1 } })));
        assert_eq!(with_and_without_session(&store.public, &format!("GET {path}"), PYTHON, "").await, by_post);
    }
    for (line, status) in [("POST /orders/999", 404), ("POST /orders/x", 400), ("GET /products/Unicorn", 404)] {
        let headers = format!("{PYTHON}Content-Length: 0\r\n");
        let (seen, answer) = with_and_without_session(&store.public, line, &headers, "").await;
        assert!(seen == status && answer.get("error").is_some() && answer.get("data").is_none(), "{line}: {answer}");
    }
    store.orders.set_behavior(Behavior::Refuse(ErrorCode::OutOfStock));
    let headers = format!("{PYTHON}{}Content-Type: application/json\r\n", length(body));
    let (status, refused) = with_and_without_session(&store.public, "POST /orders", &headers, body).await;
    assert!(status == 409 && refused.get("error").is_some(), "{refused}");
}

fn length(body: &str) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

/// Writes the request, closes the sending half of the connection, and then reads.
async fn half_closed(url: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_sending_half_gets_its_responses_on_both_ports() {
    let store = Store::start().await;
    let (post, order) = (
        "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
        r#"{"name":"Tux","quantity":1}"#,
    );
    let by_length = format!("{post}Content-Length: {}\r\n\r\n{order}", order.len());
    let in_session = format!("{post}Session-ID: 7\r\nContent-Length: {}\r\n\r\n{order}", order.len());
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{order}\r\n0\r\n\r\n", order.len());
    let read = "GET /products/Tux HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (requests, answers) in [
        (by_length.clone(), 1),
        (in_session.clone(), 1),
        (chunked.clone(), 1),
        (read.to_owned(), 1),
        (format!("{read}{by_length}{chunked}{read}{in_session}"), 5),
    ] {
        let answer = half_closed(&store.public, &requests).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), answers, "{requests}: {answer}");
        assert_eq!(answer.matches("order_number").count(), requests.matches("POST").count(), "{answer}");
    }
    let answer = half_closed(&store.internal, "GET /cache HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_gets_the_head_of_the_response_and_no_body() {
    let store = Store::start().await;
    let paths =
        ["/products/Tux", "/products/Unicorn", "/products", "/orders/1", "/openapi.json", "/healthz", "/readyz"];
    // The second time, the product and the list are in the cache.
    for path in paths.into_iter().chain(paths) {
        for session in ["", SESSION] {
            let (get, body) = exchange(&store.public, &format!("GET {path}"), session, "").await;
            let (head, nothing) = exchange(&store.public, &format!("HEAD {path}"), session, "").await;
            let lines = |head: &str| {
                let lines = head.split("\r\n").filter(|line| !line.starts_with("date: "));
                lines.map(str::to_owned).collect::<BTreeSet<_>>()
            };
            assert_eq!((lines(&head), nothing.as_str()), (lines(&get), ""), "{path}");
            assert!(get.contains(&format!("\r\ncontent-length: {}", body.len())), "{path}: {get}");
        }
    }
    // The next response on the connection begins right after the head.
    let requests = "HEAD /products/Tux HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
    let answer = half_closed(&store.public, &requests).await;
    assert_eq!(answer.matches("\r\n\r\nHTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let metrics = store.get("/metrics").await.text().await.unwrap();
    let counted = r#"toystore_http_request_duration_seconds_count{method="HEAD",port="public",route="/products/{name}",status="200"} 6"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_support_is_refused_with_those_that_it_supports() {
    let store = Store::start().await;
    for (path, allow) in [
        ("/products", "get,head"),
        ("/products/Tux/", "get,head"),
        ("/orders", "post"),
        ("/orders/7", "get,head,post"),
        ("/openapi.json", "get,head"),
        ("/metrics", "get,head"),
    ] {
        for session in ["", SESSION, "Session-ID: two words\r\n"] {
            let (head, body) = exchange(&store.public, &format!("BREW {path}"), session, "").await;
            assert!(head.starts_with("http/1.1 405 ") && body.contains("method_not_allowed"), "{path}: {head} {body}");
            assert!(head.contains(&format!("\r\nallow: {allow}\r\n")), "{path}: {head}");
        }
    }
    assert!(exchange(&store.public, "HEAD /orders", "", "").await.0.starts_with("http/1.1 405 "));
    let metrics = store.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains(r#"{method="other",port="public",route="/orders/{number}",status="405"} 3"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_may_be_sent_in_chunks() {
    let store = Store::start().await;
    let body = "1b\r\n{\"name\":\"Tux\",\"quantity\":1}\r\n0\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (status, placed) = with_and_without_session(&store.public, "POST /orders", chunked, body).await;
    assert_eq!((status, &placed["data"]["order_number"]), (200, &json!(2)), "{placed}");
    let body = format!("5000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x5000));
    let (status, refused) = with_and_without_session(&store.public, "POST /orders", chunked, &body).await;
    assert_eq!((status, &refused["error"]["code"]), (413, &json!("payload_too_large")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_an_order_is_refused_before_its_body_arrives_with_and_without_a_session() {
    const LIMIT: u32 = 64;
    let store = Store::start_with(|config| config.orders_in_flight_max = LIMIT).await;
    store.orders.set_behavior(Behavior::PlaceSilently);
    let mut orders = JoinSet::new();
    for _ in 0..LIMIT {
        let (client, url) = (store.client.clone(), format!("{}/orders", store.public));
        // An order gets 503 at its deadline, and the next one takes its place.
        orders.spawn(async move {
            loop {
                let _ = client.post(&url).body(r#"{"name":"Tux","quantity":1}"#).send().await;
            }
        });
    }
    let in_flight = format!(r#"toystore_frontend_in_flight_requests{{kind="order"}} {LIMIT}"#);
    let is_reached = async || store.get("/metrics").await.text().await.unwrap().contains(&in_flight).then_some(());
    // The body never arrives. Between two orders the limit is not reached for a moment: then the
    // server waits for the body in vain.
    for session in ["", SESSION] {
        let headers = format!("{session}Content-Length: 27\r\n");
        let (status, refused) = eventually("the body is not waited for", async || {
            eventually("the limit is reached", async || is_reached().await).await;
            let answer = send(&store.public, "POST /orders", &headers, "").await;
            (answer.0 != 408).then_some(answer)
        })
        .await;
        assert_eq!((status, &refused["error"]["code"]), (503, &json!("overloaded")), "{refused}");
    }
    let session = "Session-ID: two words\r\nContent-Length: 27\r\n";
    assert_eq!(send(&store.public, "POST /orders", session, "").await.0, 400);
    let metrics = store.get("/metrics").await.text().await.unwrap();
    let counted = |status| {
        let series = format!(r#"{{method="POST",port="public",route="/orders",status="{status}"}} "#);
        metrics.lines().find_map(|line| line.split_once(&series)?.1.parse::<u64>().ok()).unwrap_or_default()
    };
    assert_eq!(counted(400), 1, "{metrics}");
    // On a slow machine some of the orders have reached their deadline as well.
    assert!(counted(503) >= 2, "{metrics}");
}
