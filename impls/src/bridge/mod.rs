//! Communication bridge.
mod expression;
