//! What the broker is known to get wrong: each with its regression test in [`found`](super::found).
//! Whoever mends one takes its test out of `ignore` and its line out of here.

use super::wire::Reply;

/// A connect that was let go, but is not answered yet when a newer one comes, takes events all the
/// same. Here that is seen where another tab of the browser holds.
pub fn takes_what_is_not_its_own(reply: &Reply) -> bool {
    reply.demoted
}
