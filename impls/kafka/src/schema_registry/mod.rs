//! An in-memory schema registry.
//!
//! [`SchemaRegistry`] stores subjects with numbered versions and assigns schema ids. It follows the rules of Confluent Schema
//! Registry: equal schemas have the same id in all subjects, a new version must be compatible with its predecessors at the
//! compatibility level of the subject, and the id precedes the payload of each record ([`encode`], [`decode`]).
//!
//! # Compatibility
//!
//! * **Avro**: compatibility follows Avro's schema resolution. A change after which some data can no longer be read, such as
//!   an enum symbol removed without a default, is incompatible. Aliases are ignored.
//! * **JSON Schema** (cargo feature `json-schema`): every document that is valid for the writer's schema must be valid for the
//!   reader's. Properties that neither schema declares are ignored. If compatibility cannot be decided, the schemas are
//!   incompatible, and the report says why.
//! * **Protocol Buffers**: a field keeps its number and its encoding; messages cannot be removed; required fields can be added
//!   and removed only together with their message; independent fields cannot be moved into a `oneof`.

mod limits;
mod parsed;
mod registry;
mod state;
mod wire;

pub use limits::SchemaRegistryLimits;
pub use registry::SchemaRegistry;
pub use wire::{Framed, decode, encode};
