//! HTTP clients and layers.
