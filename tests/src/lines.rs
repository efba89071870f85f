//! Publishing line by line, as fast as the broker answers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::broker::Broker;

/// How much goes out at a time.
const CHUNK: usize = 64 << 10;

/// Streams lines of NDJSON, each without its end, and hands over the answer to each in turn.
pub fn publish(
    broker: &Broker,
    lines: impl Iterator<Item = String> + Send,
    mut answered: impl FnMut(&str),
) {
    let mut socket = TcpStream::connect(broker.listen).expect("a connection");
    let reader = BufReader::new(socket.try_clone().expect("a socket"));
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
                Content-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("it takes bytes");
    std::thread::scope(|scope| {
        // Beside the reading: the broker takes no more lines while many answers wait.
        scope.spawn(move || {
            let mut send = |chunk: &str| {
                write!(socket, "{:x}\r\n{chunk}\r\n", chunk.len()).expect("it takes bytes");
            };
            let mut chunk = String::new();
            for line in lines {
                chunk.push_str(&line);
                chunk.push('\n');
                if chunk.len() > CHUNK {
                    send(&chunk);
                    chunk.clear();
                }
            }
            if !chunk.is_empty() {
                send(&chunk);
            }
            send("");
        });
        // What stands between the answers is the framing of the chunks.
        let lines = reader.lines().map_while(Result::ok);
        lines.filter(|line| line.starts_with('{')).for_each(|line| answered(&line));
    });
}
