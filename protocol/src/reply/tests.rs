use super::*;
use crate::{Array, Reconnect};

const ADVICE: Advice = Advice {
    reconnect: Reconnect::Retry,
    interval_ms: 0,
    timeout_ms: 30_000,
    multiple_clients: false,
};

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn reply(outcome: Result<(), Error>) -> Reply<'static> {
    Reply {
        channel: Some(raw(r#""/a""#)),
        id: None,
        subscription: None,
        client_id: None,
        outcome,
        advice: None,
        ext: ReplyExt::default(),
        handshake: None,
    }
}

fn check(reply: &Reply<'_>, expected: &str) {
    let mut array = Array::with_capacity(0);
    array.push(reply);
    assert_eq!(array.finish(), format!("[{expected}]"));
    assert!(serde_json::from_str::<&RawValue>(expected).is_ok());
}

#[test]
fn c14_every_reply_says_whether_it_succeeded() {
    check(&reply(Ok(())), r#"{"channel":"/a","successful":true}"#);
    let refused = reply(Err(Error::SessionUnknown));
    check(&refused, r#"{"channel":"/a","successful":false,"error":"402::session_unknown"}"#);
}

#[test]
fn c1_a_reply_to_a_message_without_a_channel_has_none() {
    let bare = Reply { channel: None, ..reply(Err(Error::ChannelMissing)) };
    check(&bare, r#"{"successful":false,"error":"400::channel_missing"}"#);
}

#[test]
fn c19_the_id_is_echoed_with_its_type() {
    for id in ["17", r#""17""#, "1.50", r#""\u0031""#] {
        let echoed = Reply { id: Some(raw(id)), ..reply(Ok(())) };
        check(&echoed, &format!(r#"{{"channel":"/a","id":{id},"successful":true}}"#));
    }
}

#[test]
fn c16_the_subscription_is_echoed_as_sent() {
    let echoed = Reply { subscription: Some(raw(r#"["/a", "/b"]"#)), ..reply(Ok(())) };
    check(&echoed, r#"{"channel":"/a","successful":true,"subscription":["/a", "/b"]}"#);
}

#[test]
fn e6_a_handshake_reply_has_versions_types_and_the_client_id() {
    let types = [ConnectionType::LongPolling, ConnectionType::CallbackPolling];
    let handshake = Reply {
        channel: Some(raw(r#""/meta/handshake""#)),
        client_id: Some("x1"),
        advice: Some(ADVICE),
        handshake: Some(&types),
        ..reply(Ok(()))
    };
    let expected = concat!(
        r#"{"channel":"/meta/handshake","successful":true,"version":"1.0","#,
        r#""minimumVersion":"1.0","#,
        r#""supportedConnectionTypes":["long-polling","callback-polling"],"clientId":"x1","#,
        r#""advice":{"reconnect":"retry","interval":0,"timeout":30000}}"#,
    );
    check(&handshake, expected);
}

#[test]
fn e8_a_failed_handshake_never_carries_a_client_id() {
    let refused = Reply {
        client_id: Some("x1"),
        handshake: Some(&[ConnectionType::LongPolling]),
        ..reply(Err(Error::ConnectionTypes))
    };
    let expected = concat!(
        r#"{"channel":"/a","successful":false,"error":"301::connection_types_not_supported","#,
        r#""version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["long-polling"]}"#,
    );
    check(&refused, expected);
}

#[test]
fn p4_gaps_are_told_beside_other_extensions() {
    let gap = |channel: &str| Gap { channel: channel.into(), from: -2, to: 7 };
    let timesync = Some(TimesyncAnswer { tc: 1, ts: 2, p: 0, a: None });
    let ext = |timesync, gaps| Reply {
        ext: ReplyExt { timesync, gaps, ..ReplyExt::default() },
        ..reply(Ok(()))
    };
    let head = r#"{"channel":"/a","successful":true,"ext":"#;
    check(&ext(timesync, vec![]), &format!(r#"{head}{{"timesync":{{"tc":1,"ts":2,"p":0}}}}}}"#));
    let one = r#"{"weft":{"gap":[{"channel":"/a","from":-2,"to":7}]}}"#;
    check(&ext(None, vec![gap("/a")]), &format!("{head}{one}}}"));
    let both = concat!(
        r#"{"timesync":{"tc":1,"ts":2,"p":0},"weft":{"gap":["#,
        r#"{"channel":"/a","from":-2,"to":7},{"channel":"/b\"","from":-2,"to":7}]}}"#,
    );
    check(&ext(timesync, vec![gap("/a"), gap("/b\"")]), &format!("{head}{both}}}"));
}

#[test]
fn c8_a_client_id_is_written_as_a_json_string() {
    let odd = Reply { client_id: Some("a\"b"), ..reply(Err(Error::SessionUnknown)) };
    let expected = concat!(
        r#"{"channel":"/a","successful":false,"error":"402::session_unknown","#,
        r#""clientId":"a\"b"}"#,
    );
    check(&odd, expected);
}

#[test]
fn x2_a_handshake_that_announces_replay_is_told_that_it_is_at_hand() {
    let ext = ReplyExt { replay: true, ..ReplyExt::default() };
    let told = Reply { ext, ..reply(Ok(())) };
    check(&told, r#"{"channel":"/a","successful":true,"ext":{"replay":true}}"#);
}

#[test]
fn a_publisher_that_gave_a_key_is_told_the_position() {
    for (repeat, mark) in [(false, ""), (true, r#","repeat":true"#)] {
        let ext =
            ReplyExt { receipt: Some(Receipt { position: 7, repeat }), ..ReplyExt::default() };
        let expected = format!(
            r#"{{"channel":"/a","successful":true,"ext":{{"weft":{{"position":7{mark}}}}}}}"#
        );
        check(&Reply { ext, ..reply(Ok(())) }, &expected);
    }
}
