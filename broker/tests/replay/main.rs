//! The join of past and live messages: whoever subscribes from a position on gets all that came
//! after it, once and in order, or is told what is missing.

#[path = "../common/mod.rs"]
mod common;
mod life;
mod live;
mod random;
mod restart;
mod rig;
mod rules;
