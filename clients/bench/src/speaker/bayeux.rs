//! A Bayeux session from its handshake to its end, whatever carries it.

use std::time::Duration;

use memchr::memmem::find;
use serde::Deserialize;

use crate::wire::{Fault, http1};

/// Who a session is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) client_id: String,
    /// Its cookies as a line, or nothing.
    pub(crate) cookies: String,
}

/// What a session asks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Handshake,
    Subscribe,
    /// The first connect, which is answered at once.
    First,
    /// All others.
    Held,
    Leaving,
    Gone,
}

/// What a reply says, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) channel: String,
    pub(super) successful: Option<bool>,
    client_id: Option<String>,
    error: Option<String>,
    pub(super) id: Option<String>,
    #[serde(default)]
    advice: Advice,
}

#[derive(Debug, Default, Deserialize)]
struct Advice {
    reconnect: Option<String>,
    interval: Option<f64>,
}

/// Reads the messages of a response or frame.
pub(super) fn replies(body: &[u8]) -> Result<Vec<Reply>, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        Fault::new(format!("{error}: {text:?}"))
    })
}

/// One client's session, a browser of its own.
#[derive(Debug)]
pub(crate) struct Session {
    /// The connection type.
    kind: &'static str,
    channels: Vec<String>,
    pub(super) step: Step,
    identity: Identity,
    cookies: Vec<(String, String)>,
}

impl Session {
    /// A session that will hear these channels.
    pub(crate) fn new(kind: &'static str, channels: Vec<String>) -> Self {
        let (identity, cookies) = (Identity::default(), Vec::new());
        Self { kind, channels, step: Step::Handshake, identity, cookies }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Keeps the cookies of a response.
    pub(super) fn keep_cookies(&mut self, head: &[u8]) {
        let mut changed = false;
        for cookie in http1::header(head, "Set-Cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.retain(|(known, _)| known != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
                changed = true;
            }
        }
        if changed {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            self.identity.cookies = format!("Cookie: {}\r\n", pairs.join("; "));
        }
    }

    /// The request of this step.
    pub(super) fn request(&self) -> String {
        let Self { kind, identity: Identity { client_id, .. }, .. } = self;
        match self.step {
            Step::Handshake => format!(
                r#"[{{"channel":"/meta/handshake","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["{kind}"],"id":"h"}}]"#
            ),
            Step::Subscribe => {
                let each = self.channels.iter().enumerate().map(|(n, channel)| {
                    format!(
                        r#"{{"channel":"/meta/subscribe","clientId":"{client_id}","subscription":"{channel}","id":"s{n}"}}"#
                    )
                });
                format!("[{}]", each.collect::<Vec<_>>().join(","))
            }
            Step::First => format!(
                r#"[{{"channel":"/meta/connect","clientId":"{client_id}","connectionType":"{kind}","advice":{{"timeout":0}},"id":"c"}}]"#
            ),
            Step::Held => format!(
                r#"[{{"channel":"/meta/connect","clientId":"{client_id}","connectionType":"{kind}","id":"c"}}]"#
            ),
            Step::Leaving | Step::Gone => {
                format!(r#"[{{"channel":"/meta/disconnect","clientId":"{client_id}","id":"d"}}]"#)
            }
        }
    }

    /// Takes the replies of all steps but the held one, and goes on to the next.
    ///
    /// # Errors
    /// If the server does not want to.
    pub(super) fn hear(&mut self, replies: &[Reply]) -> Result<(), Fault> {
        let meta = replies.iter().filter(|reply| reply.channel.starts_with("/meta/"));
        for reply in meta {
            if reply.successful != Some(true) && self.step != Step::Leaving {
                self.step = Step::Handshake;
                return Err(refusal(reply));
            }
            let done = match (self.step, reply.channel.as_str()) {
                (Step::Handshake, "/meta/handshake") => {
                    self.identity.client_id = reply.client_id.clone().unwrap_or_default();
                    !self.identity.client_id.is_empty()
                }
                (Step::Subscribe, "/meta/subscribe")
                | (Step::First, "/meta/connect")
                | (Step::Leaving, "/meta/disconnect") => true,
                _ => false,
            };
            if done {
                self.step = match self.step {
                    Step::Handshake if !self.channels.is_empty() => Step::Subscribe,
                    Step::Handshake | Step::Subscribe => Step::First,
                    Step::First | Step::Held => Step::Held,
                    Step::Leaving | Step::Gone => Step::Gone,
                };
                // Of many subscriptions in one request each has its reply; all were looked at.
                return match replies.iter().find(|reply| reply.successful == Some(false)) {
                    Some(bad) if self.step != Step::Gone => Err(refusal(bad)),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    /// Looks at the answer of a held connect; how long to wait before the next.
    ///
    /// # Errors
    /// If the session has to begin anew.
    pub(super) fn held(&mut self, body: &[u8]) -> Result<Duration, Fault> {
        if find(body, br#""successful":false"#).is_some() {
            let replies = replies(body)?;
            let bad = replies.iter().find(|reply| reply.successful == Some(false));
            if let Some(bad) = bad.filter(|bad| bad.channel == "/meta/connect") {
                if bad.advice.reconnect.as_deref() != Some("retry") {
                    self.step = Step::Handshake;
                    return Err(refusal(bad));
                }
                return Ok(Duration::from_millis(bad.advice.interval.unwrap_or_default() as u64));
            }
        }
        Ok(Duration::from_millis(interval(body).unwrap_or_default()))
    }

    /// Takes its leave next.
    pub(super) fn leave(&mut self) -> bool {
        let known = !self.identity.client_id.is_empty();
        self.step = if known { Step::Leaving } else { Step::Gone };
        known
    }
}

fn refusal(reply: &Reply) -> Fault {
    let error = reply.error.as_deref().unwrap_or("not successful");
    Fault::new(format!("{}: {error}", reply.channel))
}

/// The milliseconds of the last `advice.interval`, without reading all of the JSON.
fn interval(body: &[u8]) -> Option<u64> {
    let name = br#""interval":"#;
    let at = memchr::memmem::rfind(body, name)? + name.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit()).take(9);
    Some(digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(session: &mut Session, body: &str) -> Result<(), Fault> {
        session.hear(&replies(body.as_bytes())?)
    }

    #[test]
    fn a_session_goes_from_its_handshake_to_its_held_connects() {
        let mut session = Session::new("long-polling", vec!["/a".to_owned(), "/b".to_owned()]);
        assert!(session.request().contains("/meta/handshake"));
        session.keep_cookies(b"HTTP/1.1 200 OK\r\nSet-Cookie: B=1; Path=/\r\nSet-Cookie: C=2\r\n");
        hear(&mut session, r#"[{"channel":"/meta/handshake","successful":true,"clientId":"x"}]"#)
            .unwrap();
        assert_eq!(session.identity().cookies, "Cookie: B=1; C=2\r\n");
        assert!(replies(session.request().as_bytes()).unwrap().len() == 2);
        let both = r#"[{"channel":"/meta/subscribe","successful":true},{"channel":"/meta/subscribe","successful":true}]"#;
        hear(&mut session, both).unwrap();
        assert!(session.request().contains(r#""timeout":0"#));
        let event = r#"{"channel":"/a","data":1}"#;
        hear(&mut session, &format!("[{event}]")).unwrap();
        assert_eq!(session.step, Step::First);
        hear(
            &mut session,
            &format!(r#"[{event},{{"channel":"/meta/connect","successful":true}}]"#),
        )
        .unwrap();
        assert_eq!(session.step, Step::Held);
        assert!(session.leave());
        hear(&mut session, r#"[{"channel":"/meta/disconnect","successful":false}]"#).unwrap();
        assert_eq!(session.step, Step::Gone);
    }

    #[test]
    fn what_is_refused_begins_anew() {
        let mut session = Session::new("websocket", vec!["/a".to_owned(), "/b".to_owned()]);
        let body = r#"[{"channel":"/meta/handshake","successful":false,"error":"403::no"}]"#;
        assert_eq!(hear(&mut session, body).unwrap_err().0, "/meta/handshake: 403::no");
        hear(&mut session, r#"[{"channel":"/meta/handshake","successful":true,"clientId":"x"}]"#)
            .unwrap();
        let second = r#"[{"channel":"/meta/subscribe","successful":true},{"channel":"/meta/subscribe","successful":false}]"#;
        assert!(hear(&mut session, second).is_err());
    }

    #[test]
    fn the_answer_of_a_held_connect_says_when_to_come_again() {
        let mut session = Session::new("long-polling", Vec::new());
        session.step = Step::Held;
        let reply = |fields: &str| format!(r#"[{{"channel":"/meta/connect",{fields}}}]"#);
        let mut held = |fields: &str| session.held(reply(fields).as_bytes());
        assert_eq!(held(r#""successful":true"#).unwrap(), Duration::ZERO);
        let advice = r#""successful":true,"advice":{"interval":250,"timeout":30000}"#;
        assert_eq!(held(advice).unwrap(), Duration::from_millis(250));
        let retry = r#""successful":false,"advice":{"reconnect":"retry","interval":7}"#;
        assert_eq!(held(retry).unwrap(), Duration::from_millis(7));
        let anew = r#""successful":false,"error":"402::","advice":{"reconnect":"handshake"}"#;
        assert!(held(anew).is_err());
        assert_eq!(session.step, Step::Handshake);
    }
}
