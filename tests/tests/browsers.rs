//! Several sessions of one browser: one holds, the others poll (checklist 1.D, 1.H, R4-R6b;
//! decisions 3.4, 3.7).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::Request;
use weft_tests::wait::{PATIENCE, until};

fn normal() -> Value {
    json!({"reconnect": "retry", "interval": 0, "timeout": 30_000})
}

fn demoted() -> Value {
    json!({"reconnect": "retry", "interval": 2000, "timeout": 30_000, "multiple-clients": true})
}

/// Asserts that a connect reply asks its tab to poll.
#[track_caller]
fn asked_to_poll(messages: Vec<Value>) {
    let (_, reply) = events_and_reply(messages);
    ok(&reply);
    assert_eq!(reply["advice"], demoted());
}

/// Two tabs of one browser, both subscribed to `/a`: the first was released, the second is held.
fn two_tabs(broker: &Broker) -> (Client<'_>, Client<'_>, Held) {
    let mut first = Client::subscribed(broker, "/a");
    let mut released = first.held_connect();
    let mut second = first.tab();
    ok(&second.subscribe("/a"));
    let held = second.start_connect();
    asked_to_poll(released.answer());
    broker.wait_held(1);
    (first, second, held)
}

#[test]
fn d9_h2_r5_r6_the_newer_tab_is_held_and_the_older_asked_to_poll() {
    let broker = Broker::start();
    let (_, _, mut held) = two_tabs(&broker);
    assert!(held.is_waiting());
}

#[test]
fn r6a_two_tabs_do_not_throw_each_other_out_in_turns() {
    let broker = Broker::start();
    let (mut first, _second, mut held) = two_tabs(&broker);
    for _ in 0..20 {
        asked_to_poll(first.connect());
    }
    assert!(held.is_waiting(), "the holder never noticed");
    assert_eq!(broker.metric("weft_held_connects"), 1.0);
}

#[test]
fn r6a_the_holder_keeps_its_place_from_poll_to_poll() {
    let broker = Broker::start();
    let (mut first, mut second, mut held) = two_tabs(&broker);
    for n in 0..5 {
        ok(&second.publish("/a", n));
        assert_eq!(data(held.answer()), [json!(n)]);
        // Between two connects of the holder the other may not slip in.
        asked_to_poll(first.connect());
        held = second.held_connect();
        asked_to_poll(first.connect());
    }
    assert!(held.is_waiting());
}

#[test]
fn h2_f5_r6a_events_reach_the_demoted_tab_with_its_polls() {
    let broker = Broker::start();
    let (mut first, mut second, mut held) = two_tabs(&broker);
    for n in 0..3 {
        ok(&second.publish("/a", n));
        assert_eq!(data(held.answer()), [json!(n)]);
        let (events, reply) = events_and_reply(first.connect());
        ok(&reply);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["data"], n);
        held = second.held_connect();
    }
}

#[test]
fn r6a_c10_the_place_comes_back_when_the_holder_disconnects() {
    let broker = Broker::start();
    let (mut first, mut second, mut held) = two_tabs(&broker);
    asked_to_poll(first.connect());
    ok(&second.disconnect());
    assert_eq!(only(held.answer())["advice"]["reconnect"], "none");
    let mut held = first.held_connect();
    assert!(held.is_waiting());
    ok(&first.publish("/a", 1));
    let (events, reply) = events_and_reply(held.answer());
    assert_eq!(events.len(), 1);
    assert_eq!(reply["advice"], normal(), "what it was told before no longer holds");
}

#[test]
fn r6a_the_place_comes_back_when_the_holders_socket_closes() {
    let broker = Broker::start();
    let (mut first, _second, held) = two_tabs(&broker);
    held.abort();
    broker.wait_held(0);
    assert!(first.held_connect().is_waiting());
}

#[test]
fn r6a_the_place_comes_back_when_the_holder_stays_away() {
    let broker = Broker::start();
    let (mut first, mut second, mut held) = two_tabs(&broker);
    ok(&second.publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
    assert_eq!(data(first.connect()), [json!(1)]);
    let mut held = until("a connect that is held", PATIENCE, || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let mut attempt = first.start_connect();
        attempt.is_waiting().then_some(attempt)
    });
    assert!(held.is_waiting());
}

#[test]
fn r6a_e17_the_place_comes_back_when_the_holder_expires() {
    let broker = Broker::with("[sessions]\nmax_interval = \"700ms\"\n");
    let (mut first, mut second, mut held) = two_tabs(&broker);
    ok(&second.publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
    until("the holder's end", PATIENCE, || {
        ok(&first.publish("/b", "alive"));
        (broker.metric("weft_sessions") == 1.0).then_some(())
    });
    assert_eq!(data(first.connect()), [json!(1)]);
    assert!(first.held_connect().is_waiting());
}

#[test]
fn c10_d9_normal_advice_is_repeated_until_a_later_connect_proves_that_it_arrived() {
    let broker = Broker::start();
    let (mut first, mut second, _held) = two_tabs(&broker);
    asked_to_poll(first.connect());
    ok(&second.disconnect());
    let mut held = first.held_connect();
    ok(&first.publish("/a", 1));
    let again = json!({"id": (first.last_id - 1).to_string()});
    let (_, reply) = events_and_reply(held.answer());
    assert_eq!(reply["advice"], normal());
    // The same id again: that reply was lost, and with it the advice.
    let (events, reply) = events_and_reply(first.connect_with(again));
    assert_eq!(events.len(), 1);
    assert_eq!(reply["advice"], normal());
    ok(&first.publish("/a", 2));
    let (_, reply) = events_and_reply(first.connect());
    assert!(reply.get("advice").is_none(), "it arrived: {reply}");
}

#[test]
fn r4_a7_eight_tabs_hold_one_connect_and_each_gets_its_events() {
    let broker = Broker::start();
    let mut tabs = vec![Client::subscribed(&broker, "/a")];
    let mut held = tabs[0].held_connect();
    for n in 1..8 {
        let mut tab = tabs[0].tab();
        ok(&tab.subscribe("/a"));
        let newer = tab.start_connect();
        asked_to_poll(held.answer());
        held = newer;
        tabs.push(tab);
        broker.wait_held(1);
        let fetch = Request::get("/bayeux").header("Cookie", tabs[n].cookie.as_deref().unwrap());
        assert_eq!(broker.exchange(&fetch).status, 400, "a plain fetch is answered at once");
    }
    let (holder, others) = tabs.split_last_mut().unwrap();
    for tab in &mut *others {
        asked_to_poll(tab.connect());
    }
    assert!(held.is_waiting());
    ok(&holder.publish("/a", "x"));
    assert_eq!(data(held.answer()), [json!("x")]);
    for tab in others {
        assert_eq!(data(tab.connect()), [json!("x")]);
    }
}

#[test]
fn r6b_with_minus_one_every_tab_is_held() {
    let broker = Broker::with("[browsers]\nheld_per_browser = -1\n");
    let mut first = Client::connected(&broker);
    let mut tabs: Vec<_> = (0..4).map(|_| first.tab()).collect();
    let _first = first.held_connect();
    let held: Vec<_> = tabs.iter_mut().map(Client::held_connect).collect();
    broker.wait_held(5);
    for mut held in held {
        assert!(held.is_waiting_for(std::time::Duration::from_millis(50)));
    }
}

#[test]
fn h2_so_many_tabs_are_held_as_the_configuration_says() {
    let broker = Broker::with("[browsers]\nheld_per_browser = 2\ninterval = \"3s\"\n");
    let mut first = Client::connected(&broker);
    let mut second = first.tab();
    let mut third = first.tab();
    let mut held = [first.held_connect(), second.held_connect()];
    let mut newest = third.start_connect();
    let (_, reply) = events_and_reply(held[0].answer());
    assert_eq!(reply["advice"]["interval"], 3000);
    assert_eq!(reply["advice"]["multiple-clients"], true);
    assert!(held[1].is_waiting());
    assert!(newest.is_waiting());
}

#[test]
fn h1_other_browsers_and_clients_without_cookies_share_nothing() {
    let broker = Broker::start();
    let mut clients = [
        Client::connected(&broker),
        Client::connected(&broker),
        Client::without_cookies(&broker),
        Client::without_cookies(&broker),
    ];
    let held: Vec<_> = clients.iter_mut().map(Client::held_connect).collect();
    broker.wait_held(4);
    assert_eq!(broker.metric("weft_connects_demoted_total"), 0.0);
    drop(held);
}

#[test]
fn d9_a_tab_that_was_never_held_together_with_another_is_not_demoted() {
    let broker = Broker::start();
    let mut first = Client::connected(&broker);
    let mut second = first.tab();
    // A connect that asks for an answer at once takes no place.
    let reply = only(second.connect_with(json!({"advice": {"timeout": 0}})));
    assert_eq!(reply["advice"], normal());
    let mut held = first.held_connect();
    let reply = only(second.connect_with(json!({"advice": {"timeout": 0}})));
    ok(&reply);
    assert!(held.is_waiting(), "nor does it take one away");
}

#[test]
fn e12_r6a_a_tabs_own_newer_connect_is_no_second_tab() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let mut older = client.held_connect();
    let mut newer = client.start_connect();
    let reply = only(older.answer());
    ok(&reply);
    assert!(reply["advice"].get("multiple-clients").is_none(), "{reply}");
    assert!(newer.is_waiting());
}

#[test]
fn e17_d9_a_demoted_tab_lives_as_long_as_it_keeps_to_the_interval() {
    let broker =
        Broker::with("[sessions]\nmax_interval = \"200ms\"\n[browsers]\ninterval = \"2s\"\n");
    let mut first = Client::connected(&broker);
    let mut released = first.held_connect();
    let mut second = first.tab();
    let mut held = second.start_connect();
    asked_to_poll(released.answer());
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    asked_to_poll(first.connect());
    assert!(held.is_waiting());
}
