//! Facts about requests that several modules need: marks in the extensions, origins, and the name of the peer in errors.

mod attempts;
mod credentials;
mod deadline;
mod handshake;
pub(crate) mod host;
mod origin;
#[cfg(any(feature = "digest-auth", feature = "websocket"))]
mod token;

pub use attempts::Attempts;
pub(crate) use attempts::{OpenCircuit, ResendCount, given_up};
pub(crate) use credentials::LeftOrigin;
pub use credentials::WithoutCredentials;
pub(crate) use deadline::{Deadline, LongBody, Patience};
pub(crate) use handshake::{Handshake, is_handshake, use_http_scheme};
pub(crate) use origin::{origin_name, same_origin};
#[cfg(any(feature = "digest-auth", feature = "websocket"))]
pub(crate) use token::is_token_byte;
