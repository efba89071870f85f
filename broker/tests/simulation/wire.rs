//! What a client reads from an answer. A reader of its own, since hundreds of thousands of answers
//! are read in builds without optimisation.

use super::channels;

/// A piece of well-formed JSON.
#[derive(Debug, Clone, Copy)]
struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    fn skip_space(self) -> Self {
        Self(self.0.trim_start_matches([' ', '\n', '\r', '\t']))
    }

    /// The value at the beginning, and what follows it.
    fn split(self) -> (Self, Self) {
        let (bytes, mut at, mut depth) = (self.0.as_bytes(), 0, 0_usize);
        while at < bytes.len() {
            match bytes[at] {
                b'"' => {
                    at += 1;
                    while bytes[at] != b'"' {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' | b':' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        (Self(&self.0[..at]), Self(&self.0[at..]))
    }

    /// The elements of an array.
    fn items(self) -> impl Iterator<Item = Self> {
        let mut rest = Self(self.0.strip_prefix('[').unwrap_or_default());
        std::iter::from_fn(move || {
            rest = Self(rest.0.strip_prefix(',').unwrap_or(rest.0)).skip_space();
            let (item, after) = rest.split();
            rest = after;
            (!item.0.is_empty()).then_some(item)
        })
    }

    /// The members of an object.
    fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let mut rest = Self(self.0.strip_prefix('{').unwrap_or_default());
        std::iter::from_fn(move || {
            rest = Self(rest.0.strip_prefix(',').unwrap_or(rest.0)).skip_space();
            let (name, after) = rest.split();
            let (value, after) = Self(after.0.strip_prefix(':')?).skip_space().split();
            rest = after;
            Some((name.text(), value))
        })
    }

    fn get(self, name: &str) -> Self {
        let found = self.members().find(|(member, _)| *member == name);
        found.map_or(Self(""), |(_, value)| value)
    }

    fn text(self) -> &'a str {
        self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default()
    }

    fn number(self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn is_true(self) -> bool {
        self.0 == "true"
    }
}

/// A published message, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub channel: usize,
    pub number: u32,
    /// The position that stands in it.
    pub position: Option<i64>,
}

/// A loss that was told.
#[derive(Debug, Clone)]
pub struct Gap {
    pub channel: String,
    pub from: i64,
    pub to: i64,
}

/// What became of a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connected {
    Well,
    /// 402.
    Unknown,
    /// For now.
    Refused,
}

/// An answer as a client makes use of it.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub events: Vec<Event>,
    /// Told in a subscribe's reply.
    pub subscribe_gaps: Vec<Gap>,
    /// Told in a connect's reply.
    pub gaps: Vec<Gap>,
    pub ack: Option<u64>,
    pub client_id: Option<String>,
    pub subscribed: bool,
    pub disconnected: bool,
    pub connected: Option<Connected>,
    /// Any message was answered with 402.
    pub unknown: bool,
    pub advises_handshake: bool,
    pub interval_ms: Option<u64>,
    pub demoted: bool,
}

impl Reply {
    /// Reads an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut reply = Self::default();
        for message in Json(text).items() {
            reply.message(message)?;
        }
        Ok(reply)
    }

    fn message(&mut self, message: Json<'_>) -> Result<(), String> {
        let none = Json("");
        let (mut channel, mut data, mut ext, mut advice) = (none, none, none, none);
        let (mut successful, mut error, mut client_id) = (none, none, none);
        for (name, value) in message.members() {
            match name {
                "channel" => channel = value,
                "data" => data = value,
                "ext" => ext = value,
                "advice" => advice = value,
                "successful" => successful = value,
                "error" => error = value,
                "clientId" => client_id = value,
                _ => {}
            }
        }
        if !data.0.is_empty() {
            return self.event(channel.text(), data, ext);
        }
        let well = successful.is_true();
        self.unknown |= error.text().starts_with("402");
        match channel.text() {
            "/meta/handshake" if well => self.client_id = Some(client_id.text().to_owned()),
            "/meta/subscribe" => {
                self.subscribed |= well;
                self.subscribe_gaps.extend(gaps(ext));
            }
            "/meta/disconnect" => self.disconnected |= well,
            "/meta/connect" => {
                self.connected = Some(match (well, error.text().starts_with("402")) {
                    (true, _) => Connected::Well,
                    (false, true) => Connected::Unknown,
                    (false, false) => Connected::Refused,
                });
                self.gaps.extend(gaps(ext));
                self.ack = ext.get("ack").number().and_then(|n| u64::try_from(n).ok());
            }
            _ => {}
        }
        for (name, value) in advice.members() {
            match name {
                "reconnect" => self.advises_handshake |= value.text() == "handshake",
                "interval" => self.interval_ms = value.0.parse().ok(),
                "multiple-clients" => self.demoted |= value.is_true(),
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&mut self, name: &str, data: Json<'_>, ext: Json<'_>) -> Result<(), String> {
        if self.connected.is_some() {
            return Err("an event stands after the connect's reply".to_owned());
        }
        let channel = channels::index(name).ok_or_else(|| format!("{name} was never used"))?;
        let number = data.0.parse().map_err(|_| format!("{} is no number of ours", data.0))?;
        let position = ext.get("replay").get("id").number();
        self.events.push(Event { channel, number, position });
        Ok(())
    }
}

fn gaps(ext: Json<'_>) -> impl Iterator<Item = Gap> {
    ext.get("weft").get("gap").items().map(|gap| Gap {
        channel: gap.get("channel").text().to_owned(),
        from: gap.get("from").number().unwrap_or(i64::MAX),
        to: gap.get("to").number().unwrap_or(i64::MIN),
    })
}
