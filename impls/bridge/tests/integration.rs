//! What the contract does not say: the engine, the HTTP endpoints, what it leaves behind. And the proof that each case of the
//! suite can fail.

mod engine;
mod http_listener;
mod http_sink;
mod leaks;
mod saboteur;
mod saboteurs;
