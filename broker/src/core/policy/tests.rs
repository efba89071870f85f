use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

use weft_protocol::Pattern;

use super::*;

fn somebody(subject: &str, roles: &[&str], claims: Value) -> Principal {
    let Value::Object(claims) = claims else { panic!("an object") };
    Principal {
        kind: Kind::Token,
        subject: Arc::from(subject),
        issuer_key: Arc::from("k"),
        roles: roles.iter().map(|&role| Arc::from(role)).collect(),
        claims,
        expires: None,
    }
}

fn rule(allows: bool, channels: &[&str], actions: &[Action]) -> Rule {
    Rule {
        channels: channels.iter().map(|text| Template::parse(text).expect("a template")).collect(),
        actions: actions.iter().copied().collect(),
        roles: Vec::new(),
        claims: Vec::new(),
        keys: Vec::new(),
        allows,
    }
}

fn allow(channels: &[&str]) -> Rule {
    rule(true, channels, &Action::ALL)
}

fn deny(channels: &[&str]) -> Rule {
    rule(false, channels, &Action::ALL)
}

#[track_caller]
fn check(rules: &[Rule], who: &Principal, pattern: &str, expected: Option<bool>) {
    let policy = Policy::new(rules.to_vec(), Actions::default());
    let Decision { allowed, rule } = policy.decide(who, Action::Subscribe, pattern);
    assert_eq!((rule.is_some()).then_some(allowed), expected, "{pattern}");
    assert!(!allowed || rule.is_some());
}

#[test]
fn what_no_rule_fits_is_denied() {
    let who = somebody("ann", &[], json!({}));
    check(&[], &who, "/a", None);
    check(&[allow(&["/b/**"])], &who, "/a", None);
    check(&[rule(true, &["/a"], &[Action::Publish])], &who, "/a", None);
}

#[test]
fn the_first_rule_that_fits_decides() {
    let who = somebody("ann", &[], json!({}));
    let rules = [deny(&["/a/secret"]), allow(&["/a/*"]), deny(&["/**"])];
    check(&rules, &who, "/a/b", Some(true));
    check(&rules, &who, "/a/secret", Some(false));
    check(&rules, &who, "/a/b/c", Some(false));
}

#[test]
fn a_pattern_is_allowed_only_if_all_that_it_means_is() {
    let who = somebody("ann", &[], json!({}));
    let rules = [deny(&["/a/secret"]), allow(&["/a/**"])];
    check(&rules, &who, "/a/*", Some(false));
    check(&rules, &who, "/a/**", Some(false));
    check(&rules, &who, "/a/b/**", Some(true));
    check(&rules, &who, "/**", Some(false));
    check(&[allow(&["/a/b"]), allow(&["/a/c"])], &who, "/a/*", None);
    check(&[allow(&["/a/*"])], &who, "/a/**", None);
    check(&[allow(&["/a/**"])], &who, "/a", None);
    check(&[allow(&["/*/log"])], &who, "/x/log", Some(true));
    check(&[allow(&["/*/log"])], &who, "/*", None);
    check(&[deny(&["/*/log"]), allow(&["/**"])], &who, "/x/*", Some(false));
}

#[test]
fn a_claim_stands_for_what_it_says_and_for_one_segment() {
    let claims = json!({"team": ["red", "blue"], "shop": 7, "org": {"id": "acme"}, "odd": "a/b",
                        "wild": "*", "none": "", "dots": ".."});
    let who = somebody("ann", &[], claims);
    let own = [allow(&["/user/{sub}/**", "/team/{team}", "/shop/{shop}", "/org/{org.id}/*"])];
    for good in ["/user/ann/x", "/user/ann/**", "/team/red", "/team/blue", "/shop/7", "/org/acme/*"]
    {
        check(&own, &who, good, Some(true));
    }
    for bad in ["/user/bob/x", "/user/*", "/user/**", "/team/*", "/team/green", "/org/x/y"] {
        check(&own, &who, bad, None);
    }
    let odd = [allow(&["/x/{odd}", "/x/{wild}", "/x/{none}", "/x/{dots}", "/x/{missing}"])];
    for bad in ["/x/a", "/x/a/b", "/x/*", "/x/**", "/x/missing", "/x/{missing}"] {
        check(&odd, &who, bad, None);
    }
}

#[test]
fn what_a_claim_does_not_say_is_denied_as_if_it_said_anything() {
    let who = somebody("ann", &[], json!({}));
    check(&[deny(&["/x/{missing}"]), allow(&["/**"])], &who, "/x/y", Some(false));
    check(&[deny(&["/x/{sub}"]), allow(&["/**"])], &who, "/x/bob", Some(true));
    check(&[deny(&["/x/{sub}"]), allow(&["/**"])], &who, "/x/*", Some(false));
}

#[test]
fn rules_are_about_roles_claims_and_keys() {
    let admin = somebody("ann", &["admin"], json!({"tenant": "acme", "plan": ["pro"]}));
    let other = somebody("bob", &["user"], json!({"tenant": "x"}));
    let by_role = Rule { roles: vec!["boss".into(), "admin".into()], ..allow(&["/**"]) };
    check(std::slice::from_ref(&by_role), &admin, "/a", Some(true));
    check(&[by_role], &other, "/a", None);
    let claims = vec![("tenant".into(), json!("acme")), ("plan".into(), json!("pro"))];
    let by_claim = Rule { claims, ..allow(&["/**"]) };
    check(std::slice::from_ref(&by_claim), &admin, "/a", Some(true));
    check(&[by_claim], &other, "/a", None);
    let by_key = Rule { keys: vec!["ann".into()], ..allow(&["/**"]) };
    check(std::slice::from_ref(&by_key), &admin, "/a", None);
    let key = Principal { kind: Kind::Key, ..admin };
    check(&[by_key], &key, "/a", Some(true));
}

#[test]
fn what_is_for_everybody_is_not_for_those_who_do_not_say_who_they_are() {
    let nobody = Principal::anonymous();
    check(&[allow(&["/**"])], &nobody, "/a", None);
    check(&[deny(&["/**"])], &nobody, "/a", Some(false));
    let meant = Rule { roles: vec![super::super::principal::ANONYMOUS.into()], ..allow(&["/a"]) };
    check(&[meant], &nobody, "/a", Some(true));
    check(&[allow(&["/user/{sub}"])], &nobody, "/user/anonymous", None);
    let unnamed = Principal { kind: Kind::Hook, subject: Arc::from(""), ..nobody };
    check(&[allow(&["/**"])], &unnamed, "/a", None);
}

#[test]
fn a_template_has_claims_and_wildcards_as_whole_segments() {
    for good in ["/**", "/*", "/a/*/b", "/a/{x}/**", "/{a.b}", "/{https://x.test}"] {
        let good_but_for_slashes = !good.contains("https");
        assert_eq!(Template::parse(good).is_ok(), good_but_for_slashes, "{good}");
    }
    for bad in ["", "/", "a", "/a/", "//a", "/**/a", "/a*", "/{}", "/a{b}", "/{a}{b}", "/a b", "/."]
    {
        assert_eq!(Template::parse(bad), Err(InvalidTemplate), "{bad}");
    }
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]", Just("*".to_owned()), Just("{sub}".to_owned()), Just("{no}".to_owned())]
}

fn template() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 1..4), any::<bool>()).prop_map(|(mut segments, deep)| {
        if deep {
            segments.push("**".to_owned());
        }
        format!("/{}", segments.join("/"))
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let tail = prop_oneof![Just(""), Just("/*"), Just("/**")];
    (prop::collection::vec("[abc]", 0..3), tail).prop_map(|(segments, tail)| {
        let text = segments.iter().fold(String::new(), |text, segment| text + "/" + segment) + tail;
        if text.is_empty() { "/a".to_owned() } else { text }
    })
}

/// All channels of up to four segments.
fn channels() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..4 {
        let to = all.len();
        for index in from..to {
            for name in ["a", "b", "c", "d"] {
                all.push(format!("{}/{name}", all[index]));
            }
        }
        from = to;
    }
    all.split_off(1)
}

proptest! {
    /// P7: a pattern that is allowed means no channel that is not; a channel is judged as if the rules
    /// were read one by one by somebody who knows nothing of patterns.
    #[test]
    fn nobody_gets_by_a_pattern_what_is_denied_by_name(
        rules in prop::collection::vec((template(), any::<bool>()), 0..6),
        pattern in pattern(),
    ) {
        let who = somebody("a", &[], json!({}));
        let templates = rules.iter().map(|(text, allows)| rule(*allows, &[text], &Action::ALL));
        let policy = Policy::new(templates.collect(), Actions::default());
        let wanted = Pattern::parse(&pattern, &ANY).expect("a pattern");
        let by_pattern = policy.decide(&who, Action::Subscribe, &pattern).allowed;
        for channel in channels() {
            let name = ChannelName::parse(&channel, &ANY).expect("a name");
            let by_name = policy.decide(&who, Action::Subscribe, &channel).allowed;
            prop_assert_eq!(by_name, slowly(&rules, &channel), "{} {:?}", &channel, &rules);
            if by_pattern && wanted.matches(name) {
                prop_assert!(by_name, "{} of {} by {:?}", channel, pattern, rules);
            }
        }
    }
}

/// What a channel is judged, by a reader of rules who works with text.
fn slowly(rules: &[(String, bool)], channel: &str) -> bool {
    for (template, allows) in rules {
        let mine = if *allows { "\u{0}" } else { "*" };
        let text = template.replace("{sub}", "a").replace("{no}", mine);
        let (mut ours, mut theirs) = (text.split('/').skip(1), channel.split('/').skip(1));
        let fits = loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some("**"), Some(_)) => break true,
                (Some(a), Some(b)) if a == "*" || a == b => {}
                _ => break false,
            }
        };
        if fits {
            return *allows;
        }
    }
    false
}
