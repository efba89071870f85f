//! The hook, asked by the real broker: who may come in, who may do what, and who is answered.

mod beside;
mod decisions;
mod identity;
mod order;
mod plain;
mod services;
mod trouble;
