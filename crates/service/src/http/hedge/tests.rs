use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::exit::ExitCode;
use crate::http::{Client, ClientOptions};
use crate::world::{self, ConnectionError, World, disk};

/// When each copy is answered or lost, in the order of arrival.
#[derive(Debug, Default)]
struct Plan {
    outcomes: Mutex<Vec<(Duration, Option<ConnectionError>)>>,
    arrived: AtomicUsize,
    finished: Arc<AtomicUsize>,
}

/// A network that treats each copy as planned. A copy without a plan is lost.
#[derive(Debug)]
struct Network(Plan);

impl World for Network {
    fn random(&self) -> u64 {
        unreachable!("no random number is needed")
    }

    fn exit(&self, _: ExitCode, reason: String) -> Box<dyn std::any::Any + Send> {
        unreachable!("{reason}")
    }

    fn bind(&self, _: u16) -> std::io::Result<std::net::SocketAddr> {
        unreachable!("nothing is served")
    }

    fn serve(&self, _: std::net::SocketAddr, _: Router, _: CancellationToken) -> BoxFuture<'static, ()> {
        unreachable!("nothing is served")
    }

    fn send(&self, _: Address, _: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, ConnectionError>> {
        let copy = self.0.arrived.fetch_add(1, Ordering::Relaxed);
        let outcome = self.0.outcomes.lock().unwrap().get(copy).copied();
        let finished = Arc::clone(&self.0.finished);
        Box::pin(async move {
            let Some((after, lost)) = outcome else { return std::future::pending().await };
            sleep(after).await;
            finished.fetch_add(1, Ordering::Relaxed);
            lost.map_or_else(|| Ok(Response::new(Bytes::from(copy.to_string()))), Err)
        })
    }

    fn event(&self, _: api::event::Event) {}

    fn disk(&self) -> &dyn disk::FileSystem {
        unreachable!("nothing is stored")
    }

    fn blocking_delay(&self) -> BoxFuture<'static, ()> {
        unreachable!("nothing blocks")
    }
}

const MS: Duration = Duration::from_millis(1);

fn lost() -> (Duration, Option<ConnectionError>) {
    (Duration::from_hours(1), None)
}

/// A client in a world with this network.
fn client(outcomes: &[(Duration, Option<ConnectionError>)]) -> (Client, Arc<Network>) {
    let network = Arc::new(Network(Plan { outcomes: Mutex::new(outcomes.to_vec()), ..Plan::default() }));
    let _entered = world::enter(Arc::clone(&network) as Arc<dyn World>);
    let options = ClientOptions { connect_timeout: MS, keepalive: None, token: None, headers: HeaderMap::new() };
    (Client::new(options), network)
}

async fn send(client: &Client, hedge: Hedge, timeout: Duration) -> SendResult {
    let request = ClientRequest {
        method: Method::GET,
        path: "/x",
        route: "/x",
        headers: HeaderMap::new(),
        body: Payload::Empty,
        timeout: Some(timeout),
        response_bytes_max: 100,
        hedge: Some(hedge),
    };
    client.send(&Address::new("b", 7), request).await
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_in_time_is_sent_once() {
    let (client, network) = client(&[(29 * MS, None)]);
    assert!(send(&client, Hedge::QUICK, 300 * MS).await.is_ok());
    assert_eq!(network.0.arrived.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_response_wins_and_the_other_copies_continue() {
    let (client, network) = client(&[(200 * MS, None), lost(), (5 * MS, None)]);
    let (begun, sent) = (Instant::now(), Arc::default());
    let (_, body) = send(&client, Hedge::QUICK.counted(Arc::clone(&sent)), 300 * MS).await.unwrap();
    assert_eq!((&body[..], begun.elapsed() / 10), (&b"2"[..], 65 * MS / 10), "the third copy's");
    assert_eq!(sent.load(Ordering::Relaxed), 3);
    sleep(200 * MS).await;
    assert_eq!(
        network.0.finished.load(Ordering::Relaxed),
        2,
        "the first copy was answered, too, so its connection is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn the_caller_times_out_and_the_copies_continue() {
    let (client, network) = client(&[lost(), (500 * MS, None)]);
    let begun = Instant::now();
    assert_eq!(send(&client, Hedge::QUICK, 150 * MS).await, Err(SendError::TimedOut));
    assert_eq!(begun.elapsed(), 150 * MS);
    sleep(500 * MS).await;
    assert_eq!(network.0.finished.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_does_not_count_while_another_copy_is_in_flight() {
    let (client, _) = client(&[(60 * MS, Some(ConnectionError::Reset)), (100 * MS, None)]);
    assert!(send(&client, Hedge::QUICK, 300 * MS).await.is_ok());
    let (client, _) = self::client(&[(60 * MS, Some(ConnectionError::Reset)); 2]);
    let broken = send(&client, Hedge { copies: 2, ..Hedge::QUICK }, 300 * MS).await;
    assert!(matches!(broken, Err(SendError::Broken(_))), "{broken:?}");
    let (client, _) = self::client(&[lost(), (MS, Some(ConnectionError::Refused))]);
    let refused = send(&client, Hedge::QUICK, 300 * MS).await;
    assert!(matches!(refused, Err(SendError::NotListening(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_additional_copies_of_a_client_are_bounded() {
    let (client, network) = client(&[]);
    let requests = (0..40).map(|_| send(&client, Hedge::QUICK, 300 * MS));
    futures::future::join_all(requests).await;
    assert_eq!(network.0.arrived.load(Ordering::Relaxed), 40 + EXTRA_MAX);
}
