//! Behaviour beyond the contract: the engine, conditions, the endpoints, secrets. Also tests that each case of the suite
//! can fail.

mod conditions;
mod engine;
mod http_listener;
mod http_sink;
mod leaks;
mod memory;
mod saboteur;
mod saboteurs;
