//! A broker with as many sessions as are wanted, as its parts are measured: no socket, no disk.
#![allow(dead_code, unreachable_pub, reason = "each benchmark and test takes what it needs")]

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use weft_broker::core::broker::{Broker, Origin, Wishes};
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::held::Wakes;
use weft_broker::core::id::{SessionId, SystemIds};
use weft_broker::core::options::{Options, ResponseLimits};
use weft_broker::core::outlet::{Outlet, OutletKind, Push};
use weft_broker::core::publishing::{Publication, Publishing};
use weft_broker::core::rules::{Durability, Rule, Rules};
use weft_broker::core::session::SessionHandle;
use weft_broker::core::stats::Stats;
use weft_broker::exchange::{Caller, Exchange, Exchanged, HeldConnect, events};
use weft_broker::guard::Guard;
use weft_protocol::{Body, ChannelLimits, ChannelName, ConnectionType, DecodeLimits};

/// What is published as a rule.
pub const DATA: &str = r#"{"symbol":"WEFT","price":101.25,"bid":101.2,"ask":101.3,"volume":12345}"#;

/// As much as there is.
pub const ALL: ResponseLimits = ResponseLimits { messages: usize::MAX, bytes: usize::MAX };

/// A broker, and the exchange before it.
pub struct Rig {
    pub broker: Arc<Broker>,
    exchange: Exchange,
}

impl Rig {
    /// A broker that keeps this many messages of each channel's past, in memory alone.
    pub fn keeping(messages: u64) -> Self {
        let rule = Rule::default();
        let keep = weft_persistence::Retention { messages, ..rule.keep };
        let rule = Rule { keep, durability: Durability::Memory, ..rule };
        Self::with(Options { rules: Rules::new([], rule), ..Options::default() })
    }

    /// A broker with its options; all numbers of sessions and channels are allowed.
    pub fn with(options: Options) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut options = options;
        options.sessions_max = usize::MAX;
        options.subscriptions_total = usize::MAX;
        options.subscriptions_per_session = usize::MAX;
        options.past.channels = usize::MAX;
        let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
        let broker = Broker::new(options, stats, Arc::clone(&clock), Origin::default());
        let exchange = Exchange::new(
            Arc::clone(&broker),
            Arc::new(Guard::open(clock)),
            Arc::new(SystemIds),
            DecodeLimits::default(),
            vec![ConnectionType::LongPolling],
        );
        Self { broker, exchange }
    }

    /// A session with subscriptions.
    pub fn session(&self, patterns: &[&str]) -> Arc<SessionHandle> {
        let id = SessionId::random().expect("entropy");
        self.broker.handshake(id, Wishes::default()).expect("room");
        let session = self.broker.find(Some(id.as_str()), None, None).expect("it lives");
        let patterns: Vec<_> = patterns.iter().copied().map(Cow::Borrowed).collect();
        if !patterns.is_empty() {
            let wakes = &mut Wakes::default();
            self.broker.subscribe(&session, &patterns, None, wakes).expect("room");
        }
        session
    }

    /// So many of them.
    pub fn sessions(&self, n: usize, patterns: &[&str]) -> Vec<Arc<SessionHandle>> {
        (0..n).map(|_| self.session(patterns)).collect()
    }

    /// Publishes a message; says for how many sessions it was queued.
    pub fn publish(&self, channel: &str) -> u32 {
        let publication = Publication::new(name(channel), DATA);
        let mut wakes = Wakes::default();
        match self.broker.publish(&publication, &mut wakes).expect("room") {
            Publishing::Done(published) => published.subscribers,
            Publishing::Pending(_) => unreachable!("there is no store"),
        }
    }

    /// Publishes a message, takes it for each of these sockets as the wire has it, and proves it.
    pub fn publish_to(&self, channel: &str, sockets: &mut [Outlet]) {
        self.publish(channel);
        let now = self.broker.clock().now();
        for socket in sockets {
            let Some(Push::Events(pushed)) = socket.poll(now) else { unreachable!("it has one") };
            drop(events(&self.broker, &pushed.batch));
            socket.confirm(pushed.mark);
        }
    }

    /// Works off a request.
    pub fn request(&self, text: &str) -> Exchanged {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let caller = Caller::from(address, ConnectionType::LongPolling, self.exchange.now());
        let body = Body::text(text);
        let mut turn = std::pin::pin!(self.exchange.handle(caller, &body));
        loop {
            // It may have let others go first.
            let polled = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(exchanged) = polled {
                return exchanged.expect("messages");
            }
        }
    }

    /// Sends a connect, and leaves it waiting if it waits.
    pub fn connect(&self, text: &str) -> Box<HeldConnect> {
        match self.request(text) {
            Exchanged::Hold(held) => held,
            Exchanged::Answer(answer) => unreachable!("{}", answer.text),
        }
    }

    /// A session with subscriptions, whose next connects wait: these, in turns.
    pub fn poller(&self, patterns: &[&str]) -> [String; 2] {
        let session = self.session(patterns);
        let [first, one, other] = [7, 8, 9].map(|id| connect(&session, id));
        self.connect(&first).poll().expect("the first connect is answered at once");
        [one, other]
    }

    /// A session's socket.
    pub fn socket(&self, session: &Arc<SessionHandle>) -> Outlet {
        self.broker.attach(session, OutletKind::Socket, ALL)
    }
}

/// A channel's name.
pub fn name(text: &str) -> ChannelName<'_> {
    ChannelName::parse(text, &ChannelLimits::default()).expect("a name")
}

/// A session's connect, as a client sends it.
fn connect(session: &SessionHandle, id: u32) -> String {
    let client = session.id.as_str();
    format!(
        r#"[{{"channel":"/meta/connect","clientId":"{client}","connectionType":"long-polling","id":"{id}"}}]"#
    )
}
