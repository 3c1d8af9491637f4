//! The ends of bridges.

mod memory;

pub use memory::{MemorySink, MemorySource, SentMessage};
