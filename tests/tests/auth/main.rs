//! Who is let in, what they may do, and how that ends (checklist K1, K2, R34, L15; promise P7).

mod expiry;
mod explain;
mod random;
mod reload;
mod rules;
mod sessions;

use weft_tests::broker::Broker;
use weft_tests::token::auth;

/// Sessions that nobody keeps end soon.
const SHORT_LIVES: &str = "[sessions]\nmax_interval = \"1s\"\n";

/// What most tests allow.
const RULES: &str = "
[[auth.rules]]
channels = \"/secret/**\"
effect = \"deny\"
[[auth.rules]]
channels = [\"/news/*\", \"/user/{sub}/**\"]
[[auth.rules]]
channels = \"/live/*\"
actions = \"subscribe\"
[[auth.rules]]
channels = \"/**\"
roles = \"admin\"
";

/// A broker that asks for tokens, with these rules.
fn broker() -> Broker {
    Broker::with(&format!("{}{RULES}{SHORT_LIVES}", auth("")))
}
