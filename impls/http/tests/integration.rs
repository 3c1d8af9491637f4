//! What the contract does not say: order, timing, configuration, errors of the transports, files, caches, recordings. And the
//! proof that each case of the suites can fail.

mod bodies;
mod cache;
mod client;
mod errors;
mod http_harness;
mod http_saboteurs;
mod raw;
mod recording;
mod rooms;
mod websocket;
mod websocket_harness;
mod websocket_saboteurs;
