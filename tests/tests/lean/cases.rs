//! Requests one by one, with the statuses that both answer.

use std::io::Write;

use crate::pair::{Answer, Pair, Sessions, dial, read_to_end, spelled, statuses};
use crate::texts::{
    BATCH, CONNECT, HANDSHAKE, LAST, LAST_POST, PUBLISH, chunked, chunks, post, publication, raw,
    script, with,
};

/// Short times, since whoever does not end by himself waits for one of them.
const SHORT: &str = "head_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"3s\"\n\
    [sessions]\ntimeout = \"300ms\"\n[limits]\nbody = \"4KiB\"\n[streams]\nmax_age = \"1s\"\n";

/// Sends each, with both kinds of last request behind it.
#[track_caller]
fn compare(cases: &[(String, &[u16])]) {
    let pair = Pair::start(SHORT);
    let sessions = Sessions::begin(&pair);
    let mut complaints = Vec::new();
    for (text, expected) in cases {
        for last in [LAST, LAST_POST] {
            // 0: the last request; whatever it is, it is answered.
            let end = if last == LAST { 404 } else { 400 };
            let expected: Vec<u16> =
                expected.iter().map(|status| if *status == 0 { end } else { *status }).collect();
            match pair.answers(&sessions, format!("{text}{last}").as_bytes()) {
                Ok(answers) if statuses(&answers) == expected => {}
                Ok(answers) => complaints.push(format!("{answers:?}\nto {text:.300?}")),
                Err(complaint) => complaints.push(complaint),
            }
        }
        if let Err(complaint) = pair.done() {
            complaints.push(format!("{complaint}\nafter {text:.300?}"));
            // What differs now differs from here on.
            break;
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

#[test]
fn r36_heads_are_read_alike() {
    let ok = |head: &str| (with(head, PUBLISH), &[200, 0][..]);
    let bad = |head: &str| (with(head, PUBLISH), &[400][..]);
    compare(&[
        ok(""),
        ok("content-type: application/json\r\nACCEPT: */*\r\nuser-agent: x\r\n"),
        ok("Connection: keep-alive\r\n"),
        (with("Connection: close\r\n", PUBLISH), &[200]),
        (with("CONNECTION: Keep-Alive, Close\r\n", PUBLISH), &[200]),
        (with("Connection: close\r\nConnection: keep-alive\r\n", PUBLISH), &[200]),
        ok("Connection: te\r\nTE: trailers\r\n"),
        ok("Connection: \r\n"),
        ok("Connection: upgrade\r\n"),
        ok("X-Empty:\r\n"),
        ok("X-Blank: \t \r\n"),
        ok("X: \u{fc}\r\n"),
        // obs-fold, blanks before the colon, and what is no name.
        bad("X: a\r\n folded\r\n"),
        bad("X: a\r\n\tfolded\r\n"),
        bad(" X: a\r\n"),
        bad("X : a\r\n"),
        bad(": a\r\n"),
        bad("X\r\n"),
        bad("X: a\0b\r\n"),
        bad("X: a\rb\r\n"),
        (with("Host: localhost\r\n", PUBLISH), &[400, 0]),
        (with("Host: evil.test\r\n", PUBLISH), &[400, 0]),
        // Bare LF ends a line in a head, for both.
        ok("X: a\n"),
        (post(PUBLISH).replace("\r\n", "\n"), &[200, 0]),
        ok(&format!("X: {}\r\n", "x".repeat(7_000))),
        (with(&format!("X: {}\r\n", "x".repeat(16 << 10)), PUBLISH), &[431]),
        ok(&"A: b\r\n".repeat(98)),
        (with(&"A: b\r\n".repeat(99), PUBLISH), &[431]),
        (post(PUBLISH).replace("HTTP/1.1", "HTTP/1.0"), &[200]),
        (post(PUBLISH).replace("1.1\r\n", "1.0\r\nConnection: keep-alive\r\n"), &[200, 0]),
        (post(PUBLISH).replace("HTTP/1.1", "HTTP/1.2"), &[400]),
        (post(PUBLISH).replace("HTTP/1.1", "http/1.1"), &[400]),
        (post(PUBLISH).replace("POST", "post"), &[405, 0]),
        (post(PUBLISH).replace("/bayeux", "/BAYEUX"), &[404, 0]),
        (post(PUBLISH).replace("/bayeux", "/bayeux/x/../y?z#w"), &[200, 0]),
        (post(PUBLISH).replace("/bayeux", "/bayeux;x=y"), &[200, 0]),
        (post(PUBLISH).replace("/bayeux", "http://localhost/bayeux"), &[200, 0]),
        (post(PUBLISH).replace("/bayeux", "*"), &[404, 0]),
        (post(PUBLISH).replace("Host: localhost\r\n", ""), &[400, 0]),
        (post(PUBLISH).replace("Host: localhost", "Host: evil.test"), &[403, 0]),
        (with("Origin: http://evil.test\r\n", PUBLISH), &[403, 0]),
        (with("Origin: http://localhost:1\r\n", PUBLISH), &[200, 0]),
        (with("Sec-Fetch-Site: cross-site\r\n", PUBLISH), &[403, 0]),
        // Empty lines before a request are none.
        (format!("\r\n\r\n{}", post(PUBLISH)), &[200, 0]),
        (format!("{}\r\n\n\r\n", post(PUBLISH)), &[200, 0]),
        (format!("\r{}", post(PUBLISH)), &[400]),
        ("nonsense\r\n\r\n".to_owned(), &[400]),
    ]);
}

#[test]
fn r36_bodies_end_alike() {
    let length = PUBLISH.len();
    let coded = "Transfer-Encoding: chunked\r\n";
    let told = |value: &str| raw(&format!("Content-Length: {value}\r\n"), PUBLISH);
    let chunk = |rest: &str| raw(coded, rest);
    compare(&[
        (chunked(PUBLISH), &[200, 0]),
        (raw("transfer-encoding: Chunked\r\n", &chunks(PUBLISH, "\r\n")), &[200, 0]),
        (chunk(&chunks(PUBLISH, "X: y\r\nZ:\r\n\r\n")), &[200, 0]),
        (chunk(&format!("{length:x};a=b;\"c\"\r\n{PUBLISH}\r\n0;d\r\n\r\n")), &[200, 0]),
        (chunk(&format!("000{length:x} \t\r\n{PUBLISH}\r\n000\r\n\r\n")), &[200, 0]),
        (chunk("0\r\n\r\n"), &[400, 0]),
        (chunk(&chunks(PUBLISH, "no trailer\r\n\r\n")), &[400]),
        (chunk(&chunks(PUBLISH, "X: y\r\n z\r\n\r\n")), &[400]),
        (chunk("\r\n\r\n"), &[400]),
        (chunk(";x\r\n\r\n"), &[400]),
        (chunk(&format!("{length:x};x\n{PUBLISH}\r\n0\r\n\r\n")), &[400]),
        (chunk(&format!("{length:x}\n{PUBLISH}\r\n0\r\n\r\n")), &[400]),
        (chunk(&format!("{length:x}\r\n{PUBLISH}\n0\r\n\r\n")), &[400]),
        (chunk(&format!("{length:x}\r\n{PUBLISH}0\r\n\r\n")), &[400]),
        (chunk(&format!("-{length:x}\r\n{PUBLISH}\r\n0\r\n\r\n")), &[400]),
        (chunk(&format!("0x{length:x}\r\n{PUBLISH}\r\n0\r\n\r\n")), &[400]),
        (chunk(&format!("ffffffffffffffffff\r\n{PUBLISH}\r\n0\r\n\r\n")), &[400]),
        // Two ways to tell the end.
        (raw(&format!("{coded}Content-Length: {length}\r\n"), &chunks(PUBLISH, "\r\n")), &[200]),
        (raw(&format!("Content-Length: 3\r\n{coded}"), &chunks(PUBLISH, "\r\n")), &[200]),
        (raw(&format!("{coded}{coded}"), &chunks(PUBLISH, "\r\n")), &[400]),
        (raw("Transfer-Encoding: gzip, chunked\r\n", &chunks(PUBLISH, "\r\n")), &[400]),
        (raw("Transfer-Encoding: identity\r\n", PUBLISH), &[400]),
        (told(&format!("{length}\r\nContent-Length: {length}")), &[200, 0]),
        (told(&format!("{length}\r\nContent-Length: 0")), &[400]),
        (told(&format!("{length}, {length}")), &[400]),
        (told(&format!("0{length}")), &[200, 0]),
        (told(&format!("+{length}")), &[400]),
        (told(""), &[400]),
        (told("x"), &[400]),
        (told("9223372036854775807"), &[413]),
        (told("9223372036854775808"), &[413]),
        (told("18446744073709551615"), &[431]),
        (told("99999999999999999999"), &[400]),
        // No body, one that is longer than told, and one over the limit.
        (raw("", ""), &[400, 0]),
        (post(""), &[400, 0]),
        (post(&" ".repeat(4 << 10)), &[400, 0]),
        (post(&" ".repeat((4 << 10) + 1)), &[413, 0]),
        (post(&" ".repeat(100_000)), &[413, 0]),
        (chunked(&" ".repeat(100_000)), &[413, 0]),
        (format!("{}[]", post(PUBLISH)), &[200, 400]),
        // Shorter: the last request is part of it, and the rest never comes.
        (raw(&format!("Content-Length: {}\r\n", length + 400), PUBLISH), &[400]),
        (chunk(&format!("{:x}\r\n{PUBLISH}", length + 400)), &[400]),
    ]);
}

#[test]
fn r8_r36_other_requests_and_rows_of_them_are_answered_alike() {
    let expect = "Expect: 100-continue\r\n";
    let preflight = "OPTIONS /bayeux HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\n\
        Access-Control-Request-Method: POST\r\n";
    let foreign = "Origin: http://evil.test\r\nTransfer-Encoding: chunked\r\n";
    let get = script(HANDSHAKE);
    compare(&[
        (post(HANDSHAKE), &[200, 0]),
        (post(BATCH), &[200, 0]),
        (post("message=%5B%7B%7D%5D"), &[200, 0]),
        (get.clone(), &[200, 0]),
        (script(CONNECT), &[200, 0]),
        (get.replace("jsonp=cb", "jsonp=a-b"), &[400, 0]),
        (get.replace("\r\n\r\n", "\r\nReferer: http://evil.test/\r\n\r\n"), &[403, 0]),
        (get.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n[]"), &[200, 0]),
        (get.replace("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n"), &[404, 0]),
        (get.replace("GET", "DELETE"), &[405, 0]),
        (format!("{preflight}\r\n"), &[204, 0]),
        (format!("{preflight}Content-Length: 2\r\n\r\n[]"), &[204, 0]),
        (format!("{preflight}{expect}\r\n"), &[204, 0]),
        (preflight.replace("localhost:1", "evil.test") + "\r\n", &[403, 0]),
        (with(expect, PUBLISH), &[200, 0]),
        (with("Expect: 100-CONTINUE\r\n", PUBLISH), &[200, 0]),
        (with("Expect: more\r\n", PUBLISH), &[200, 0]),
        (with(expect, ""), &[400, 0]),
        (with(expect, &" ".repeat(5_000)), &[413, 0]),
        (
            raw(&format!("{expect}Transfer-Encoding: chunked\r\n"), &chunks(PUBLISH, "\r\n")),
            &[200, 0],
        ),
        (with("Upgrade: h2c\r\n", PUBLISH), &[200, 0]),
        // Rows, on both paths in turn.
        ([post(PUBLISH), post(HANDSHAKE), post(BATCH)].concat(), &[200, 200, 200, 0]),
        ([post(CONNECT), post(CONNECT), post(PUBLISH)].concat(), &[200, 200, 200, 0]),
        ([post(PUBLISH), LAST.replace("Connection: close\r\n", "")].concat(), &[200, 404, 0]),
        ([post(PUBLISH), "\r\n".to_owned(), chunked(PUBLISH), get].concat(), &[200, 200, 200, 0]),
        ([with("Origin: http://evil.test\r\n", PUBLISH), post(PUBLISH)].concat(), &[403, 200, 0]),
        // A chunk that was refused is passed over; of two, the connection ends with the first.
        (raw(foreign, "2\r\n[]\r\n0\r\n\r\n"), &[403, 0]),
        (raw(foreign, &chunks(PUBLISH, "\r\n")), &[403]),
        (raw(&format!("{foreign}{expect}"), "2\r\n[]\r\n0\r\n\r\n"), &[403]),
        (raw("Origin: http://evil.test\r\nContent-Length: 5000\r\n", PUBLISH), &[403]),
        (with("Connection: close\r\n", CONNECT), &[200]),
    ]);
}

#[test]
fn r36_publications_without_a_session_are_answered_alike() {
    let good = |target: &str, headers: &str| (publication(target, headers, "{}"), &[200, 0][..]);
    let lines = "Content-Type: application/x-ndjson\r\n";
    let key = "Idempotency-Key: 7\r\n";
    let in_chunks = chunked("[1]").replacen("/bayeux", "/publish/a", 1);
    compare(&[
        good("/publish/a", ""),
        good("/publish/a/b?durable=1", ""),
        good("/publish/a", "Content-Type: application/json; charset=utf-8\r\n"),
        good("/publish/a", key),
        good("/publish/a", key),
        good("/publish/a", "Expect: 100-continue\r\n"),
        (in_chunks.clone(), &[200, 0]),
        (
            [in_chunks, post(PUBLISH), publication("/publish/a", "", "3")].concat(),
            &[200, 200, 200, 0],
        ),
        (publication("/publish", "", r#"[{"channel":"/a","data":1},{"channel":"b"}]"#), &[422, 0]),
        // Answered in pieces, which are not told from what follows.
        (publication("/publish", lines, "{\"channel\":\"/a\",\"data\":1}\n"), &[200]),
        (publication("/publish/a", "", "{"), &[400, 0]),
        (publication("/publish/a", "", ""), &[400, 0]),
        (publication("/publish/meta/x", "", "1"), &[403, 0]),
        (publication("/publish/a%00", "", "1"), &[405, 0]),
        (publication("/publish/a?durable=x", "", "1"), &[400, 0]),
        (publication("/publisher", "", "1"), &[404, 0]),
        (publication("/publish/a", "Origin: http://evil.test\r\n", "1"), &[403, 0]),
        (publication("/publish/a", "Origin: http://localhost:1\r\n", "1"), &[200, 0]),
        (publication("/publish/a", "Connection: close\r\n", "1"), &[200]),
        (publication("/publish/a", "", &" ".repeat(5_000)), &[413, 0]),
        (publication("/publish/a", "", "1").replace("POST", "PUT"), &[405, 0]),
        (publication("/publish/a", "", "1").replace("POST", "OPTIONS"), &[204, 0]),
        (publication("/publish/a", "Content-Length: 1\r\n", "22"), &[400]),
        (raw("Content-Length: 9\r\n", "1").replacen("/bayeux", "/publish/a", 1), &[400, 400]),
    ]);
}

#[test]
fn r36_where_the_library_is_lenient_the_lean_path_ends_the_connection() {
    let pair = Pair::start(SHORT);
    let sessions = Sessions::begin(&pair);
    let coded = "Transfer-Encoding: chunked\r\n";
    let length = PUBLISH.len();
    for text in [
        raw(coded, &chunks(PUBLISH, "\n")),
        raw(coded, &chunks(PUBLISH, "X: y\n\r\n")),
        raw(coded, &chunks(PUBLISH, "X: y\n\n")),
        raw(coded, &chunks(PUBLISH, "X: y\nZ: w\r\n\r\n")),
        raw(coded, &format!("{length:x};{}\r\n{PUBLISH}\r\n0\r\n\r\n", "x".repeat(300))),
    ] {
        let mut socket = dial(pair.lean.listen);
        socket.write_all(&spelled(format!("{text}{LAST}").as_bytes(), &sessions.0[0])).unwrap();
        let answers = Answer::all(&read_to_end(&mut socket));
        assert_eq!(statuses(&answers), [400], "{text:?}");
    }
    assert_eq!(pair.lean.metric("weft_messages_in_total"), 0.0);
}
