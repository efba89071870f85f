//! Handshakes and connects.

use super::*;

#[test]
fn a14_unconnected_connecting_by_a_handshake_connected_by_a_connect_reply() {
    let mut world = World::new();
    assert_eq!(world.session.state, State::Unconnected);
    world.take(Lane::Link);
    assert_eq!(world.session.state, State::Connecting);
    world.answer(Lane::Link, &handshake("c1", &normal()));
    assert_eq!(world.session.state, State::Connecting);
    world.take(Lane::Link);
    world.succeed(Lane::Link);
    assert_eq!(world.states(), [State::Connecting, State::Connected]);
}

#[test]
fn a14_unconnected_when_no_answer_comes_and_connected_again_by_a_connect() {
    let mut world = World::up();
    world.fail(Lane::Link);
    assert_eq!(world.session.state, State::Unconnected);
    world.pass(1_000);
    world.take(Lane::Link);
    world.succeed(Lane::Link);
    let expected = [State::Connecting, State::Connected, State::Unconnected, State::Connected];
    assert_eq!(world.states(), expected);
}

#[test]
fn e2_e3_a_handshake_has_its_fields_and_goes_alone() {
    let mut world = World::new();
    publish(&mut world, 1);
    let expected = json!([{
        "channel": "/meta/handshake", "id": "1", "version": "1.0",
        "supportedConnectionTypes": ["long-polling"],
    }]);
    assert_eq!(json!(world.take(Lane::Link)), expected);
    assert_eq!(world.sends(Lane::Messages), None, "there is no session to send them in");
}

#[test]
fn e10_a_connect_has_its_fields() {
    let mut world = World::new();
    world.shake();
    let expected = json!({
        "channel": "/meta/connect", "id": "2", "clientId": "c1",
        "connectionType": "long-polling",
    });
    assert_eq!(world.message(Lane::Link), expected);
}

#[test]
fn e12_there_is_never_a_second_connect_while_one_is_outstanding() {
    let mut world = World::up();
    for _ in 0..100 {
        world.pass(10_000);
        assert_eq!(world.sends(Lane::Link), None);
        assert_eq!(world.due(Lane::Link), None);
    }
}

#[test]
fn a1_r7_no_more_than_two_requests_whatever_is_asked() {
    let mut world = World::up();
    publish(&mut world, 1);
    world.take(Lane::Messages);
    publish(&mut world, 2);
    subscribe(&mut world, "/a");
    assert_eq!((world.sends(Lane::Link), world.sends(Lane::Messages)), (None, None));
}

#[test]
fn r3_d1_the_next_connect_goes_at_once_when_the_interval_is_zero() {
    let mut world = World::up();
    world.succeed(Lane::Link);
    let message = world.message(Lane::Link);
    assert_eq!(message["channel"], "/meta/connect");
    assert_eq!(message["clientId"], "c1");
    assert_eq!(message.get("advice"), None);
}

#[test]
fn d7_e13_the_next_connect_waits_for_the_interval() {
    let mut world = World::up();
    world.pass(5_000);
    world.advise(&json!({ "reconnect": "retry", "interval": 1_000 }));
    assert_eq!(world.sends(Lane::Link), None);
    world.pass(999);
    assert_eq!(world.sends(Lane::Link), None);
    world.pass(1);
    assert_eq!(world.message(Lane::Link)["channel"], "/meta/connect");
}

#[test]
fn d7_a_negative_interval_is_the_end() {
    let mut world = World::up();
    world.advise(&json!({ "reconnect": "retry", "interval": -1 }));
    assert!(matches!(world.session.over(), Some(ClientError::GaveUp(_))));
}

#[test]
fn d2_handshake_advice_leads_to_a_handshake_and_never_to_a_connect() {
    let mut world = World::up();
    world.answer(Lane::Link, &json!([gone("/meta/connect", &json!("3"))]));
    assert_eq!(world.session.state, State::Unconnected);
    world.pass(1_000);
    let message = world.message(Lane::Link);
    assert_eq!(message["channel"], "/meta/handshake");
    assert_eq!(message.get("clientId"), None);
}

#[test]
fn d3_none_is_the_end_and_the_application_is_told() {
    for successful in [true, false] {
        let mut world = World::up();
        world.answer(
            Lane::Link,
            &json!([{
                "channel": "/meta/connect", "successful": successful,
                "advice": { "reconnect": "none" },
            }]),
        );
        assert!(matches!(world.session.over(), Some(ClientError::GaveUp(_))), "{successful}");
        world.pass(1_000_000);
        assert_eq!(world.sends(Lane::Link), None);
        assert_eq!(world.states().last(), Some(&State::Unconnected));
        let refused = world.session.publish("/a".to_owned(), to_raw_value(&1).unwrap());
        assert!(matches!(refused, Err(ClientError::GaveUp(_))));
    }
}

#[test]
fn d4_an_unknown_word_is_the_end() {
    let mut world = World::up();
    world.advise(&json!({ "reconnect": "x" }));
    assert!(world.session.over().is_some());
}

#[test]
fn d8_failures_without_advice_wait_ever_longer_and_by_chance() {
    let mut world = World::up();
    let mut waits = Vec::new();
    for _ in 0..7 {
        world.fail(Lane::Link);
        let before = world.now.duration_since(world.start).as_millis();
        let wait = world.due(Lane::Link).unwrap() - before;
        waits.push(wait);
        world.pass(u64::try_from(wait).unwrap());
        world.take(Lane::Link);
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    world.succeed(Lane::Link);
    world.take(Lane::Link);
    world.dice = 0.25;
    let before = world.now.duration_since(world.start).as_millis();
    world.fail(Lane::Link);
    assert_eq!(world.due(Lane::Link), Some(before + 250), "a success starts anew");
}

#[test]
fn d8_the_wait_comes_on_top_of_the_interval() {
    let mut world = World::up();
    world.advise(&json!({ "interval": 2_000 }));
    world.pass(2_000);
    world.take(Lane::Link);
    world.fail(Lane::Link);
    assert_eq!(world.due(Lane::Link), Some(2_000 + 2_000 + 1_000));
}

#[test]
fn after_a_break_the_connect_asks_for_an_answer_at_once() {
    let mut world = World::up();
    world.fail(Lane::Link);
    world.pass(1_000);
    let request = world.session.request(Lane::Link, world.now).unwrap();
    assert!(request.body.contains(r#""advice":{"timeout":0}"#), "{}", request.body);
    assert_eq!(request.timeout, Duration::from_secs(10));
    world.succeed(Lane::Link);
    let request = world.session.request(Lane::Link, world.now).unwrap();
    assert!(!request.body.contains("advice"), "{}", request.body);
    assert_eq!(request.timeout, Duration::from_secs(40), "the hold and the network's delay");
}

#[test]
fn d9_several_clients_in_one_browser_are_told_to_the_application() {
    let mut world = World::up();
    world.advise(&json!({ "interval": 2_000, "multiple-clients": true }));
    assert!(matches!(
        world.events.last(),
        Some(Event::State { state: State::Connected, multiple_clients: true, .. })
    ));
}

#[test]
fn a_handshake_refused_for_now_is_tried_again_when_advised() {
    let mut world = World::new();
    world.take(Lane::Link);
    world.answer(
        Lane::Link,
        &json!([{
            "channel": "/meta/handshake", "successful": false, "error": "503::overloaded",
            "advice": { "reconnect": "handshake", "interval": 5_000 },
        }]),
    );
    assert_eq!(world.due(Lane::Link), Some(6_000));
}

#[test]
fn a_server_without_our_transport_is_the_end() {
    let mut world = World::new();
    world.take(Lane::Link);
    world.answer(
        Lane::Link,
        &json!([{
            "channel": "/meta/handshake", "successful": true, "clientId": "c",
            "supportedConnectionTypes": ["websocket"],
        }]),
    );
    assert!(matches!(world.session.over(), Some(ClientError::GaveUp(_))));
}

#[test]
fn an_answer_without_the_reply_is_a_failure() {
    let mut world = World::up();
    world.answer(Lane::Link, &json!([{ "channel": "/a", "data": 1 }]));
    assert_eq!(world.session.state, State::Unconnected);
    assert_eq!(world.due(Lane::Link), Some(1_000));
}
