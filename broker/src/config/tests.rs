//! What operators see: the example, the order of the layers, and where errors point.

use std::{env, fs, net::SocketAddr, path::PathBuf, process, sync::atomic};

use clap::Parser;
use toml::{Table, Value};

use super::*;

const EXAMPLE: &str = include_str!("../../../weft.example.toml");

/// A file of its own for each test, removed at its end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        static NEXT: atomic::AtomicU32 = atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, atomic::Ordering::Relaxed);
        let path = env::temp_dir().join(format!("weft-config-{}-{number}.toml", process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn args(words: &[&str]) -> Args {
    Args::try_parse_from(["weft"].iter().chain(words)).unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    pairs.into_iter()
}

fn load_env(pairs: &[(&str, &str)]) -> Result<Loaded, String> {
    load(&args(&[]), variables(pairs)).map_err(|error| error.to_string())
}

/// Loads a file; errors have the file's name replaced by `F`.
fn load_text(text: &str) -> Result<Config, String> {
    let file = TempFile::new(text);
    let args = Args { config: Some(file.0.clone()), ..Args::default() };
    match load(&args, variables(&[])) {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => Err(error.to_string().replace(&file.0.display().to_string(), "F")),
    }
}

fn refused(text: &str) -> String {
    load_text(text).unwrap_err()
}

fn leaves(table: &Table, path: &str) -> Vec<String> {
    let visit = |(name, value): (&String, &Value)| match value {
        Value::Table(section) => leaves(section, &format!("{path}{name}.")),
        _ => vec![format!("{path}{name}")],
    };
    table.iter().flat_map(visit).collect()
}

#[test]
fn the_example_says_the_defaults() {
    assert_eq!(load_text(EXAMPLE), Ok(Config::default()));
}

#[test]
fn the_example_has_every_key_with_a_comment() {
    let mut known = leaves(&Table::try_from(Config::default()).unwrap(), "");
    // Lists of tables have an example in a comment: `the_example_of_a_rule_says_its_defaults` and
    // `the_examples_of_sources_and_keys_say_every_key`.
    known.retain(|key| {
        !["channels", "auth.tokens", "auth.keys", "auth.rules"].contains(&key.as_str())
    });
    assert_eq!(leaves(&EXAMPLE.parse().unwrap(), ""), known);
    assert!(known.len() > 30, "{known:?}");
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ")) {
        assert!(pair[0].starts_with('#') || pair[1].starts_with('#'), "{}", pair[1]);
    }
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = load_env(&[]).unwrap();
    assert_eq!(loaded, Loaded { config: Config::default(), file: None, warnings: Vec::new() });
}

#[test]
fn the_defaults_survive_being_written_and_read() {
    let text = toml::to_string(&Config::default()).unwrap();
    assert_eq!(load_text(&text), Ok(Config::default()));
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file = TempFile::new(
        "listen = '127.0.0.1:1'\nadmin = '127.0.0.1:2'\ndata = 'file'\n[sessions]\nmax = 3\n",
    );
    let env = [
        ("WEFT_CONFIG", file.0.to_str().unwrap()),
        ("WEFT_LISTEN", "127.0.0.1:11"),
        ("WEFT_ADMIN", "127.0.0.1:12"),
        ("PATH", "ignored"),
    ];
    let loaded = load(&args(&["--listen", "127.0.0.1:21"]), variables(&env)).unwrap();
    assert_eq!(loaded.config.listen, "127.0.0.1:21".parse::<SocketAddr>().unwrap());
    assert_eq!(loaded.config.admin, "127.0.0.1:12".parse::<SocketAddr>().unwrap());
    assert_eq!(loaded.config.data, PathBuf::from("file"));
    assert_eq!(loaded.config.sessions.max, 3);
    assert_eq!(loaded.file, Some(file.0.clone()));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn flags_stand_before_or_after_serve_or_without_it() {
    for words in [
        vec!["--listen", "127.0.0.1:1", "--data", "d"],
        vec!["serve", "--listen", "127.0.0.1:1", "--data", "d"],
        vec!["--listen", "127.0.0.1:1", "serve", "--data=d"],
    ] {
        let args = args(&words);
        assert_eq!(args.listen, Some("127.0.0.1:1".parse().unwrap()), "{words:?}");
        assert_eq!(args.data, Some(PathBuf::from("d")), "{words:?}");
    }
    assert!(Args::try_parse_from(["weft", "--listen", "here"]).is_err());
    assert!(Args::try_parse_from(["weft", "dance"]).is_err());
    let version = Args::try_parse_from(["weft", "--version"]).unwrap_err();
    assert_eq!(version.kind(), clap::error::ErrorKind::DisplayVersion);
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let known = Table::try_from(Config::default()).unwrap();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let keys = leaves(&known, "");
    let pairs: Vec<_> = keys
        .iter()
        .map(|key| {
            let value = key.split('.').fold(None, |table: Option<&Value>, name| {
                table.map_or_else(|| known.get(name), |table| table.get(name))
            });
            (format!("WEFT_{}", key.replace('.', "_").to_uppercase()), text(value.unwrap()))
        })
        .collect();
    let loaded = load(&args(&[]), pairs.into_iter()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn variables_hold_toml_or_plain_text_and_lists_also_commas() {
    let config = load_env(&[
        ("WEFT_ORIGINS", "https://a.example, https://b.example"),
        ("WEFT_BAYEUX_MOUNTS", r#"["/x"]"#),
        ("WEFT_BAYEUX_CALLBACK_POLLING", "false"),
        ("WEFT_SESSIONS_MAX_INTERVAL", r#""5s""#),
        ("WEFT_LIMITS_BODY", "65536"),
        ("WEFT_LIMITS_DEPTH", "8"),
        ("WEFT_DATA", "2026"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.origins.len(), 2);
    assert_eq!(
        config.bayeux,
        Bayeux { mounts: vec!["/x".to_owned()], callback_polling: false, ..Bayeux::default() }
    );
    assert_eq!(config.sessions.max_interval, HumanDuration::secs(5));
    assert_eq!((config.limits.body, config.limits.depth), (ByteSize::kib(64), 8));
    assert_eq!(config.data, PathBuf::from("2026"));
    assert_eq!(load_env(&[("WEFT_ORIGINS", "")]).unwrap().config.origins, []);
}

#[test]
fn a_bad_variable_is_named() {
    let error = load_env(&[("WEFT_SESSIONS_TIMEOUT", "30")]).unwrap_err();
    assert!(error.starts_with("WEFT_SESSIONS_TIMEOUT: sessions.timeout: \"30\" is not"), "{error}");
    let error = load_env(&[("WEFT_SESSIONS_TIMEOUT", "3m")]).unwrap_err();
    let expected = "WEFT_SESSIONS_TIMEOUT: sessions.timeout: 3m is not between 100ms and 2m";
    assert_eq!(error, expected);
    let error = load_env(&[("WEFT_LIMITS_DEPTH", "deep")]).unwrap_err();
    assert!(error.starts_with("WEFT_LIMITS_DEPTH: limits.depth: invalid type: string"), "{error}");
}

#[test]
fn an_unknown_variable_is_a_warning_without_its_value() {
    let loaded = load_env(&[
        ("WEFT_SERVICE_HOST", "10.0.0.1"),
        ("WEFT_SESSION_TIMEOUT", "secret"),
        ("OTHER", "x"),
    ])
    .unwrap();
    let expected = [
        "WEFT_SERVICE_HOST is not a setting of weft and was ignored",
        "WEFT_SESSION_TIMEOUT is not a setting of weft and was ignored; did you mean \
         `WEFT_SESSIONS_TIMEOUT`?",
    ];
    assert_eq!(loaded.warnings, expected);
}

#[test]
fn errors_in_the_file_name_line_column_and_key() {
    for (text, start) in [
        ("a = 1\nlisten 2\n", "F:2:8: key with no value, expected `=`"),
        ("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:2'", "F:2:1: duplicate key"),
        (
            "\n[sessions]\n  timeout = 30\n",
            "F:3:13: sessions.timeout: 30 has no unit: write \"30s\"",
        ),
        (
            "[sessions]\ntimeout = \"30\"\n",
            "F:2:11: sessions.timeout: \"30\" is not a length of time",
        ),
        ("limits.body = -1", "F:1:15: limits.body: a number of bytes cannot be negative"),
        ("[limits]\nbody = \"1MB\"", "F:2:8: limits.body: \"1MB\" is not a number of bytes"),
        ("[limits]\ndepth = true", "F:2:9: limits.depth: invalid type: boolean `true`"),
        ("listen = 'localhost:8080'", "F:1:10: listen: \"localhost:8080\" is not an address"),
        ("origins = ['https://a', 'é', 'b']", "F:1:11: origins: \"é\" is not an origin"),
        ("[log]\nformat = 'xml'", "F:2:10: log.format: unknown variant `xml`, expected"),
        ("[auth]\nmode = 'token'", "F:2:8: auth.mode: \"token\" lets nobody in without"),
        ("limits = 5", "F:1:10: limits: invalid type: integer `5`"),
        ("'é' = 1 # ü\n[x]\ny = 1", "F:2:2: x: unknown key\nF:1:1: é: unknown key"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(start), "{error}\n  instead of\n{start}");
    }
}

#[test]
fn unknown_keys_are_all_named_with_what_may_have_been_meant() {
    let text = "lisen = 'x'\n[sessions]\nmax_intervall = 5\n[session]\nmax = 1\n[limits]\nfoo = 1";
    let expected = [
        "F:1:1: lisen: unknown key; did you mean `listen`?",
        "F:3:1: sessions.max_intervall: unknown key; did you mean `max_interval`?",
        "F:4:2: session: unknown key; did you mean `sessions`?",
        "F:7:1: limits.foo: unknown key",
    ];
    let mut lines: Vec<_> = refused(text).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, expected);
}

#[test]
fn values_out_of_range_name_their_line() {
    for (text, start) in [
        ("[sessions]\ntimeout = '121s'", "F:2:11: sessions.timeout: 121s is not between"),
        ("[sessions]\ntimeout = '99ms'", "F:2:11: sessions.timeout: 99ms is not between"),
        ("[sessions]\nmax = 0", "F:2:7: sessions.max: must be at least 1"),
        ("[browsers]\nheld_per_browser = 0", "F:2:20: browsers.held_per_browser: must be"),
        ("[browsers]\ninterval = '50ms'", "F:2:12: browsers.interval: 50ms is not"),
        ("[browsers]\ncookie = 'a b'", "F:2:10: browsers.cookie: \"a b\" is not a cookie's name"),
        ("[browsers]\nsecure = 'yes'", "F:2:10: browsers.secure: unknown variant `yes`"),
        ("[browsers]\nsecure = 1", "F:2:10: browsers.secure: invalid type: integer `1`"),
        ("[bayeux]\nmounts = []", "F:2:10: bayeux.mounts: at least one path"),
        ("[bayeux]\nmounts = ['/a/']", "F:2:10: bayeux.mounts: \"/a/\" is not a path"),
        ("[bayeux]\nmounts = ['a']", "F:2:10: bayeux.mounts: \"a\" is not a path"),
        ("[bayeux]\nmounts = ['/']", "F:2:10: bayeux.mounts: \"/\" is not a path"),
        ("[bayeux]\nmounts = ['/a', '/a']", "F:2:10: bayeux.mounts: \"/a\" is there twice"),
        ("[bayeux]\nmounts = ['/publish']", "F:2:10: bayeux.mounts: \"/publish\" is taken"),
        ("[limits]\ndepth = 128", "F:2:9: limits.depth: 128 is not between 1 and 127"),
        ("[http]\nhead_timeout = '0s'", "F:2:16: http.head_timeout: 0s is not between"),
        ("[hook]\nurl = 'ftp://a'", "F:2:7: hook.url: not an http:// or https:// URL"),
        ("[hook]\ntimeout = '31s'", "F:2:11: hook.timeout: 31s is not between"),
        ("[hook]\nevents = ['connect']", "F:2:11: hook.events: unknown variant `connect`"),
        ("[hook]\nservices = 1", "F:2:12: hook.services: invalid type: integer `1`"),
        ("[hook]\nservices = ['/a/**']", "F:2:12: hook.services: \"/a/**\" is not a channel or"),
        ("[hook]\non_error = 'retry'", "F:2:12: hook.on_error: unknown variant `retry`"),
        ("[hook]\nconcurrent = 0", "F:2:14: hook.concurrent: 0 is not between"),
        ("[hook]\nurl = 'http://a'\ntimeout = '21s'", "F:3:11: hook.timeout: hook.timeout (21s)"),
        (
            "[hook]\nurl = 'http://a'\nbody_max = '5MiB'",
            "F:3:12: hook.body_max: hook.body_max (5MiB)",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with(start), "{error}\n  instead of\n{start}");
    }
}

#[test]
fn values_that_do_not_fit_each_other_name_the_one_that_was_set() {
    let body = "F:2:8: limits.body: limits.queue_bytes (4MiB) is less than limits.body (8MiB): what is accepted";
    assert!(refused("[limits]\nbody = '8MiB'").starts_with(body));
    let queue =
        "F:2:15: limits.queue_bytes: limits.queue_bytes (1KiB) is less than limits.body (1MiB)";
    assert!(refused("[limits]\nqueue_bytes = '1KiB'").starts_with(queue));
    let idle = "F:2:12: sessions.interval: http.idle_timeout (75s) is not more than";
    assert!(refused("[sessions]\ninterval = '80s'").starts_with(idle));
    let twice = "F:1:9: admin: 127.0.0.1:8080 is also the address";
    assert!(refused("admin = '127.0.0.1:8080'").starts_with(twice));
    assert!(load_text("listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'").is_ok());
}

#[test]
fn a_cookie_that_browsers_would_drop_is_refused() {
    for (cookie, start) in [
        ("cookie = '__Host-a'", "F:2:10: browsers.cookie: browsers refuse"),
        ("cookie = '__secure-a'", "F:2:10: browsers.cookie: browsers refuse"),
        ("same_site = 'None'", "F:2:13: browsers.same_site: browsers refuse"),
        ("partitioned = true", "F:2:15: browsers.partitioned: browsers refuse"),
    ] {
        let error = refused(&format!("[browsers]\n{cookie}\nsecure = false"));
        assert!(error.starts_with(start), "{error}");
        for secure in ["'auto'", "true"] {
            let text = format!("[browsers]\n{cookie}\nsecure = {secure}");
            assert_eq!(load_text(&text).is_ok(), !cookie.starts_with("partitioned"), "{text}");
        }
    }
    let framed = "F:2:15: browsers.partitioned: a partitioned cookie is for frames";
    assert!(refused("[browsers]\npartitioned = true").starts_with(framed));
    assert!(load_text("[browsers]\npartitioned = true\nsame_site = 'None'").is_ok());
    for (text, secure) in [
        ("auto", CookieSecure::Auto),
        ("true", CookieSecure::Always),
        ("false", CookieSecure::Never),
    ] {
        let loaded = load_env(&[("WEFT_BROWSERS_SECURE", text)]).unwrap();
        assert_eq!(loaded.config.browsers.secure, secure, "{text}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let error = refused("[sessions]\nmax = 0\n[limits]\ndepth = 0");
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[test]
fn an_address_others_can_reach_needs_a_decision_about_auth() {
    let error = load(&args(&["--listen", "0.0.0.0:8080"]), variables(&[])).unwrap_err().to_string();
    assert!(error.starts_with("--listen: 0.0.0.0:8080 can be reached"), "{error}");
    assert!(error.contains("auth.mode = \"open\"") && error.contains("WEFT_AUTH_MODE=open"));
    let error = load_env(&[("WEFT_LISTEN", "[::]:8080")]).unwrap_err();
    assert!(error.starts_with("WEFT_LISTEN: listen: [::]:8080 can be reached"), "{error}");
    for loopback in ["127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(load_env(&[("WEFT_LISTEN", loopback)]).is_ok(), "{loopback}");
    }
    let open = [("WEFT_AUTH_MODE", "open"), ("WEFT_LISTEN", "0.0.0.0:8080")];
    assert_eq!(load_env(&open).unwrap().config.auth.mode, AuthMode::Open);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = load_env(&[("WEFT_CONFIG", "/no/such/weft.toml")]).unwrap_err();
    assert!(error.starts_with("/no/such/weft.toml: cannot be read: "), "{error}");
    assert_eq!(load_env(&[("WEFT_CONFIG", "")]).unwrap().file, None);
}

#[test]
fn the_example_of_a_rule_says_its_defaults() {
    let from = EXAMPLE.find("# [[channels]]").unwrap();
    let rule: String = EXAMPLE[from..]
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let pattern = "/orders/**".to_owned();
    let config = load_text(&rule).unwrap();
    assert_eq!(config.channels, [Channel { pattern, ..Channel::default() }]);
    for key in leaves(&Table::try_from(Channel::default()).unwrap(), "") {
        let last = key.rsplit('.').next().unwrap();
        assert!(rule.contains(&format!("{last} = ")), "{key}");
    }
}

#[test]
fn the_example_of_a_policy_says_every_key() {
    let from = EXAMPLE.find("# [[auth.rules]]").unwrap();
    let lines = EXAMPLE[from..].lines().take_while(|line| line.starts_with("# "));
    let rule: String = lines.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let secret = "x".repeat(32);
    let mode = format!(
        "[auth]\nmode = 'token'\n[[auth.tokens]]\nname = 'a'\nalgorithms = ['HS256']\nsecret = '{secret}'\n"
    );
    let config = load_text(&format!("{mode}{rule}")).unwrap();
    assert_eq!(config.auth.rules.len(), 1);
    for key in Table::try_from(AuthRule::default()).unwrap().keys() {
        assert!(rule.contains(&format!("{key} = ")), "{key}");
    }
    // One text is a list of one.
    let one = load_text(&format!("{mode}[[auth.rules]]\nchannels = '/a'\nactions = 'publish'\n"));
    let rule = &one.unwrap().auth.rules[0];
    assert_eq!(
        (&*rule.channels, &*rule.actions),
        (&["/a".to_owned()][..], &[RuleAction::Publish][..])
    );
}

#[test]
fn mistakes_in_a_policy_are_found() {
    let secret = "x".repeat(32);
    let mode = format!(
        "[auth]\nmode = 'token'\n[[auth.tokens]]\nname = 'a'\nalgorithms = ['HS256']\nsecret = '{secret}'\n[[auth.rules]]\n"
    );
    for (rule, error) in [
        ("channels = 'a'", "F:8:12: auth.rules[0].channels: \"a\" is no channel such as"),
        (
            "channels = ['/a', '/b/**/c']",
            "F:8:12: auth.rules[0].channels: \"/b/**/c\" is no channel",
        ),
        ("channels = '/x/{a'", "\"/x/{a\" is no channel"),
        ("channels = '/meta/**'", "\"/meta/**\" is not a channel that rules decide on"),
        ("channels = '/service/a'", "is not a channel that rules decide on"),
        ("roles = 'x'", "F:7:1: auth.rules[0]: names no channel"),
        ("channels = '/a'\nactions = []", "F:9:11: auth.rules[0].actions: names nothing"),
        ("channels = '/a'\nactions = 'read'", "F:9:11: auth.rules[0].actions: unknown variant"),
        (
            "channels = '/a'\nkeys = 'b'",
            "F:9:8: auth.rules[0].keys: \"b\" is the name of no API key",
        ),
        ("channels = '/a'\neffect = 'maybe'", "auth.rules[0].effect: unknown variant"),
        ("channels = '/a'\nrole = 'x'", "F:9:1: auth.rules[0].role: unknown key; did you mean"),
        ("channels = '/a'\nclaims = { a = 1.5 }", "auth.rules[0].claims"),
    ] {
        let found = load_text(&format!("{mode}{rule}\n")).unwrap_err();
        assert!(found.contains(error), "{found}\n  instead of\n{error}");
    }
    let open = load_text("[[auth.rules]]\nchannels = '/a'\n").unwrap_err();
    assert!(open.contains("set auth.mode = \"token\""), "{open}");
}

#[test]
fn the_examples_of_sources_and_keys_say_every_key() {
    let from = EXAMPLE.find("# [[auth.tokens]]").unwrap();
    let end = EXAMPLE[from..].find("# Who may do what where").unwrap();
    let example = &EXAMPLE[from..from + end];
    let full =
        [Table::try_from(TokenSource::full()).unwrap(), Table::try_from(ApiKey::full()).unwrap()];
    for key in full.iter().flat_map(Table::keys) {
        assert!(example.contains(&format!("# {key} = ")), "{key}");
    }
    // Of the places of keys one is enough.
    let others = ["pem = ", "secret = ", "secret_file = "];
    let lines = example.lines().map(|line| line.trim_start_matches("# "));
    let lines = lines.filter(|line| line.starts_with('[') || line.contains(" = "));
    let lines: Vec<&str> =
        lines.filter(|line| !others.iter().any(|other| line.starts_with(other))).collect();
    let auth = load_text(&format!("[auth]\nmode = 'token'\n{}", lines.join("\n"))).unwrap().auth;
    assert_eq!((auth.tokens.len(), auth.keys.len()), (1, 1));
    assert_eq!(auth.tokens[0].refresh, TokenSource::default().refresh);
    assert!(auth.tokens[0].require_exp && auth.keys[0].expires.is_some());
}

#[test]
fn secrets_and_keys_are_not_shown() {
    let secret = "0123456789abcdef0123456789abcdef";
    let text = format!(
        "[auth]\nmode = 'token'\n[[auth.tokens]]\nname = 'a'\nalgorithms = ['HS256']\nsecret = '{secret}'\n"
    );
    let config = load_text(&text).unwrap();
    assert_eq!(config.auth.tokens[0].secret.as_ref().unwrap().expose(), secret);
    assert!(!format!("{config:?}").contains(secret));
    let variable = format!("[{{ name = 'a', algorithms = ['HS256'], secret = '{secret}' }}]");
    let env = [("WEFT_AUTH_MODE", "token"), ("WEFT_AUTH_TOKENS", &variable)];
    assert_eq!(load_env(&env).unwrap().config.auth, config.auth);
}

#[test]
fn rules_that_can_never_match_are_mistakes() {
    for (first, second, fine) in [
        ("/a/**", "/a/b", false),
        ("/a/**", "/a/*", false),
        ("/a/*", "/a/b", false),
        ("/a/b", "/a/b", false),
        ("/**", "/x/**", false),
        ("/a/*", "/a/**", true),
        ("/a/b", "/a/*", true),
        ("/a/**", "/a", true),
        ("/a/*", "/a/b/c", true),
        ("/ab/**", "/a/**", true),
    ] {
        let text =
            format!("[[channels]]\npattern = '{first}'\n[[channels]]\npattern = '{second}'\n");
        let outcome = load_text(&text);
        assert_eq!(outcome.is_ok(), fine, "{first} {second} {outcome:?}");
    }
}

#[test]
fn rules_come_from_the_environment_too() {
    let loaded = load_env(&[("WEFT_CHANNELS", "[{pattern='/a',durability='sync'}]")]).unwrap();
    assert_eq!(loaded.config.channels[0].durability, Durability::Sync);
}
