//! A hook to be asked: what it answers is the test's to say, and all that it is asked is kept.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use crate::wait::{PATIENCE, until};

/// A question as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub text: String,
    /// The same, read.
    pub json: Value,
}

impl Asked {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// What it is about.
    #[must_use]
    pub fn event(&self) -> &str {
        self.json["event"].as_str().unwrap_or_default()
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Say {
    /// 200 with this.
    Json(Value),
    /// 200 with this text.
    Text(String),
    /// A status with this.
    Status(u16, Value),
    /// A whole response; the connection ends behind it.
    Raw(String),
    /// None, as long as the other side waits.
    Nothing,
    /// None: the connection is closed.
    Close,
}

/// Yes.
#[must_use]
pub fn yes() -> Say {
    Say::Json(json!({"allow": true}))
}

/// No.
#[must_use]
pub fn no() -> Say {
    Say::Json(json!({"allow": false}))
}

type Answers = dyn Fn(&Asked) -> Say + Send + Sync;

/// A hook at work.
pub struct Hook {
    /// Where it is.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Box<Answers>,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Whether answers are kept back.
    shut: bool,
    under_way: usize,
    most_under_way: usize,
    connections: usize,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({})", self.address)
    }
}

impl Hook {
    /// Starts one that answers so.
    #[must_use]
    pub fn start(answers: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, opened) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { answers: Box::new(answers), state, opened });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                shared.state.lock().connections += 1;
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// The configuration's section that names it, with these lines besides.
    #[must_use]
    pub fn section(&self, more: &str) -> String {
        format!("[hook]\nurl = \"http://{}/hook\"\n{more}\n", self.address)
    }

    /// All that it was asked, in the order of arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state.lock().asked.clone()
    }

    /// What it was asked last.
    #[must_use]
    pub fn last(&self) -> Asked {
        self.asked().pop().expect("a question")
    }

    /// How often it was asked about this event.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        self.asked().iter().filter(|asked| asked.event() == event).count()
    }

    /// Waits until it was asked so often in all.
    pub fn wait_asked(&self, count: usize) {
        until("so many questions", PATIENCE, || (self.asked().len() >= count).then_some(()));
    }

    /// How many connections it has seen.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state.lock().connections
    }

    /// Keeps all answers back.
    pub fn shut(&self) {
        self.shared.state.lock().shut = true;
    }

    /// Lets them go.
    pub fn open(&self) {
        self.shared.state.lock().shut = false;
        self.shared.opened.notify_all();
    }

    /// The most questions that were under way at once.
    #[must_use]
    pub fn most_under_way(&self) -> usize {
        self.shared.state.lock().most_under_way
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let Ok(reading) = stream.try_clone() else { return };
        let mut reader = BufReader::new(reading);
        let mut stream = stream;
        while let Some(asked) = read(&mut reader) {
            {
                let mut state = self.state.lock();
                state.asked.push(asked.clone());
                state.under_way += 1;
                state.most_under_way = state.most_under_way.max(state.under_way);
                while state.shut {
                    self.opened.wait(&mut state);
                }
            }
            let said = (self.answers)(&asked);
            self.state.lock().under_way -= 1;
            let (status, body) = match said {
                Say::Json(json) => (200, json.to_string()),
                Say::Text(text) => (200, text),
                Say::Status(status, json) => (status, json.to_string()),
                Say::Raw(response) => {
                    let _ = stream.write_all(response.as_bytes());
                    return;
                }
                Say::Nothing => {
                    // Until the other side gives up.
                    let _ = reader.read(&mut [0]);
                    return;
                }
                Say::Close => return,
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut headers = Vec::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    if !line.starts_with("POST /hook HTTP/1.1") {
        return None;
    }
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let text = String::from_utf8(body).expect("UTF-8");
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    Some(Asked { headers, text, json })
}
