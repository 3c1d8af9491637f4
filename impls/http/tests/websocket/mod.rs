//! Callbacks and reconnecting connections, under a paused clock and without a network.

mod fake;
mod listener;
mod reconnect;
