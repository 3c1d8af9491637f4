//! Callbacks and reconnecting connections, under a paused clock and without a network.
#![cfg(feature = "websocket")]

mod fake;
mod listener;
mod reconnect;
