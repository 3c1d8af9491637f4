//! Tests beyond the conformance suite: the builder, the model, the `tower` layer, exported metrics and logs.

mod circuit_breaker;
mod exporter;
mod logs;
mod model;
mod tower;
