//! What happened in a run, so that a run in which nothing happened cannot pass.

macro_rules! tally {
    ($($name:ident: $what:literal,)*) => {
        /// Counts of everything that is to happen.
        #[derive(Debug, Default, Clone, Copy)]
        pub struct Tally { $(#[doc = $what] pub $name: u64,)* }

        impl Tally {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// The names of what never happened.
            pub fn lacks(&self) -> Vec<&'static str> {
                let mut lacks = Vec::new();
                $(if self.$name == 0 { lacks.push(stringify!($name)); })*
                lacks
            }
        }
    };
}

tally! {
    steps: "Steps with faults.",
    published: "Messages that were out.",
    refused: "Publications that were refused.",
    received: "Messages read for the first time in their session.",
    repeated: "Messages that came again, with cause.",
    told: "Messages that never came, of which a gap told.",
    lost: "Messages that never came, since that is not promised.",
    gaps: "Gaps told.",
    lost_replies: "Answers that no client read.",
    unwritten: "Answers that the broker knew not to have been written.",
    delayed: "Answers that took their time.",
    late_reads: "Answers that took their time and were read all the same.",
    resends: "Connects after which a reply went again.",
    cut_seen: "Sockets of held connects whose end the broker saw.",
    cut_unseen: "Sockets of held connects whose end it did not see.",
    half_closed: "Held connects that the broker gave up and their clients did not.",
    given_up: "Requests that clients gave up.",
    duplicates: "Connects that came twice.",
    late: "Connects that came when their client had given up.",
    stale: "Connects that came after newer ones.",
    slept: "Clients that stayed away for long.",
    overruns: "Sessions that ended since their queues were too long.",
    spills: "Queues that gave up what they can read again.",
    fights: "Connects refused since too many came.",
    sessions: "Sessions.",
    replays: "Subscriptions that began in the past.",
    asked_more: "Subscriptions to more, beside the connects.",
    unsubscribed: "Subscriptions that were given up.",
    strangers: "Requests of sessions that were no more.",
    demotions: "Connects of tabs that must not hold.",
    awaited: "Messages that came out when they were on disk.",
    watched: "Held connects that were woken.",
    crashes: "Stops that were not clean.",
    stops: "Clean stops.",
    unwritable: "Times the store could not write.",
    unreadable: "Times the store could not read.",
    clock_steps: "Steps of the wall clock.",
}

impl Tally {
    pub fn assert_everything_happened(&self) {
        assert!(self.lacks().is_empty(), "{:?} never happened: {self:#?}", self.lacks());
        assert!(self.received > 20 * self.lost, "most of it must be covered: {self:#?}");
    }
}
