//! What strangers, broken clients and bored students send, and exactly what each gets. Whatever it
//! was: no answer is a 5xx, no session is left behind, memory stays in bounds and the broker goes on
//! serving (checklist L4, L10, R29, R30, R36). Slow senders are in `limits.rs`, foreign pages in
//! `origins.rs`.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::Request;
use weft_tests::jsonp;
use weft_tests::siege::{HANDSHAKE, Siege, is_text};
use weft_tests::wait::{PATIENCE, now, until};

const NOT_MESSAGES: &str = "not a message or an array of messages";

#[test]
fn l10_b4_unreadable_bodies_get_400_and_the_connection_lives_on() {
    let siege = Siege::begin();
    let mixed = format!("[{},5]", &HANDSHAKE[1..HANDSHAKE.len() - 1]);
    let after = format!("{HANDSHAKE} trailing");
    let bom = format!("\u{feff}{HANDSHAKE}");
    let twice = HANDSHAKE.replace(r#""id":"1""#, r#""channel":"/a","id":"1""#);
    let cases: &[(&[u8], &str)] = &[
        (b"not json", "not JSON at line 1 column 2"),
        (b"", "no message"),
        (b"  \n\t ", "no message"),
        (b"[]", "no message"),
        (b"[1]", NOT_MESSAGES),
        (b"[1,2]", NOT_MESSAGES),
        (b"[[1]]", NOT_MESSAGES),
        (b"[[{}]]", NOT_MESSAGES),
        (b"[null]", NOT_MESSAGES),
        (b"null", NOT_MESSAGES),
        (b"5", NOT_MESSAGES),
        (b"\"x\"", NOT_MESSAGES),
        (b"true", NOT_MESSAGES),
        (mixed.as_bytes(), NOT_MESSAGES),
        (b"[{\"channel\":\"/meta/handshake\"", "not JSON at line 1 column 29"),
        (after.as_bytes(), "not JSON at line 1 column 102"),
        (b"[{'channel':'/a'}]", "not JSON at line 1 column 3"),
        (b"[{\"channel\":\"/a\",}]", "not JSON at line 1 column 18"),
        (b"[{/*c*/\"channel\":\"/a\"}]", "not JSON at line 1 column 3"),
        (b"[{\"channel\":\"/a\",\"data\":01}]", "not JSON at line 1 column 26"),
        (b"[{\"channel\":\"/a\",\"data\":NaN}]", "not JSON at line 1 column 25"),
        (b"[{\"channel\":\"/a\",\"data\":\"\n\"}]", "not JSON at line 1 column 25"),
        (b"[{\"channel\":\"/a\"}\0]", "not JSON at line 1 column 18"),
        (bom.as_bytes(), "not JSON at line 1 column 1"),
        (b"[{\"channel\":\"/\xff\xfe\"}]", "not UTF-8"),
        (b"[\x00{\x00}\x00]\x00", "not JSON at line 1 column 2"),
        (twice.as_bytes(), "a field stands twice in one message"),
        (b"message=", "no message"),
        (b"message=%5B%5D", "no message"),
        (b"message=%FF", "not UTF-8"),
        (b"message=%5B1%5D&message=%5B%5D", NOT_MESSAGES),
        (b"message", "not JSON at line 1 column 1"),
        (b"\x1f\x8b\x08\x00", "not UTF-8"),
    ];
    let mut connection = siege.0.connect();
    for (body, text) in cases {
        let response = connection.exchange(&Request::post("/bayeux", *body));
        let shown = String::from_utf8_lossy(body);
        let got = (response.status, response.text().trim_end());
        assert_eq!(got, (400, *text), "{shown}");
        assert_eq!(response.header("Connection"), None, "{shown}");
    }
    assert_eq!(siege.0.metric("weft_responses_total{status=\"4xx\"}"), cases.len() as f64);
    assert_eq!(siege.0.metric("weft_sessions"), 0.0);
    ok(&only(connection.exchange(&Request::post("/bayeux", HANDSHAKE)).messages()));
    siege.over();
}

#[test]
fn c1_b13_l3_l13_readable_nonsense_is_refused_message_by_message() {
    let siege = Siege::begin();
    let mut client = Client::connected(&siege.0);
    let id = client.client_id.clone();
    let long = format!(r#""channel":"/a","data":1,"id":"{}""#, "x".repeat(2_000));
    let deep = format!(r#""channel":"{}","data":1"#, "/a".repeat(33));
    let wide = format!(r#""channel":"/{}","data":1"#, "x".repeat(255));
    let cases = [
        (r#""x":1"#, "400::channel_missing"),
        (r#""channel":null"#, "400::channel_missing"),
        (r#""channel":5"#, "405::channel_invalid"),
        (r#""channel":{}"#, "405::channel_invalid"),
        (r#""channel":["/a"]"#, "405::channel_invalid"),
        (r#""channel":"""#, "405::channel_invalid"),
        (r#""channel":"/""#, "405::channel_invalid"),
        (r#""channel":"a""#, "405::channel_invalid"),
        (r#""channel":"/a/""#, "405::channel_invalid"),
        (r#""channel":"//a""#, "405::channel_invalid"),
        (r#""channel":"/a/../b","data":1"#, "405::channel_invalid"),
        (r#""channel":"/a b","data":1"#, "405::channel_invalid"),
        (r#""channel":"/a\r\nSet-Cookie: b=c","data":1"#, "405::channel_invalid"),
        (r#""channel":"/a\u0000","data":1"#, "405::channel_invalid"),
        (r#""channel":"/\u00fc","data":1"#, "405::channel_invalid"),
        (r#""channel":"/a/*","data":1"#, "405::channel_invalid"),
        (r#""channel":"/a/**","data":1"#, "405::channel_invalid"),
        (&deep, "405::channel_invalid"),
        (&wide, "405::channel_invalid"),
        (r#""channel":"/a""#, "400::data_missing"),
        (r#""channel":"/meta/nonsense""#, "404:/meta/nonsense:channel_unknown"),
        (r#""channel":"/service/none","data":1"#, "404:/service/none:service_unknown"),
        (r#""channel":"/a","data":1,"id":{"a":1}"#, "405::message_id_invalid"),
        (r#""channel":"/a","data":1,"id":[1]"#, "405::message_id_invalid"),
        (r#""channel":"/a","data":1,"id":true"#, "405::message_id_invalid"),
        (&long, "405::message_id_invalid"),
        (r#""channel":"/meta/subscribe""#, "403::subscription_missing"),
        (r#""channel":"/meta/subscribe","subscription":null"#, "403::subscription_missing"),
        (r#""channel":"/meta/subscribe","subscription":[]"#, "403::subscription_invalid"),
        (r#""channel":"/meta/subscribe","subscription":5"#, "403::subscription_invalid"),
        (r#""channel":"/meta/subscribe","subscription":[1]"#, "403::subscription_invalid"),
        (r#""channel":"/meta/subscribe","subscription":"/a/**/b""#, "403::subscription_invalid"),
        (r#""channel":"/meta/subscribe","subscription":"/a\r\nX: y""#, "403::subscription_invalid"),
        (
            r#""channel":"/meta/subscribe","subscription":["/ok","/meta/*"]"#,
            "403:/meta/*:subscribe_denied",
        ),
    ];
    for (fields, error) in cases {
        let reply = only(client.post(format!(r#"[{{{fields},"clientId":"{id}"}}]"#)).messages());
        refused(&reply, error);
        assert!(reply.get("advice").is_none(), "{reply}");
    }
    assert_eq!(siege.0.metric("weft_subscriptions"), 0.0, "none of them had an effect");
    assert_eq!(siege.0.metric("weft_messages_in_total"), 0.0, "none of them had an effect");
    siege.over();
}

/// `levels` of nesting in all, with a publish's `data` or an unknown field taking up most of them.
fn nested(levels: usize, field: &str, client_id: &str) -> String {
    let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
    let rest = if field == "data" { "" } else { r#","data":1"# };
    format!(r#"[{{"channel":"/deep","clientId":"{client_id}","{field}":{open}{close}{rest}}}]"#)
}

#[test]
fn l4_nesting_is_allowed_to_64_levels_wherever_it_stands() {
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/deep");
    let id = client.client_id.clone();
    for field in ["data", "ext", "x", "advice"] {
        let reply = only(client.post(nested(64, field, &id)).messages());
        ok(&reply);
        for levels in [65, 1_000, 200_000] {
            let response = client.post(nested(levels, field, &id));
            is_text(&response, 400, "nested too deep");
        }
    }
    let objects = format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70));
    is_text(&client.post(objects), 400, "nested too deep");
    is_text(&client.post("[".repeat(500_000)), 400, "nested too deep");
    assert_eq!(client.peek().len(), 5, "four events and the reply");
    siege.over();
}

/// A publish of exactly so many bytes.
fn publish_of(client: &mut Client<'_>, bytes: usize) -> String {
    let empty = client.message("/big", json!({"data": ""})).to_string();
    let mut message = client.message("/big", json!({"data": "x".repeat(bytes - empty.len())}));
    message["id"] = (client.last_id - 1).to_string().into();
    assert_eq!(message.to_string().len(), bytes);
    message.to_string()
}

#[test]
fn l4_r36_bodies_past_the_limit_get_413_however_they_are_sent() {
    const TOO_LARGE: &str = "the body is too large";
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/big");
    let fits = publish_of(&mut client, 1 << 20);
    ok(&only(client.post(fits).messages()));
    let (events, _) = events_and_reply(client.connect());
    assert_eq!(events.len(), 1, "what may be sent is also delivered");

    for bytes in [(1 << 20) + 1, 1_258_291, 7 << 20] {
        let body = publish_of(&mut client, bytes);
        is_text(&client.post(body.clone()), 413, TOO_LARGE);
        ok(&client.publish("/big/other", "the connection lives on"));

        let chunks = body.as_bytes().chunks(60_000);
        let mut chunked: Vec<u8> = chunks
            .flat_map(|chunk| {
                [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
            })
            .collect();
        chunked.extend_from_slice(b"0\r\n\r\n");
        let request = client.request(chunked).header("Transfer-Encoding", "chunked");
        is_text(&client.exchange(&request), 413, TOO_LARGE);
        ok(&client.publish("/big/other", "the connection lives on"));

        // Whoever asks first is told before sending anything.
        let head = client
            .request("")
            .header("Content-Length", &bytes.to_string())
            .header("Expect", "100-continue");
        is_text(&siege.0.exchange(&head), 413, TOO_LARGE);
    }
    let endless = client.request("").header("Content-Length", "99999999999");
    is_text(&siege.0.exchange(&endless), 413, TOO_LARGE);
    siege.over();
}

#[test]
fn l4_a_subscribe_may_name_10000_channels_and_not_one_more() {
    let siege = Siege::begin();
    let mut client = Client::connected(&siege.0);
    let names = |count: usize| (0..count).map(|n| format!("/bomb/{n}")).collect::<Vec<_>>();
    refused(&client.subscribe(names(10_001)), "413::too_many_subscriptions");
    assert_eq!(siege.0.metric("weft_subscriptions"), 0.0, "all or none");
    ok(&client.subscribe(names(10_000)));
    refused(&client.subscribe("/one/more"), "413::too_many_subscriptions");
    ok(&client.subscribe("/bomb/7"));
    ok(&client.unsubscribe("/bomb/7"));
    ok(&client.subscribe("/one/more"));
    assert_eq!(siege.0.metric("weft_subscriptions"), 10_000.0);
    siege.over();
}

#[test]
fn l4_1001_messages_in_one_request_are_refused_as_a_whole() {
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/many");
    let mut publishes = |count: usize| -> Value {
        (0..count).map(|n| client.message("/many", json!({"data": n}))).collect()
    };
    let (fits, too_many) = (publishes(1_000), publishes(1_001));
    is_text(&client.post(too_many.to_string()), 413, "too many messages in one request");
    is_text(
        &client.post(format!("[{}]", vec!["{}"; 1_001].join(","))),
        413,
        "too many messages in one request",
    );
    let parts = |value: &Value| format!("message={}", jsonp::encode(&value.to_string()));
    let form = [parts(&fits), parts(&json!([{}]))].join("&");
    is_text(&client.post(form), 413, "too many messages in one request");
    assert_eq!(siege.0.metric("weft_messages_in_total"), 0.0);
    assert_eq!(client.send(&fits).len(), 1_000);
    assert_eq!(data(client.connect()).len(), 1_000);
    siege.over();
}

#[test]
fn e17_sessions_that_never_connect_are_gone_soon() {
    const MANY: usize = 5_000;
    let siege = Siege::begin();
    let handshakes = vec![Request::post("/bayeux", HANDSHAKE).bytes(siege.0.listen); 100].concat();
    let mut connection = siege.0.connect();
    for _ in 0..MANY / 100 {
        connection.send(&handshakes);
        for _ in 0..100 {
            ok(&only(connection.read().expect("an answer").messages()));
        }
    }
    assert_eq!(siege.0.metric("weft_handshakes_total"), MANY as f64);
    siege.0.wait_sessions(0);
    let ended = siege.0.metric("weft_sessions_ended_total{cause=\"never_connected\"}");
    assert_eq!(ended, MANY as f64);
    siege.over();
}

#[test]
fn e17_l12_aborted_polls_hold_nothing_and_lose_nothing() {
    let siege = Siege::with("[browsers]\nheld_per_browser = -1\n");
    let mut clients: Vec<_> = (0..60).map(|_| Client::subscribed(&siege.0, "/a")).collect();
    for round in 1..=3 {
        let polls: Vec<Held> = clients.iter_mut().map(Client::start_connect).collect();
        siege.0.wait_held(60);
        polls.into_iter().for_each(Held::abort);
        siege.0.wait_held(0);
        let abandoned = siege.0.metric("weft_connects_abandoned_total");
        assert_eq!(abandoned, f64::from(60 * round));
    }
    ok(&clients[0].publish("/a", "kept"));
    for client in &mut clients {
        assert_eq!(data(client.connect()), [json!("kept")]);
    }
    siege.over();
}

#[test]
fn e12_l5_two_connects_at_once_and_two_that_fight() {
    let siege = Siege::with("[browsers]\nheld_per_browser = -1\n");
    let mut client = Client::without_cookies(&siege.0);
    let mut held = client.held_connect();
    let mut outcomes = Vec::new();
    for _ in 0..7 {
        let mut newer = client.start_connect();
        outcomes.push(only(held.answer()));
        std::mem::swap(&mut held, &mut newer);
    }
    for reply in &outcomes[..5] {
        ok(reply);
        assert_ne!(reply["advice"]["reconnect"], "handshake", "{reply}");
    }
    for reply in &outcomes[5..] {
        refused(reply, "402::session_unknown");
        assert_eq!(reply["advice"]["reconnect"], "handshake");
    }
    assert!(held.is_waiting(), "the newest stays held");
    ok(&only(held.answer()));
    siege.over();
}

#[test]
fn r8_a10_a_publish_pipelined_behind_a_held_poll_waits_at_most_the_hold() {
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/p");
    let connect = json!([client.message("/meta/connect", json!({}))]).to_string();
    let publish = json!([client.message("/p", json!({"data": "behind"}))]).to_string();
    let mut connection = siege.0.connect();
    let both = [client.request(connect), client.request(publish)];
    let started = now();
    connection.send(&both.map(|request| request.bytes(siege.0.listen)).concat());
    let first = only(connection.read().expect("an answer to the poll").messages());
    let second = only(connection.read().expect("an answer to the publish").messages());
    let took = started.elapsed();
    assert_eq!((&first["channel"], &second["channel"]), (&json!("/meta/connect"), &json!("/p")));
    ok(&first);
    ok(&second);
    assert!(took.as_secs() < 10, "a hold of one second, and {took:?} until both were answered");
    assert_eq!(data(client.connect()), [json!("behind")]);
    siege.over();
}

#[test]
fn r29_j2_only_a_plain_function_name_is_called() {
    let siege = Siege::begin();
    let call = |name: &str| {
        let target =
            format!("/bayeux?jsonp={}&message={}", jsonp::encode(name), jsonp::encode(HANDSHAKE));
        siege.0.exchange(&Request::get(&target))
    };
    let longest = "x".repeat(64);
    for name in ["a.b.c", "$.cb", "_cb", "$", "function", "_cometd_jsonp_0", &longest] {
        let response = call(name);
        assert_eq!(response.header("Content-Type"), Some("text/javascript;charset=UTF-8"));
        let (called, messages) = jsonp::answer(&response);
        assert_eq!(called, name);
        ok(&only(messages));
    }
    let text = "jsonp must name one function, in at most 64 characters";
    let bad = "|alert(1)//|<script>|a b|a;b|a\r\nX: y|a\n|a\"b|a'b|a[0]|0abc|a-b|\u{fc}|\u{430}|/**/x|..|.a|\
               a.|a..b|a.0|a\0|a%20|a\\u0062|a\u{2028}|(a)|a,b|a=b";
    let (long, longer) = ("x".repeat(65), "x".repeat(9_000));
    for name in bad.split('|').chain([&*long, &*longer]) {
        let response = call(name);
        is_text(&response, 400, text);
        assert_eq!(response.header("X"), None);
    }
    let message = jsonp::encode(HANDSHAKE);
    for query in
        [format!("jsonp=a&jsonp=b&message={message}"), format!("jsonp=a&message={message}&jsonp=a")]
    {
        is_text(&siege.0.exchange(&Request::get(&format!("/bayeux?{query}"))), 400, text);
    }
    let default = siege.0.exchange(&Request::get(&format!("/bayeux?message={message}")));
    assert_eq!(jsonp::answer(&default).0, "jsonpcallback");
    for query in ["", "?", "?jsonp=a", "?callback=a", "?x"] {
        let response = siege.0.exchange(&Request::get(&format!("/bayeux{query}")));
        is_text(&response, 400, "a GET needs a message parameter; send messages by POST");
    }
    for (message, text) in
        [("not json", "not JSON at line 1 column 2"), ("[]", "no message"), ("", "no message")]
    {
        let target = format!("/bayeux?jsonp=a&message={}", jsonp::encode(message));
        is_text(&siege.0.exchange(&Request::get(&target)), 400, text);
    }
    siege.over();
}

#[test]
fn r30_data_cannot_break_out_of_the_script() {
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/evil");
    let evil = "</script><!--\u{2028}\u{2029}]]>\"'\\*/);alert(1);//";
    let keyed = json!({"</script>": evil, "\u{2028}": [evil, {"<": "\u{2029}"}]});
    ok(&client.publish("/evil", evil));
    ok(&client.ask("/evil", json!({"data": keyed, "ext": {"</script>": "\u{2028}"}})));
    let connect = client.message("/meta/connect", json!({"id": "</script>\u{2028}"}));
    let response = client.exchange(&client.script("callback", &[json!([connect])]));
    let text = response.text();
    assert!(text.starts_with("/**/callback([") && text.ends_with("]);"), "{text}");
    assert!(!text.contains(['<', '\u{2028}', '\u{2029}', '\n', '\r']), "{text}");
    let (_, messages) = jsonp::answer(&response);
    assert_eq!(data(messages), [json!(evil), keyed]);
    siege.over();
}

#[test]
fn l15_c9_unknown_and_stolen_client_ids_get_nowhere() {
    let siege = Siege::begin();
    let mut owner = Client::subscribed(&siege.0, "/mine");
    let mut thief = Client::connected(&siege.0);
    let guesses = [
        json!("nosuchclient"),
        json!(""),
        json!(5),
        json!({}),
        json!(null),
        json!("x".repeat(70_000)),
    ];
    let stolen = json!(owner.client_id);
    let channels =
        ["/meta/connect", "/meta/subscribe", "/meta/unsubscribe", "/mine", "/meta/disconnect"];
    for cookie in [None, thief.cookie.clone(), Some("BAYEUX_BROWSER=attackerchosen".to_owned())] {
        thief.cookie = cookie;
        for id in guesses.iter().chain([&stolen]) {
            for channel in channels {
                let mut fields = json!({"subscription": "/mine", "data": "forged"});
                fields["clientId"] = id.clone();
                // A client without an id sends none.
                thief.client_id.clear();
                let reply = only({
                    let message = thief.message(channel, fields);
                    thief.send(&json!([message]))
                });
                refused(&reply, "402::session_unknown");
                let told = reply["advice"]["reconnect"] == "handshake";
                let throws_owner_out = id == &stolen && channel != "/meta/connect";
                assert_eq!(told, !throws_owner_out, "{channel} {reply}");
            }
        }
    }
    ok(&owner.publish("/mine", "still here"));
    assert_eq!(data(owner.connect()), [json!("still here")]);
    siege.over();
}

#[test]
fn r36_broken_and_ambiguous_heads_are_refused_before_anything_is_done() {
    let siege = Siege::begin();
    let post = |headers: &str, body: &str| {
        format!("POST /bayeux HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
    };
    let length = HANDSHAKE.len();
    let both = format!("Content-Length: {length}\r\nContent-Length: 1\r\n");
    let cases = [
        (post(&format!("X: {}\r\n", "y".repeat(20_000)), ""), 431),
        (post(&"X: y\r\n".repeat(3_000), ""), 431),
        (format!("GET /bayeux?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(20_000)), 431),
        (post(&both, HANDSHAKE), 400),
        (post("Content-Length: -1\r\n", ""), 400),
        (post("Content-Length: 1x\r\n", ""), 400),
        (post("Transfer-Encoding: gzip\r\n", HANDSHAKE), 400),
        (post("Transfer-Encoding: chunked, identity\r\n", HANDSHAKE), 400),
        (post("Bad Name: x\r\n", ""), 400),
        (post("X : y\r\n", ""), 400),
        (post(": y\r\n", ""), 400),
        (post("X: a\0b\r\n", ""), 400),
        ("POST /bay eux HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("POST /bayeux HTTP/9.9\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(), 400),
    ];
    for (bytes, status) in cases {
        let start = &bytes[..bytes.len().min(90)];
        // What was not read of a long head may turn the end into a reset that overtakes the answer.
        let (response, mut connection) = until(start, PATIENCE, || {
            let mut connection = siege.0.connect();
            connection.try_send(bytes.as_bytes()).ok()?;
            Some((connection.read().ok()?, connection))
        });
        assert_eq!(response.status, status, "{start:?}");
        assert!(connection.is_closed_by_peer(), "{start:?}");
    }
    let no_host = siege.0.exchange(&Request::post("/bayeux", HANDSHAKE).header("Host", ""));
    assert_eq!(no_host.status, 400, "HTTP/1.1 wants a Host");
    assert_eq!(siege.0.metric("weft_handshakes_total"), 0.0, "nothing was obeyed");
    siege.over();
}

#[test]
fn r36_methods_that_bayeux_does_not_use_get_405_and_are_told_which_it_does() {
    let siege = Siege::begin();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW", "post", "HEAD", "PROPFIND"] {
        let mut connection = siege.0.connect();
        connection.start(&Request::new(method, "/bayeux/x").header("Connection", "close"));
        let mut response = connection.read_head().expect("an answer");
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("Allow"), Some("GET, POST, OPTIONS"), "{method}");
        response.body.clear();
    }
    let only_post = Broker::with("[bayeux]\ncallback_polling = false\n");
    let get = only_post.exchange(&Request::get("/bayeux?jsonp=a&message=%5B%5D"));
    assert_eq!((get.status, get.header("Allow")), (405, Some("POST, OPTIONS")));
    siege.over();
}
