//! Sliding-window circuit breaker.
