//! What the transports over a network have in common: configuration, name resolution, trust, and where they may go.

pub(super) mod basic;
pub(super) mod config;
pub(super) mod dns;
pub(super) mod finding;
pub(super) mod guard;
pub(super) mod length;
pub(super) mod tls;
pub(super) mod variants;
