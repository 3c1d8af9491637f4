//! Tests beyond the conformance suite: the builder, the model, the `tower` layer and exported metrics.

mod circuit_breaker;
mod exporter;
mod model;
mod tower;
