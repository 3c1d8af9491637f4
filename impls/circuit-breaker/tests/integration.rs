//! What the contract does not say: the builder, the model, the `tower` layer, exported metrics.

mod circuit_breaker;
mod exporter;
mod model;
mod tower;
