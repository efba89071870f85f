//! Several limits at once: the narrowest is asked first, and nobody pays for another's refusal.

use prometheus::Registry;

use super::*;

fn per_second(amount: u64) -> Option<Rate> {
    Some(Rate { amount, per: Duration::from_secs(1), burst: amount })
}

fn limits(messages: Rates, options: LimitOptions) -> (Limits, Registry, Instant) {
    let mut rates = [Rates::default(); RATES];
    rates[What::Messages as usize] = messages;
    let (registry, now) = (Registry::new(), Instant::now());
    let stats = LimitStats::register(&registry).unwrap();
    (Limits::new(&LimitOptions { rates, ..options }, stats, now), registry, now)
}

fn counted(registry: &Registry, scope: Scope) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "weft_limited_total").unwrap();
    let of_scope = |metric: &&prometheus::proto::Metric| {
        metric.get_label().iter().any(|label| label.value() == scope.label())
    };
    family.get_metric().iter().filter(of_scope).map(|metric| metric.get_counter().get_value()).sum()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn r35_without_limits_nobody_is_known_and_all_is_given() {
    let (limits, _, now) = limits(Rates::default(), LimitOptions::default());
    assert!(limits.is_off());
    let payer = limits.with_principal(limits.at(ip("192.0.2.1"), false), 0, "ann");
    assert_eq!(payer, Payer::default());
    for what in What::ALL {
        assert_eq!(limits.take(what, payer, None, u64::MAX, now), Ok(()));
    }
    assert!(limits.hold(payer).unwrap().is_none() && limits.begin(payer).unwrap().is_none());
}

#[test]
fn r35_each_scope_limits_and_says_which_one_did() {
    for (scope, rates) in [
        (Scope::Address, Rates { address: per_second(5), ..Rates::default() }),
        (Scope::Principal, Rates { principal: per_second(5), ..Rates::default() }),
        (Scope::Session, Rates { session: per_second(5), ..Rates::default() }),
        (Scope::All, Rates { all: per_second(5), ..Rates::default() }),
    ] {
        let (limits, registry, now) = limits(rates, LimitOptions::default());
        let payer = limits.with_principal(limits.at(ip("192.0.2.1"), false), 0, "ann");
        let other = limits.with_principal(limits.at(ip("192.0.2.2"), false), 0, "bob");
        let (own, others) = (SessionBuckets::default(), SessionBuckets::default());
        let take = |payer, own, n, now| limits.take(What::Messages, payer, Some(own), n, now);
        for _ in 0..5 {
            assert_eq!(take(payer, &own, 1, now), Ok(()));
        }
        let after = Some(Duration::from_millis(200));
        let limited = Limited { what: What::Messages, scope, after };
        assert_eq!(take(payer, &own, 1, now), Err(limited));
        assert_eq!(take(other, &others, 1, now).is_ok(), scope != Scope::All, "{scope:?}");
        assert_eq!(take(payer, &own, 6, now).unwrap_err().after, None, "never so many at once");
        assert_eq!(take(payer, &own, 1, now + Duration::from_millis(200)), Ok(()), "{scope:?}");
        assert_eq!(
            limits.take(What::Handshakes, payer, Some(&own), 99, now),
            Ok(()),
            "another thing"
        );
        let refusals = if scope == Scope::All { 3.0 } else { 2.0 };
        assert_eq!(counted(&registry, scope), refusals, "{scope:?}");
    }
}

#[test]
fn r35_what_a_wider_limit_refuses_is_not_taken_from_a_narrower_one() {
    let rates = Rates {
        address: per_second(8),
        principal: per_second(8),
        session: per_second(8),
        all: per_second(4),
    };
    let (limits, _, now) = limits(rates, LimitOptions::default());
    let payer = limits.with_principal(limits.at(ip("192.0.2.1"), false), 0, "ann");
    let own = SessionBuckets::default();
    let take = |n, now| limits.take(What::Messages, payer, Some(&own), n, now);
    assert_eq!(take(4, now), Ok(()));
    for _ in 0..50 {
        assert_eq!(take(4, now).unwrap_err().scope, Scope::All);
    }
    // All of it is back for everybody after a second, and the others had enough all along.
    assert_eq!(take(4, now + Duration::from_secs(1)), Ok(()));
}

#[test]
fn r33_loopback_counts_only_where_asked_for_or_told_by_a_proxy() {
    let rates = Rates { address: per_second(1), ..Rates::default() };
    let (open, ..) = limits(rates, LimitOptions::default());
    for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(open.at(ip(loopback), false), Payer::default(), "{loopback}");
        assert!(open.at(ip(loopback), true).address.is_some(), "{loopback}");
    }
    assert!(open.at(ip("192.0.2.1"), false).address.is_some());
    let (strict, ..) = limits(rates, LimitOptions { loopback: true, ..LimitOptions::default() });
    assert_eq!(strict.at(ip("::ffff:127.0.0.1"), false), strict.at(ip("127.0.0.1"), false));
    assert!(strict.at(ip("127.0.0.1"), false).address.is_some());
}

#[test]
fn r33_held_polls_and_sessions_are_counted_apart() {
    let per_address = |per_address| Bounds { per_address, ..Bounds::NONE };
    let options =
        LimitOptions { held: per_address(1), sessions: per_address(2), ..LimitOptions::default() };
    let (limits, registry, _) = limits(Rates::default(), options);
    assert!(!limits.is_off());
    let payer = limits.at(ip("192.0.2.1"), false);
    let held = limits.hold(payer).unwrap().expect("counted");
    let refused = limits.hold(payer).unwrap_err();
    assert_eq!((refused.what, refused.scope), (What::Held, Scope::Address));
    let sessions = [limits.begin(payer).unwrap(), limits.begin(payer).unwrap()];
    assert_eq!(limits.begin(payer).unwrap_err().what, What::Sessions);
    assert!(limits.hold(limits.at(ip("192.0.2.2"), false)).is_ok(), "others are unaffected");
    drop((held, sessions));
    assert!(limits.hold(payer).is_ok() && limits.begin(payer).is_ok());
    assert_eq!(counted(&registry, Scope::Address), 2.0);
}
