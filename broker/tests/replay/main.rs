//! The join of past and live messages: whoever subscribes from a position on gets all that came
//! after it, once and in order, or is told what is missing.

mod live;
mod restart;
mod rig;
mod rules;
