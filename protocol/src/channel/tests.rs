use super::*;

fn name(text: &str, valid: bool) {
    let found = ChannelName::parse(text, &ChannelLimits::default());
    assert_eq!(found.is_ok(), valid, "name {text:?}");
}

fn pattern(text: &str, valid: bool) {
    let found = Pattern::parse(text, &ChannelLimits::default());
    assert_eq!(found.is_ok(), valid, "pattern {text:?}");
}

fn matches(pattern: &str, name: &str, expected: bool) {
    let limits = ChannelLimits::default();
    let found = Pattern::parse(pattern, &limits).unwrap();
    let name = ChannelName::parse(name, &limits).unwrap();
    assert_eq!(found.matches(name), expected, "{pattern} and {name}");
}

#[test]
fn b1_every_token_character_is_legal_and_no_other() {
    for byte in 0..=127_u8 {
        let character = char::from(byte);
        let token = character.is_ascii_alphanumeric() || "-_!~()$@".contains(character);
        // The dot is ours; the slash makes "/a/b".
        let legal = token || character == '.' || character == '/';
        name(&format!("/a{character}b"), legal);
        pattern(&format!("/a{character}b"), legal);
    }
    name("/ü", false);
    name("/a\u{2028}", false);
}

#[test]
fn b4_a_name_is_slashes_and_segments() {
    name("/a", true);
    name("/a/b/c", true);
    name("/Foo-1_!~()$@/x", true);
    for refused in ["", "/", "//", "a", "a/b", "//a", "/a//b", " /a", "/a ", "/a b", "/a%20"] {
        name(refused, false);
        pattern(refused, false);
    }
}

#[test]
fn b4_trailing_slash_is_refused() {
    name("/a/", false);
    name("/a/b/", false);
    pattern("/a/", false);
    pattern("/a/*/", false);
    pattern("/**/", false);
}

#[test]
fn b4_dots_are_legal_but_not_as_path_segments() {
    name("/a.b", true);
    name("/...", true);
    name("/.a", true);
    for refused in ["/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/../b"] {
        name(refused, false);
        pattern(refused, false);
    }
    pattern("/../*", false);
}

#[test]
fn b5_wildcards_stand_only_as_the_last_segment() {
    for legal in ["/*", "/**", "/a/*", "/a/**", "/a/b/**", "/a"] {
        pattern(legal, true);
    }
    for refused in ["*", "**", "/a*", "/a/*b", "/a/***", "/***", "/a/*/b", "/a/**/b", "/*/*"] {
        pattern(refused, false);
    }
    for refused in ["/**/a", "/**/*", "/a//*", "//**"] {
        pattern(refused, false);
    }
}

#[test]
fn l9_a_wildcard_is_no_concrete_name() {
    for refused in ["/*", "/**", "/a/*", "/a/**"] {
        name(refused, false);
    }
}

#[test]
fn l4_names_are_bounded() {
    name(&format!("/{}", "a".repeat(254)), true);
    name(&format!("/{}", "a".repeat(255)), false);
    name(&"/a".repeat(32), true);
    name(&"/a".repeat(33), false);
    pattern(&format!("{}/**", "/a".repeat(31)), true);
    pattern(&format!("{}/**", "/a".repeat(32)), false);
    pattern(&format!("{}/*", "/a".repeat(32)), false);
    let tight = ChannelLimits { bytes: 2, segments: 1 };
    assert!(ChannelName::parse("/a", &tight).is_ok());
    assert_eq!(ChannelName::parse("/ab", &tight), Err(InvalidChannel));
}

#[test]
fn b6_one_star_is_exactly_one_more_segment() {
    matches("/foo/*", "/foo/bar", true);
    matches("/foo/*", "/foo", false);
    matches("/foo/*", "/foobar", false);
    matches("/foo/*", "/foo/bar/boo", false);
    matches("/*", "/foo", true);
    matches("/*", "/foo/bar", false);
}

#[test]
fn b7_two_stars_are_one_or_more_segments() {
    matches("/foo/**", "/foo/bar", true);
    matches("/foo/**", "/foo/bar/boo", true);
    matches("/foo/**", "/foo", false);
    matches("/foo/**", "/foobar", false);
    matches("/**", "/foo", true);
    matches("/**", "/foo/bar/boo", true);
}

#[test]
fn b4_a_concrete_pattern_matches_its_own_name_and_case_counts() {
    matches("/foo", "/foo", true);
    matches("/foo", "/Foo", false);
    matches("/foo", "/foo/bar", false);
    matches("/foo/bar", "/foo", false);
}

#[test]
fn b6_b7_the_patterns_of_a_name_are_all_that_match_it() {
    let check = |text: &str, expected: &[&str]| {
        let mut found = Vec::new();
        let name = ChannelName::parse(text, &ChannelLimits::default()).unwrap();
        name.patterns(|pattern| found.push(pattern.to_owned()));
        assert_eq!(found, expected);
    };
    check("/a", &["/a", "/*", "/**"]);
    check("/a/b", &["/a/b", "/a/*", "/a/**", "/**"]);
    check("/a/bc/d", &["/a/bc/d", "/a/bc/*", "/a/bc/**", "/a/**", "/**"]);
}

#[test]
fn b8_meta_and_service_are_reserved_with_all_below() {
    let check = |text: &str, meta: bool, service: bool| {
        let found = Pattern::parse(text, &ChannelLimits::default()).unwrap();
        assert_eq!((found.is_meta(), found.is_service()), (meta, service), "{text}");
        if let Ok(name) = ChannelName::parse(text, &ChannelLimits::default()) {
            assert_eq!((name.is_meta(), name.is_service()), (meta, service), "{text}");
            assert_eq!(Pattern::from(name), found);
        }
        assert_eq!(found.is_wild(), text.contains('*'), "{text}");
    };
    for meta in ["/meta", "/meta/x", "/meta/connect", "/meta/*", "/meta/**", "/meta/x/*"] {
        check(meta, true, false);
    }
    for service in ["/service", "/service/x", "/service/*", "/service/**"] {
        check(service, false, true);
    }
    for ordinary in ["/metal", "/Meta/x", "/services", "/a/meta", "/a/service/x", "/*", "/**"] {
        check(ordinary, false, false);
    }
}
