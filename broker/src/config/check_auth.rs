//! The rules of `[auth]`: a file that looks as if it protected something must do so.

use std::collections::HashSet;

use super::auth::{Algorithm, TokenSource};
use super::check::Problems;
use super::{AuthMode, Config, HumanDuration};

/// Members of `ext` that mean something else.
const EXT_TAKEN: [&str; 4] = ["weft", "replay", "ack", "timesync"];

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let auth = &config.auth;
    let asks = auth.mode == AuthMode::Token;
    problems.unless(
        !asks || !auth.tokens.is_empty() || !auth.keys.is_empty() || config.hook.judges(),
        &["auth.mode"],
        "\"token\" lets nobody in without [[auth.tokens]] or [[auth.keys]]: say whose tokens or keys \
         are good, or let a hook decide on handshakes",
    );
    for (key, given) in [
        ("auth.tokens", !auth.tokens.is_empty()),
        ("auth.keys", !auth.keys.is_empty()),
        ("auth.denied", !auth.denied.is_empty()),
        ("auth.anonymous", auth.anonymous),
    ] {
        problems.unless(
            asks || !given,
            &[key],
            "means nothing unless auth.mode = \"token\": as it is, nobody is asked for anything",
        );
    }
    let ten_minutes = HumanDuration::secs(600);
    problems.range("auth.leeway", auth.leeway, (HumanDuration::secs(0), ten_minutes));
    for (key, name) in [
        ("auth.token_field", &auth.token_field),
        ("auth.subject_claim", &auth.subject_claim),
        ("auth.roles_claim", &auth.roles_claim),
    ] {
        let plain = !name.is_empty() && name.split('.').all(|part| !part.is_empty());
        problems.unless(plain, &[key], format!("{name:?} is no name, and no path of names"));
    }
    let first = auth.token_field.split('.').next().unwrap_or_default();
    problems.unless(
        !EXT_TAKEN.contains(&first),
        &["auth.token_field"],
        format!("ext.{first} means something else"),
    );
    let cookie = &auth.cookie;
    problems.unless(
        cookie.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)),
        &["auth.cookie"],
        format!("{cookie:?} is no name of a cookie"),
    );
    problems.unless(
        *cookie != config.browsers.cookie,
        &["auth.cookie", "browsers.cookie"],
        format!("{cookie:?} is already the cookie that tells browsers apart"),
    );
    let mut names = HashSet::new();
    for (index, source) in auth.tokens.iter().enumerate() {
        let mut item = Item { problems, list: "auth.tokens", index };
        item.name(&source.name, &mut names);
        token_source(source, &mut item);
    }
    for (index, key) in auth.keys.iter().enumerate() {
        let mut item = Item { problems, list: "auth.keys", index };
        item.name(&key.name, &mut names);
        let text = "says which key it is: weft key NAME makes one";
        item.unless(key.sha256.is_some(), "sha256", text);
        let before = auth.keys[..index].iter().any(|before| before.sha256 == key.sha256);
        let text = "is the same key as one before it, by another name";
        item.unless(!before || key.sha256.is_none(), "sha256", text);
    }
}

/// One entry of a list.
struct Item<'p> {
    problems: &'p mut Problems,
    list: &'static str,
    index: usize,
}

impl Item<'_> {
    fn unless(&mut self, holds: bool, key: &str, text: impl Into<String>) {
        self.problems.item(holds, (self.list, self.index), key, text);
    }

    /// A name is needed, and is one name's only: what vouches for somebody is told by it.
    fn name<'n>(&mut self, name: &'n str, names: &mut HashSet<&'n str>) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fine = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        let text = "takes 1 to 64 letters, digits, '.', '_' and '-'";
        self.unless(fine, "name", format!("{name:?} is no name: one {text}"));
        let text = format!("{name:?} is there twice in [[auth.tokens]] and [[auth.keys]]");
        self.unless(names.insert(name), "name", text);
    }
}

fn token_source(source: &TokenSource, item: &mut Item<'_>) {
    let secret = source.secret.is_some() || source.secret_file.is_some();
    let given = [
        source.secret.is_some(),
        source.secret_file.is_some(),
        source.pem.is_some(),
        source.jwks.is_some(),
    ];
    let given = given.into_iter().filter(|given| *given).count();
    let text = "needs one of secret, secret_file, pem and jwks, and no more than one";
    item.unless(given == 1, "", text);
    let algorithms = &source.algorithms;
    item.unless(!algorithms.is_empty(), "algorithms", "say which: [\"RS256\"], for example");
    for algorithm in algorithms {
        let fits = algorithm.secret_bytes().is_some() == secret;
        let text = if secret {
            "takes a public key (pem, jwks), and a secret is none"
        } else {
            "takes a secret, and a public key is none: whoever knows it could make tokens"
        };
        item.unless(fits || given != 1, "algorithms", format!("{algorithm:?} {text}"));
    }
    if let Some(secret) = &source.secret {
        let least = algorithms.iter().copied().filter_map(Algorithm::secret_bytes).max();
        let least = least.unwrap_or_default();
        let text = format!("needs {least} bytes or more: shorter ones can be found by trying");
        item.unless(secret.expose().len() >= least, "secret", text);
    }
    if let Some(jwks) = &source.jwks {
        let address = ["http://", "https://"].iter().find_map(|start| jwks.strip_prefix(start));
        let fine = match address {
            Some(rest) => !rest.starts_with(['/', '?', '#']) && !rest.is_empty(),
            None => !jwks.contains("://"),
        };
        // It may hold a password.
        let text = "is neither an address (http or https) nor a file";
        item.unless(fine && !jwks.is_empty(), "jwks", text);
    }
    let range = HumanDuration::secs(1)..=HumanDuration::secs(24 * 3_600);
    let text = format!("{} is not between 1s and 24h", source.refresh);
    item.unless(range.contains(&source.refresh), "refresh", text);
}
