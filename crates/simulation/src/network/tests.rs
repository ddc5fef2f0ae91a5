use super::*;
use crate::trace::TraceDetail;

const CALLER: (MachineId, ProcessId) = (0, 10);

fn network(conditions: NetworkConditions) -> (SimulatedNetwork, RunTrace) {
    let mut network = SimulatedNetwork::new(vec!["a".into(), "b".into()], Random::new(1));
    network.conditions = conditions;
    (network, RunTrace::new(TraceDetail::Nothing, None))
}

fn arrivals(network: &mut SimulatedNetwork, until: Millis) -> Vec<NetworkMessage> {
    (1..=until).flat_map(|now| network.due(now)).collect()
}

fn request() -> Request<Bytes> {
    Request::get("/x").body(Bytes::new()).unwrap()
}

#[test]
fn a_request_and_its_response_arrive_later_than_they_were_sent() {
    let (mut network, mut trace) = network(NetworkConditions::PERFECT);
    let call = network.next_call();
    let mut response = network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace);
    assert!(network.due(0).is_empty());
    let arrived = arrivals(&mut network, 5);
    assert!(matches!(arrived[..], [NetworkMessage::Request { to: 1, port: 7, .. }]), "{arrived:?}");
    network.respond(5, call, Ok(Response::new(Bytes::new())), &mut trace);
    for message in arrivals(&mut network, 10) {
        let NetworkMessage::Response { call, outcome } = message else { panic!("{message:?}") };
        network.complete(call, outcome);
    }
    assert_eq!(response.try_recv().unwrap().unwrap().status(), 200);
}

#[test]
fn the_weather_drops_doubles_and_delays() {
    let (mut network, mut trace) = network(NetworkConditions { dropped: 1000, ..NetworkConditions::PERFECT });
    network.next_call();
    network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace);
    assert!(arrivals(&mut network, 100).is_empty());
    network.conditions =
        NetworkConditions { duplicated: 1000, delayed: 1000, delay: 50..=60, ..NetworkConditions::PERFECT };
    network.next_call();
    network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace);
    assert!(arrivals(&mut network, 49).is_empty());
    assert_eq!(arrivals(&mut network, 60).len(), 2);
    assert_eq!(trace.faults()["drop"], 1);
}

#[test]
fn a_lost_packet_is_sent_again() {
    let (mut network, mut trace) = network(NetworkConditions { packets_lost: 300, ..NetworkConditions::PERFECT });
    for _ in 0..1000 {
        network.next_call();
        drop(network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace));
    }
    let arrived = [5, 205, 605, 1405].map(|until| arrivals(&mut network, until).len());
    assert!((650..750).contains(&arrived[0]), "{arrived:?}");
    assert!(arrived[1] > 150 && arrived[2] > 30 && arrived[3] > 5, "{arrived:?}");
    arrivals(&mut network, 60_000);
    assert!(network.in_flight.is_empty(), "nothing is lost for good");
}

#[test]
fn a_cut_goes_one_way() {
    let (mut network, mut trace) = network(NetworkConditions::PERFECT);
    network.cut(1, 0);
    let call = network.next_call();
    let _response = network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace);
    assert_eq!(arrivals(&mut network, 5).len(), 1, "the request passes");
    network.respond(5, call, Ok(Response::new(Bytes::new())), &mut trace);
    assert_eq!(arrivals(&mut network, 20).len(), 0, "its response does not");
    network.heal(20);
    network.next_call();
    network.send_request(20, (1, 11), &Address::new("a", 7), request(), &mut trace);
    assert_eq!(arrivals(&mut network, 30).len(), 1);
}

#[test]
fn held_back_messages_arrive_when_the_link_is_open() {
    let (mut network, mut trace) = network(NetworkConditions { held_back: 1000, ..NetworkConditions::PERFECT });
    let mut send = |network: &mut SimulatedNetwork, now| {
        network.next_call();
        drop(network.send_request(now, CALLER, &Address::new("b", 7), request(), &mut trace));
    };
    network.cut(0, 1);
    send(&mut network, 0);
    assert!(arrivals(&mut network, 100).is_empty());
    network.freeze(0, 1, 60_000);
    network.heal(100);
    send(&mut network, 100);
    assert_eq!(network.quiet_at(100), 60_000 + HELD_BACK_DELAY_MAX);
    assert!(arrivals(&mut network, 59_999).is_empty());
    assert_eq!(arrivals(&mut network, 60_000 + HELD_BACK_DELAY_MAX).len(), 2);
    send(&mut network, 70_000);
    assert_eq!(arrivals(&mut network, 70_010).len(), 1);
}

#[test]
fn the_death_of_a_process_resets_its_connections_if_the_machine_is_alive() {
    for (closes_connections, outcome) in [(true, Some(Err(ConnectionError::Reset))), (false, None)] {
        let (mut network, mut trace) = network(NetworkConditions::PERFECT);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let call = network.next_call();
        let mut response = network.send_request(0, CALLER, &Address::new("b", 7), request(), &mut trace);
        arrivals(&mut network, 5);
        network.add_handler(call, 20, runtime.spawn(async {}).abort_handle());
        network.process_died(5, 20, closes_connections, &mut trace);
        for message in arrivals(&mut network, 20) {
            let NetworkMessage::Response { call, outcome } = message else { panic!("{message:?}") };
            network.complete(call, outcome);
        }
        assert_eq!(
            response.try_recv().ok().map(|outcome| outcome.map(drop)),
            outcome,
            "closes connections: {closes_connections}"
        );
    }
}
