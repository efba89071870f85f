//! What attackers do to a broker, and what the honest clients beside them notice of it: nothing they
//! could measure. SECURITY.md lists each attack with its test.
//!
//! Attackers and bystanders come from addresses of their own. Attacks are paced: one that only takes
//! the processor away from everybody, the tests included, shows nothing. `WEFT_LONG=1` runs the long
//! forms.

#[path = "attacks/content.rs"]
mod content;
#[path = "attacks/crowds.rs"]
mod crowds;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/foreign.rs"]
mod foreign;
#[path = "attacks/http2.rs"]
mod http2;
#[path = "attacks/identity.rs"]
mod identity;
#[path = "attacks/injection.rs"]
mod injection;
#[path = "attacks/slow.rs"]
mod slow;
#[path = "attacks/smuggling.rs"]
mod smuggling;
#[path = "attacks/sockets.rs"]
mod sockets;
#[path = "attacks/tokens.rs"]
mod tokens;
