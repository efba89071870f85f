//! Those who say they are somebody else.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::wait::A_WHILE;
use weft_tests::websocket::{Came, Socket, upgrade};

/// What a thief tries with an id.
fn attempts(id: &str) -> Vec<Value> {
    let channels =
        ["/meta/connect", "/meta/subscribe", "/meta/unsubscribe", "/meta/disconnect", "/mine"];
    let message = |channel: &str| {
        json!({"channel": channel, "clientId": id, "connectionType": "long-polling",
               "subscription": "/mine", "data": "forged", "id": "1",
               "advice": {"timeout": 0}, "ext": {"ack": 1}})
    };
    channels.into_iter().map(message).collect()
}

#[test]
fn l15_a_stolen_client_id_is_nothing_without_its_browser_by_any_way() {
    let siege = Siege::begin();
    let mut owner = Client::subscribed(&siege.0, "/mine");
    let thief = Client::connected(&siege.0);
    let id = owner.client_id.clone();
    for cookie in [thief.cookie.clone(), None] {
        let with = |request: Request| match &cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        };
        for attempt in attempts(&id) {
            let body = json!([attempt]);
            let mut told =
                siege.0.exchange(&with(Request::post("/bayeux", body.to_string()))).messages();
            refused(&told.remove(0), "402::session_unknown");
            // In company of a message of the thief's own, in either order.
            let own = json!({"channel": "/thief", "clientId": thief.client_id, "data": 1});
            for both in [json!([own, attempt]), json!([attempt, own])] {
                let told = siege.0.exchange(&with(Request::post("/bayeux", both.to_string())));
                let stolen = |reply: &&Value| reply["channel"] == attempt["channel"];
                let told = told.messages();
                refused(told.iter().find(stolen).expect("a reply"), "402::session_unknown");
            }
            let request = with(Client::new(&siege.0).script("f", &[json!([attempt])]));
            let (_, told) = weft_tests::jsonp::answer(&siege.0.exchange(&request));
            refused(&only(told), "402::session_unknown");
            let mut socket = Socket::upgraded(siege.0.listen, &with(upgrade("/bayeux")));
            socket.send_text(&body.to_string());
            match socket.next_within(A_WHILE) {
                Came::Text(text) => {
                    let told: Vec<Value> = serde_json::from_str(&text).expect("messages");
                    refused(&told[0], "402::session_unknown");
                }
                Came::Close(code, _) => assert_eq!((code, cookie.is_none()), (1008, true)),
                Came::Nothing => panic!("no answer to {attempt}"),
            }
        }
        // Faye's stream of events goes by the id in its path.
        let stream =
            with(Request::get(&format!("/faye/{id}")).header("Accept", "text/event-stream"));
        let mut connection = siege.0.connect();
        connection.start(&stream);
        let head = connection.read_head().expect("a head");
        assert_ne!(head.header("Content-Type"), Some("text/event-stream"), "{head:?}");
    }
    ok(&owner.publish("/mine", "still here"));
    assert_eq!(data(owner.connect()), [json!("still here")]);
    drop(thief);
    siege.over();
}

#[test]
fn h1_a_browser_that_somebody_chose_is_replaced_and_never_adopted() {
    let siege = Siege::begin();
    let other = Broker::start();
    let theirs = Client::handshaken(&other).cookie.expect("a cookie");
    let ours = Client::handshaken(&siege.0).cookie.expect("a cookie");
    let (name, value) = ours.split_once('=').expect("a pair");
    let flipped = |at: usize| {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        format!("{name}={}", String::from_utf8(bytes).expect("text"))
    };
    let chosen = [
        "BAYEUX_BROWSER=attackerchosen".to_owned(),
        format!("{name}="),
        format!("{name}={}", "0".repeat(64)),
        format!("{name}={}", "a".repeat(9_000)),
        // Another broker's, a part of ours, ours with something more or something else.
        theirs,
        ours[..ours.len() - 2].to_owned(),
        format!("{ours}00"),
        flipped(0),
        flipped(31),
        flipped(32),
        flipped(63),
        format!("{name}={}", &value[..32]),
    ];
    for cookie in chosen {
        let request = Request::post("/bayeux", HANDSHAKE).header("Cookie", &cookie);
        let response = siege.0.exchange(&request);
        ok(&only(response.messages()));
        let set = response.header("Set-Cookie").expect("one of ours");
        let (fresh, attributes) = set.split_once(';').expect("attributes");
        assert_ne!(fresh, cookie);
        assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite"), "{set}");
        // Whoever has chosen it does not share the session with whoever was made to bring it, and
        // goes on with ours.
        let id = response.messages()[0]["clientId"].as_str().expect("an id").to_owned();
        let message = json!([{"channel": "/mine", "clientId": id, "data": 1}]).to_string();
        let request = Request::post("/bayeux", message).header("Cookie", fresh);
        ok(&only(siege.0.exchange(&request).messages()));
        for attempt in attempts(&id) {
            let request = Request::post("/bayeux", json!([attempt]).to_string());
            let told = siege.0.exchange(&request.header("Cookie", &cookie));
            refused(&only(told.messages()), "402::session_unknown");
        }
    }
    siege.over();
}

#[test]
fn b11_l15_ids_are_not_guessed_and_guessing_is_cheap_to_refuse() {
    let siege = Siege::begin();
    let mut owner = Client::subscribed(&siege.0, "/mine");
    let id = owner.client_id.clone();
    let mut thief = Connection::open(siege.0.listen);
    let near = |n: usize| {
        let mut bytes = id.clone().into_bytes();
        let at = n % bytes.len();
        bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
        String::from_utf8(bytes).expect("text")
    };
    for n in 0..500 {
        let body = json!([{"channel": "/meta/disconnect", "clientId": near(n)}]).to_string();
        let request = Request::post("/bayeux", body);
        refused(&only(thief.exchange(&request).messages()), "402::session_unknown");
    }
    ok(&owner.publish("/mine", 1));
    siege.over();
}
