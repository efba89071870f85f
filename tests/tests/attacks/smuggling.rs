//! Requests that hide others: whatever stands in doubt, the second is never answered, and nothing of
//! it is done. (Through proxies: `tests/proxies`.)

use std::time::Duration;

use weft_tests::http::{Request, Response};
use weft_tests::siege::{HANDSHAKE, Siege};

/// The one that hides.
const HIDDEN: &str =
    "POST /publish/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1";

/// Sends bytes as they are; all that is answered to them.
fn answers(siege: &Siege, bytes: &[u8]) -> (Vec<Response>, bool) {
    let mut connection = siege.0.connect();
    let _ = connection.try_send(bytes);
    // Long enough for a second answer; whoever is not answered at all closes his side.
    connection.set_patience(Duration::from_millis(300));
    let mut responses = Vec::new();
    loop {
        match connection.read() {
            // Whoever asks whether to go on is told so first.
            Ok(response) if response.status == 100 => {}
            Ok(response) => responses.push(response),
            Err(error) => return (responses, !weft_tests::http::is_timeout(&error)),
        }
    }
}

/// A request of two, of which only the first may be answered, with one of these statuses.
#[track_caller]
fn only_first(siege: &Siege, bytes: &[u8], statuses: &[u16]) {
    let (responses, _) = answers(siege, bytes);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    let got: Vec<u16> = responses.iter().map(|response| response.status).collect();
    assert!(got.len() <= 1, "{got:?} to {shown:?}");
    if let Some(status) = got.first() {
        assert!(statuses.contains(status), "{status} to {shown:?}");
    }
    assert_eq!(siege.0.metric("weft_messages_in_total"), 0.0, "{shown:?}");
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /bayeux HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}{HIDDEN}").into_bytes()
}

#[test]
fn r36_a_length_besides_chunks_ends_the_connection_with_the_first_answer() {
    let siege = Siege::begin();
    let chunked = format!("{:x}\r\n{HANDSHAKE}\r\n0\r\n\r\n", HANDSHAKE.len());
    let coded = "Transfer-Encoding: chunked\r\n";
    for length in [0, 5, chunked.len(), chunked.len() + HIDDEN.len(), 1 << 40] {
        let length = format!("Content-Length: {length}\r\n");
        for headers in [
            format!("{length}{coded}"),
            format!("{coded}{length}"),
            format!("{length}{coded}Connection: keep-alive\r\n"),
            format!("{coded}{length}{length}"),
            format!("{length}{coded}{length}"),
        ] {
            let bytes = post(&headers, &chunked);
            only_first(&siege, &bytes, &[200]);
            let (_, closed) = answers(&siege, &bytes);
            assert!(closed, "{headers:?}");
        }
    }
    siege.over();
}

#[test]
fn r36_chunked_is_the_only_coding_and_stands_once() {
    let siege = Siege::begin();
    let chunked = format!("{:x}\r\n{HANDSHAKE}\r\n0\r\n\r\n", HANDSHAKE.len());
    for codings in [
        "chunked, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity, chunked",
        "identity\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "gzip, chunked",
        "chunked, gzip",
        ", chunked",
        "chunked,",
        "\"\", chunked",
    ] {
        let headers = format!("Transfer-Encoding: {codings}\r\n");
        only_first(&siege, &post(&headers, &chunked), &[400]);
    }
    assert_eq!(siege.0.metric("weft_handshakes_total"), 0.0);
    for coding in ["chunked", "Chunked", "CHUNKED"] {
        let request = Request::post("/bayeux", chunked.as_str());
        let request = request.header("Transfer-Encoding", coding);
        assert_eq!(siege.0.exchange(&request).status, 200, "{coding}");
    }
    siege.over();
}

#[test]
fn r36_lengths_that_are_none_are_refused() {
    let siege = Siege::begin();
    let length = HANDSHAKE.len();
    for value in [
        format!("{length}, {length}"),
        format!("{length},0"),
        format!("+{length}"),
        format!("-{length}"),
        format!("0x{length:x}"),
        format!("{length}\u{b}"),
        format!("{length} 0"),
        format!("{length}\r\nContent-Length: 0"),
        format!("0\r\nContent-Length: {length}"),
        "18446744073709551615".to_owned(),
        "18446744073709551616".to_owned(),
        "99999999999999999999999999".to_owned(),
        "1e2".to_owned(),
        String::new(),
    ] {
        only_first(
            &siege,
            &post(&format!("Content-Length: {value}\r\n"), HANDSHAKE),
            &[400, 413, 431],
        );
    }
    siege.over();
}

#[test]
fn r36_codings_that_only_look_like_chunked_are_refused() {
    let siege = Siege::begin();
    for header in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chun\0ked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: identity\r\n\tchunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "\u{b}Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\rX: y",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: ",
        "Transfer-Encoding: ,",
    ] {
        only_first(&siege, &post(&format!("{header}\r\n"), "0\r\n\r\n"), &[400]);
    }
    // HTTP/1.0 knows no chunks.
    let old = format!(
        "POST /bayeux HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
    );
    only_first(&siege, old.as_bytes(), &[400]);
    siege.over();
}

#[test]
fn r36_chunks_that_are_none_end_the_connection() {
    let siege = Siege::begin();
    for body in [
        "-1\r\n",
        "+1\r\n1\r\n0\r\n\r\n",
        "0x1\r\n1\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1\n1\r\n0\r\n\r\n",
        "1\r1\r\n0\r\n\r\n",
        "1;x\n1\r\n0\r\n\r\n",
        "1;x=\"\n\"\r\n1\r\n0\r\n\r\n",
        "1\r\n12\r\n0\r\n\r\n",
        "1\r\n1\n0\r\n\r\n",
        "1\r\n10\r\n\r\n",
        "10000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "fffffffffffffffffffffff1\r\n",
        "g\r\n",
        "1 1\r\n1\r\n0\r\n\r\n",
        "0\r\nX: y\nContent-Length: 5\r\n\n",
        "0\n\n",
    ] {
        only_first(&siege, &post("Transfer-Encoding: chunked\r\n", body), &[400]);
    }
    // What may stand behind a size, or behind all of them, does not go on for ever.
    let long = format!("0;{}\r\n\r\n", "x".repeat(100_000));
    only_first(&siege, &post("Transfer-Encoding: chunked\r\n", &long), &[400]);
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    only_first(&siege, &post("Transfer-Encoding: chunked\r\n", &trailers), &[400]);
    siege.over();
}

#[test]
fn r36_the_body_of_a_refused_request_is_no_request() {
    let siege = Siege::begin();
    let with = |request: Request, extra: &str| {
        let length = (HIDDEN.len() + extra.len()).to_string();
        let request = request.header("Content-Length", &length);
        [request.bytes(siege.0.listen), HIDDEN.as_bytes().to_vec(), extra.as_bytes().to_vec()]
            .concat()
    };
    let foreign = ("Origin", "https://evil.test");
    for (request, status) in [
        (Request::post("/bayeux", "").header(foreign.0, foreign.1), 403),
        (Request::post("/publish/a", "").header(foreign.0, foreign.1), 403),
        (Request::post("/bayeux", "").header("Host", "evil.test"), 403),
        (Request::new("PUT", "/bayeux"), 405),
        (Request::new("OPTIONS", "/bayeux"), 204),
        (Request::new("DELETE", "/publish/a"), 405),
        (Request::post("/nowhere", ""), 404),
        (Request::get("/nowhere"), 404),
        (Request::get("/bayeux"), 400),
        (Request::get("/history/a"), 200),
        (Request::get("/openapi.json"), 200),
        (Request::post("/history/a", ""), 405),
        (Request::get("/events"), 400),
        (Request::get("/bayeux").header("Upgrade", "websocket"), 426),
        (Request::get("/bayeux").header("Upgrade", "h2c").header("Connection", "Upgrade"), 400),
        (Request::post("/bayeux", "").header("Expect", "100-continue"), 400),
        (Request::post("/bayeux", ""), 400),
    ] {
        only_first(&siege, &with(request, ""), &[status]);
    }
    siege.over();
}

#[test]
fn r36_nothing_but_a_request_is_one() {
    let siege = Siege::begin();
    for (bytes, statuses) in [
        // HTTP/0.9, and lines that are none.
        ("POST /bayeux\r\n\r\n".to_owned(), &[400_u16][..]),
        ("POST /bayeux HTTP/1.1 x\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        ("POST\t/bayeux\tHTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        ("POST  /bayeux HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        (" POST /bayeux HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        ("POST /bayeux HTTP/1.1\rHost: localhost\r\r".to_owned(), &[400]),
        ("POST /bayeux HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
        ("POST /bayeux http/1.1\r\nHost: localhost\r\n\r\n".to_owned(), &[400]),
    ] {
        only_first(&siege, format!("{bytes}{HIDDEN}").as_bytes(), statuses);
    }
    siege.over();
}
