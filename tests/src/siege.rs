//! A broker under attack, and what must hold when the attack is over.

use serde_json::json;

use crate::bayeux::{Client, data, ok};
use crate::broker::Broker;
use crate::http::Response;
use crate::process;

/// A handshake, as a request's body.
pub const HANDSHAKE: &str = r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;

/// A broker with short lives, and what must hold when the attack is over.
#[derive(Debug)]
pub struct Siege(pub Broker);

const SHORT_LIVES: &str = "[sessions]\ntimeout = \"1s\"\nmax_interval = \"2s\"\n";
const MEMORY_MAX: u64 = 160 << 20;

impl Siege {
    /// With the usual bounds otherwise.
    #[must_use]
    pub fn begin() -> Self {
        Self::with("")
    }

    /// With more configuration: further sections.
    #[must_use]
    pub fn with(more: &str) -> Self {
        Self(Broker::with(&format!("{SHORT_LIVES}{more}")))
    }

    /// Nothing is left of the attack, and the broker serves as before.
    pub fn over(self) {
        let broker = self.0;
        broker.wait_held(0);
        broker.wait_sessions(0);
        for gauge in ["weft_queue_messages", "weft_queue_bytes", "weft_subscriptions"] {
            assert_eq!(broker.metric(gauge), 0.0, "{gauge}");
        }
        assert_eq!(broker.metric("weft_responses_total{status=\"5xx\"}"), 0.0);
        assert!(process::memory(broker.pid()) < MEMORY_MAX);
        let mut client = Client::subscribed(&broker, "/after");
        ok(&client.publish("/after", "all"));
        assert_eq!(data(client.connect()), [json!("all")]);
        assert!(broker.is_alive());
        assert!(!broker.log().contains("panicked"), "{}", broker.log());
    }
}

/// Asserts a plain-text refusal.
#[track_caller]
pub fn is_text(response: &Response, status: u16, text: &str) {
    assert_eq!((response.status, response.text().trim_end()), (status, text));
    assert_eq!(response.header("Content-Type"), Some("text/plain;charset=UTF-8"));
}
