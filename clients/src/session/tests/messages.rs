//! Events, and everything that is sent but handshakes and connects.

use super::*;

#[test]
fn events_are_told_in_order_with_their_json_untouched() {
    let mut world = World::up();
    let answer = r#"[
        {"channel":"/a","data":{"b": 1e2,  "a":2}},
        {"channel":"/a","data":null,"ext":{"x":1}},
        {"channel":"/meta/connect","successful":true,
         "ext":{"weft":{"gap":[{"channel":"/a","from":1,"to":2}]}}}
    ]"#;
    let replies = Incoming::read(answer.as_bytes()).unwrap();
    world.session.answer(Lane::Link, Ok(replies), world.now, 0.0);
    world.collect();
    assert_eq!(world.data(), [r#"{"b": 1e2,  "a":2}"#, "null"]);
    assert!(matches!(world.events.last(), Some(Event::Gap { from: 1, to: 2, .. })));
}

#[test]
fn what_gathers_during_a_request_goes_with_the_next() {
    let mut world = World::up();
    let first = publish(&mut world, 1);
    let sent = world.message(Lane::Messages);
    assert_eq!(sent["data"], 1);
    let second = subscribe(&mut world, "/a");
    let third = publish(&mut world, 2);
    world.answer(Lane::Messages, &json!([reply(&sent)]));
    let sent = world.take(Lane::Messages);
    assert_eq!(sent[0]["subscription"], "/a");
    assert_eq!(sent[1]["data"], 2);
    let refusal = json!({
        "channel": "/a", "id": sent[1]["id"], "successful": false, "error": "403::denied",
    });
    world.answer(Lane::Messages, &json!([refusal, reply(&sent[0])]));
    let refused = Err(ClientError::Refused("403::denied".to_owned()));
    assert_eq!(world.done, [(first, Ok(())), (second, Ok(())), (third, refused)]);
}

#[test]
fn a_request_is_bounded_by_count_and_by_bytes() {
    let mut world = World::up();
    for data in 0..150 {
        publish(&mut world, data);
    }
    assert_eq!(world.take(Lane::Messages).len(), 100);
    let mut world = World::with(Options { batch_bytes: 150, ..Options::default() });
    world.shake();
    for data in ["x".repeat(500), "y".to_owned(), "z".to_owned(), "x".repeat(50)] {
        let data = to_raw_value(&data).unwrap();
        world.session.publish("/a".to_owned(), data).unwrap();
    }
    for (count, last_id) in [(1, "2"), (2, "4"), (1, "5")] {
        let sent = world.take(Lane::Messages);
        assert_eq!((sent.len(), &sent[count - 1]["id"]), (count, &json!(last_id)));
        world.answer(Lane::Messages, &json!(sent.iter().map(reply).collect::<Vec<_>>()));
    }
}

#[test]
fn r9_ids_strictly_increase_over_both_lanes_and_all_sessions() {
    let mut world = World::new();
    let mut ids = Vec::new();
    let mut note = |messages: Vec<Value>| {
        ids.extend(messages.iter().map(|m| m["id"].as_str().unwrap().parse::<u64>().unwrap()));
    };
    for round in 0..3 {
        world.pass(30_000);
        note(world.take(Lane::Link));
        world.answer(Lane::Link, &handshake(&format!("c{round}"), &normal()));
        publish(&mut world, 1);
        publish(&mut world, 2);
        note(world.take(Lane::Messages));
        world.answer(Lane::Messages, &json!([]));
        note(world.take(Lane::Link));
        world.answer(Lane::Link, &json!([gone("/meta/connect", &json!("0"))]));
    }
    assert_eq!(ids, (1..=12).collect::<Vec<u64>>());
}

#[test]
fn a11_a_new_session_has_every_subscription_again_before_anything_else() {
    let mut world = World::up();
    subscribe(&mut world, "/a");
    subscribe(&mut world, "/b/*");
    subscribe(&mut world, "/c");
    world.session.unsubscribe("/c".to_owned()).unwrap();
    let sent = world.take(Lane::Messages);
    world.answer(Lane::Messages, &json!(sent.iter().map(reply).collect::<Vec<_>>()));
    world.answer(Lane::Link, &json!([gone("/meta/connect", &json!("3"))]));
    publish(&mut world, 1);
    assert_eq!(world.sends(Lane::Messages), None, "not before there is a session");
    world.pass(1_000);
    world.take(Lane::Link);
    world.answer(Lane::Link, &handshake("c2", &normal()));
    let sent = world.take(Lane::Messages);
    let mut names: Vec<_> = sent[..2].iter().map(|m| m["subscription"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["/a", "/b/*"]);
    assert_eq!(sent[2]["channel"], "/a");
    assert!(sent.iter().all(|message| message["clientId"] == "c2"));
    let refusal = json!({
        "channel": "/meta/subscribe", "id": sent[0]["id"], "successful": false, "error": "403::no",
    });
    world.answer(Lane::Messages, &json!([refusal, reply(&sent[1]), reply(&sent[2])]));
    assert!(matches!(world.events.last(), Some(Event::Unsubscribed { .. })));
    assert_eq!(world.session.names.len(), 1);
}

#[test]
fn a11_what_met_no_session_goes_again_under_the_next_but_only_once() {
    let mut world = World::up();
    let ticket = publish(&mut world, 1);
    for client_id in ["c2", "c3"] {
        assert!(world.done.is_empty());
        let sent = world.message(Lane::Messages);
        world.answer(Lane::Messages, &json!([gone("/a", &sent["id"])]));
        assert_eq!(world.session.state, State::Unconnected);
        world.pass(2_000);
        assert_eq!(world.message(Lane::Link)["channel"], "/meta/handshake");
        world.answer(Lane::Link, &handshake(client_id, &normal()));
    }
    assert!(matches!(world.done[..], [(done, Err(ClientError::Refused(_)))] if done == ticket));
}

#[test]
fn an_answer_to_an_older_session_does_not_end_the_newer() {
    let mut world = World::up();
    publish(&mut world, 1);
    let sent = world.message(Lane::Messages);
    world.answer(Lane::Link, &json!([gone("/meta/connect", &json!("3"))]));
    world.pass(1_000);
    world.take(Lane::Link);
    world.answer(Lane::Link, &handshake("c2", &normal()));
    world.answer(Lane::Messages, &json!([gone("/a", &sent["id"])]));
    assert_eq!(world.message(Lane::Link)["clientId"], "c2");
    assert_eq!(world.message(Lane::Messages)["clientId"], "c2");
}

#[test]
fn a_lost_request_repeats_subscriptions_but_never_a_publish() {
    let mut world = World::up();
    let first = subscribe(&mut world, "/a");
    let second = publish(&mut world, 1);
    world.take(Lane::Messages);
    world.fail(Lane::Messages);
    let lost = Err(ClientError::Lost("cut".to_owned()));
    assert_eq!(world.done, [(second, lost)]);
    assert_eq!(world.due(Lane::Messages), Some(1_000));
    world.pass(1_000);
    let sent = world.message(Lane::Messages);
    world.answer(Lane::Messages, &json!([reply(&sent)]));
    assert_eq!(world.done[1], (first, Ok(())));
    assert_eq!(world.session.state, State::Connected, "the link goes on");
}

#[test]
fn a_request_refused_as_a_whole_is_not_repeated() {
    let mut world = World::up();
    let ticket = subscribe(&mut world, "/a");
    world.take(Lane::Messages);
    let refused = ClientError::Refused("HTTP 413".to_owned());
    world.session.answer(Lane::Messages, Err(refused.clone()), world.now, 0.0);
    world.collect();
    assert_eq!(world.done, [(ticket, Err(refused))]);
    assert!(world.session.names.is_empty());
}

#[test]
fn the_queue_has_a_bound() {
    let mut world = World::with(Options { queue: 2, ..Options::default() });
    publish(&mut world, 1);
    publish(&mut world, 2);
    let refused = world.session.publish("/a".to_owned(), to_raw_value(&3).unwrap());
    assert_eq!(refused, Err(ClientError::QueueFull));
}

#[test]
fn a14_disconnect_goes_behind_what_waits_and_is_unconnected_when_sent() {
    let mut world = World::up();
    let ticket = publish(&mut world, 1);
    world.session.disconnect(world.now);
    assert_eq!(world.session.state, State::Connected);
    let sent = world.take(Lane::Messages);
    assert_eq!(sent[1]["channel"], "/meta/disconnect");
    assert_eq!(world.session.state, State::Unconnected);
    world.answer(Lane::Link, &json!([connect(&json!({ "reconnect": "none" }))]));
    assert_eq!(world.session.over(), None, "the goodbye is still under way");
    world.answer(Lane::Messages, &json!([reply(&sent[0]), reply(&sent[1])]));
    assert_eq!(world.done, [(ticket, Ok(()))]);
    assert_eq!(world.session.over(), Some(&ClientError::Closed));
}

#[test]
fn disconnect_ends_even_if_nobody_answers() {
    let mut world = World::up();
    world.session.disconnect(world.now);
    world.take(Lane::Messages);
    world.fail(Lane::Messages);
    assert_eq!(world.session.over(), Some(&ClientError::Closed));
    let mut world = World::new();
    world.take(Lane::Link);
    let ticket = publish(&mut world, 1);
    world.session.disconnect(world.now);
    world.collect();
    assert_eq!(world.session.over(), Some(&ClientError::Closed));
    assert_eq!(world.done, [(ticket, Err(ClientError::Closed))]);
}
