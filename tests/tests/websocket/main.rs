//! What only sockets have: upgrades, close codes, pings, proof by pongs, sessions that move (checklist
//! X5, A2; decisions sections 3.17 and 4). What holds on every transport is in `transports`.

mod closing;
mod flow;
mod moves;
mod proof;
mod talker;
mod upgrades;
