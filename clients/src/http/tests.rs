//! Against a server that reads and writes literal bytes.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// An answer of status 200 with one extra header line.
fn ok(header: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Answers requests in turn and returns them all; an empty answer closes the connection instead.
/// Each tuple is an answer, and whether the connection is closed after it.
async fn serve(listener: TcpListener, answers: Vec<(String, bool)>) -> Vec<(usize, String)> {
    let mut requests = Vec::new();
    let mut answers = answers.into_iter().peekable();
    let mut connections = 0;
    while answers.peek().is_some() {
        let (mut stream, _) = listener.accept().await.unwrap();
        connections += 1;
        for (answer, close) in answers.by_ref() {
            let mut request = Vec::new();
            while !request.ends_with(b"]") {
                let read = stream.read_buf(&mut request).await.unwrap();
                assert!(read > 0, "closed by the client");
            }
            requests.push((connections, String::from_utf8(request).unwrap()));
            stream.write_all(answer.as_bytes()).await.unwrap();
            if close {
                break;
            }
        }
    }
    requests
}

/// Posts `[]` as often as there are answers.
async fn post_all(
    answers: Vec<(String, bool)>,
    options: &Options,
) -> (Vec<Result<usize, ClientError>>, Vec<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/bayeux?x", listener.local_addr().unwrap());
    let count = answers.len();
    let requests = tokio::spawn(serve(listener, answers));
    let mut connection = Connection::new(Arc::new(Server::new(&url, options).unwrap()));
    let mut results = Vec::new();
    for _ in 0..count {
        let answer = connection.post("[]".to_owned(), Duration::from_secs(5)).await;
        results.push(answer.map(|messages| messages.len()));
        tokio::task::yield_now().await;
    }
    (results, requests.await.unwrap())
}

async fn post(answer: String) -> Result<usize, ClientError> {
    post_all(vec![(answer, true)], &Options::default()).await.0.remove(0)
}

#[tokio::test]
async fn r18_requests_carry_no_cache_and_stay_on_one_connection() {
    let answers = vec![(ok("", "[]"), false), (ok("", "[{}]"), false)];
    let (results, requests) = post_all(answers, &Options::default()).await;
    assert_eq!(results, [Ok(0), Ok(1)]);
    assert_eq!(requests[1].0, 1, "the second went over the first connection");
    let head = requests[0].1.to_lowercase();
    assert!(head.starts_with("post /bayeux?x http/1.1\r\nhost: 127.0.0.1:"), "{head}");
    assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert!(!head.contains("cookie"), "{head}");
}

#[tokio::test]
async fn cookies_go_back() {
    let answers = vec![(ok("Set-Cookie: B=1; Path=/\r\n", "[]"), false), (ok("", "[]"), false)];
    let (_, requests) = post_all(answers, &Options::default()).await;
    assert!(requests[1].1.to_lowercase().contains("\r\ncookie: b=1\r\n"), "{}", requests[1].1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_in_between_is_opened_again() {
    let answers = vec![(ok("Connection: close\r\n", "[]"), true), (ok("", "[]"), false)];
    let (results, requests) = post_all(answers, &Options::default()).await;
    assert_eq!(results, [Ok(0), Ok(0)]);
    assert_eq!(requests[1].0, 2);
}

#[tokio::test]
async fn another_status_is_a_refusal_with_its_text() {
    let answer = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig".to_owned();
    let expected = ClientError::Refused("HTTP 413 Payload Too Large: big".to_owned());
    assert_eq!(post(answer).await, Err(expected));
}

#[tokio::test]
async fn no_answer_half_an_answer_and_nonsense_are_losses() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[".to_owned();
    for answer in [String::new(), half, "nonsense\r\n\r\n".to_owned(), ok("", "<html>")] {
        assert!(matches!(post(answer).await, Err(ClientError::Lost(_))));
    }
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let options = Options { answer_bytes: 10, ..Options::default() };
    let answers = vec![(ok("", "[{},{},{},{}]"), true)];
    let (results, _) = post_all(answers, &options).await;
    assert!(matches!(results[0], Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn a_server_that_does_not_answer_or_is_not_there_is_a_loss() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Arc::new(Server::new(&url, &Options::default()).unwrap());
    let mut connection = Connection::new(Arc::clone(&server));
    let late = connection.post("[]".to_owned(), Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(late, ClientError::Lost("no answer in time".to_owned()));
    drop(listener);
    let mut connection = Connection::new(server);
    let gone = connection.post("[]".to_owned(), Duration::from_secs(5)).await.unwrap_err();
    assert!(gone.to_string().contains("cannot be reached"), "{gone}");
}

#[test]
fn only_http_urls_with_a_host_are_taken() {
    let server = |url: &str| Server::new(url, &Options::default());
    let taken = server("http://[::1]:8080/bayeux").unwrap();
    assert_eq!((taken.host.as_str(), taken.port), ("::1", 8080));
    assert_eq!(taken.authority, "[::1]:8080");
    let taken = server("http://example.com").unwrap();
    assert_eq!((taken.port, taken.path.path()), (80, "/"));
    for url in ["", "/bayeux", "https://a/", "http://", "http://u@a/", "ws://a/", "http://a b/"] {
        assert!(matches!(server(url), Err(ClientError::Url(_))), "{url}");
    }
}
