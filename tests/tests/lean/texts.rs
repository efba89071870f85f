//! Requests as they go over the wire. `CLIENT` stands for a session's id, with as many letters as one.

/// A handshake.
pub(crate) const HANDSHAKE: &str = r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;
/// A publication.
pub(crate) const PUBLISH: &str =
    r#"[{"channel":"/a","data":{"n":1},"clientId":"CLIENTCLIENTCLIENTCLIENTCLIENTID","id":"2"}]"#;
/// A connect that is held.
pub(crate) const CONNECT: &str = r#"[{"channel":"/meta/connect","clientId":"CLIENTCLIENTCLIENTCLIENTCLIENTID","connectionType":"long-polling","id":"3"}]"#;
/// A publication and a connect that waits for nothing.
pub(crate) const BATCH: &str = r#"[{"channel":"/a","data":2,"clientId":"CLIENTCLIENTCLIENTCLIENTCLIENTID"},{"channel":"/meta/connect","clientId":"CLIENTCLIENTCLIENTCLIENTCLIENTID","connectionType":"long-polling","advice":{"timeout":0}}]"#;

/// A POST with these headers besides `Host`, and this behind the head.
pub(crate) fn raw(headers: &str, rest: &str) -> String {
    format!("POST /bayeux HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{rest}")
}

/// A POST with these headers, and its length.
pub(crate) fn with(headers: &str, body: &str) -> String {
    raw(&format!("{headers}Content-Length: {}\r\n", body.len()), body)
}

/// A POST.
pub(crate) fn post(body: &str) -> String {
    with("", body)
}

/// A body in two chunks, and what is to stand behind the last.
pub(crate) fn chunks(body: &str, end: &str) -> String {
    let (one, two) = body.split_at(body.len() / 2);
    format!("{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n0\r\n{end}", one.len(), two.len())
}

/// A POST in chunks.
pub(crate) fn chunked(body: &str) -> String {
    raw("Transfer-Encoding: chunked\r\n", &chunks(body, "\r\n"))
}

/// A GET of a script that says this.
pub(crate) fn script(body: &str) -> String {
    let message = weft_tests::jsonp::encode(body);
    format!("GET /bayeux?jsonp=cb&message={message} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A publication without a session.
pub(crate) fn publication(target: &str, headers: &str, body: &str) -> String {
    with(headers, body).replacen("/bayeux", target, 1)
}

/// What every connection ends with: if that is the second answer, the first request ended where it should.
pub(crate) const LAST: &str =
    "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The same for the endpoint.
pub(crate) const LAST_POST: &str =
    "POST /bayeux HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]";
