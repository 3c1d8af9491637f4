//! Communication bridge.
