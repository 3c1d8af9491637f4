//! Callbacks and reconnecting connections under a paused clock and without a network; handshakes and compression against peers
//! that write bytes by hand.

mod compression;
mod fake;
mod listener;
mod reading;
mod reconnect;
mod stack;
