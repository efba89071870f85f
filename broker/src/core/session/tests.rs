use super::*;
use crate::core::frame::frame;
use crate::core::held::Release;

const BOUNDS: Bounds = Bounds {
    limits: QueueLimits { messages: 100, bytes: 1 << 20 },
    spills: true,
    drops_oldest: true,
};
const RESPONSE: ResponseLimits = ResponseLimits { messages: 100, bytes: 1 << 20 };

fn session() -> Session {
    Session::new(Instant::now(), Instant::now())
}

#[test]
fn l15_the_first_message_decides_what_is_asked_of_all() {
    let (one, two) = (Some(BrowserId([1; 16])), Some(BrowserId([2; 16])));
    let mut bound = session();
    assert!(bound.admits(one, false));
    assert!(!bound.admits(two, false) && !bound.admits(None, false) && bound.admits(one, true));
    let mut free = session();
    assert!(free.admits(None, false));
    assert!(free.admits(one, false) && free.admits(None, false));
    assert!(!session().admits(None, true));
}

#[test]
fn a_fight_is_more_than_five_replacements_in_ten_seconds() {
    let now = Instant::now();
    let mut session = session();
    let replace = |session: &mut Session, after_ms: u64| {
        session.hold = Some(Arc::new(Hold::default()));
        session.supersede(now + Duration::from_millis(after_ms)).map(|(_, why)| why)
    };
    for n in 0..5 {
        assert_eq!(replace(&mut session, n * 100), Some(Release::Superseded));
    }
    assert_eq!(replace(&mut session, 600), Some(Release::Fought));
    assert_eq!(replace(&mut session, 700), Some(Release::Fought));
    assert_eq!(replace(&mut session, 30_000), Some(Release::Superseded));
}

#[test]
fn lazy_messages_wait_for_company_or_their_time() {
    let now = Instant::now();
    let at = |ms| now + Duration::from_millis(ms);
    let mut session = session();
    session.enqueue(frame("/a", 1), &Rule::default(), BOUNDS, Some(at(500)));
    session.enqueue(frame("/a", 2), &Rule::default(), BOUNDS, Some(at(900)));
    assert!(!session.has_news(at(499)) && session.has_news(at(500)), "the first one's time");
    session.enqueue(frame("/b", 3), &Rule::default(), BOUNDS, None);
    assert!(session.has_news(now), "company came");
    session.enqueue(frame("/a", 4), &Rule::default(), BOUNDS, Some(at(900)));
    assert!(session.has_news(now), "and is not made to wait");
    assert_eq!(session.answer(now, None, RESPONSE).0.frames.len(), 4);
    session.enqueue(frame("/a", 5), &Rule::default(), BOUNDS, Some(at(900)));
    assert!(!session.has_news(at(899)) && session.has_news(at(900)));
}

#[test]
fn lazy_messages_wake_a_hold_once_to_set_its_alarm() {
    let now = Instant::now();
    let mut session = session();
    let hold = Arc::new(Hold::default());
    session.hold = Some(Arc::clone(&hold));
    let until = now + Duration::from_secs(2);
    let mut wakes =
        |until| session.enqueue(frame("/a", 1), &Rule::default(), BOUNDS, until).wake.is_some();
    assert!(wakes(Some(until)));
    hold.sleep_on();
    assert!(!wakes(Some(until + Duration::from_secs(1))));
    assert!(wakes(None));
}
