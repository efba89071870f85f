//! The lean path against the HTTP library: two brokers, one with `http.lean`, get the same bytes over real
//! sockets, and must answer the same and have done the same (checklist R8, R36, R37).
//!
//! What differs on purpose, and is left out of the comparison or shown by a test of its own:
//!
//! * A held connect is answered as soon as other bytes follow it (R8a); by the library these wait
//!   until its time is over.
//! * Who sends a body along with `Expect: 100-continue` is not told to go on: the body is there.
//! * Who closes his side while a connect is held is gone. Requests behind it are heard by both, and
//!   answered by neither path before an answer to the connect: by the lean path not at all.
//! * The lean path always says so (`Connection: close`) if it closes behind an answer.
//! * Chunks are read more strictly: the library takes a bare LF in trailers, and reads on to the next
//!   CRLF CRLF, wherever that is. A line that tells a length has 256 bytes at most.

#[path = "lean/cases.rs"]
mod cases;
#[path = "lean/cuts.rs"]
mod cuts;
#[path = "lean/life.rs"]
mod life;
#[path = "lean/mutants.rs"]
mod mutants;
#[path = "lean/pair.rs"]
mod pair;
#[path = "lean/texts.rs"]
mod texts;
