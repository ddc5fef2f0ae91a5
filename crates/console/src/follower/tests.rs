use std::net::Ipv4Addr;

use api::event::Event;
use api::{Address, Ordinal};
use service::events;
use service::http::{Limits, Listener, serve};

use super::*;
use crate::source::ServiceKind;

fn follower(at: &Address) -> (Task, mpsc::Receiver<Observed>) {
    let (observed, observations) = mpsc::channel(64);
    let context = FollowerContext {
        client: JsonClient::new(None),
        observed,
        polling: Some(Polling {
            compared_at: watch::Sender::new(0).subscribe(),
            scrape_interval: Duration::from_secs(1),
        }),
    };
    let process = ProcessAddress {
        name: "catalog".to_owned(),
        service: ServiceKind::Catalog,
        ordinal: Ordinal(1),
        internal: at.clone(),
        known_as: Vec::new(),
    };
    (follow(&process, &context), observations)
}

#[tokio::test]
async fn the_events_of_a_process_arrive_and_a_missing_answer_is_noticed() {
    // A process that has events, and no status.
    let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
    let at = Address::new("127.0.0.1", listener.address().port());
    let _port = serve(listener, events::routes(), Limits::default());
    events::emit(Event::LeaseHeld {});
    let (_task, mut observations) = follower(&at);
    let mut has_emitted = false;
    let (mut seen, mut is_missing) = (Vec::new(), false);
    while seen.len() < 2 || !is_missing {
        match observations.recv().await.unwrap().what {
            // All tests share the events of this process.
            Observation::Event { recorded, .. } if matches!(recorded.event, Event::FollowsNobody { .. }) => {}
            Observation::Event { recorded, past } => seen.push((recorded.event, past)),
            Observation::Polled(None) => is_missing = true,
            Observation::Opened { restarted: false } => assert_eq!(seen, []),
            other => panic!("{other:?}"),
        }
        if !seen.is_empty() && !std::mem::replace(&mut has_emitted, true) {
            events::emit(Event::LeaseLost { error: api::event::Text::of("a test") });
        }
    }
    assert_eq!(seen[0], (Event::LeaseHeld {}, true));
    assert!(matches!(&seen[1], (Event::LeaseLost { .. }, false)));
}
