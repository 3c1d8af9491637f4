//! What several rooms need to know about requests: marks in their extensions, origins, and how errors show the peer.

mod attempts;
mod credentials;
pub(crate) mod host;
mod origin;

pub use attempts::Attempts;
pub(crate) use attempts::ResendCount;
pub(crate) use credentials::LeftOrigin;
pub use credentials::WithoutCredentials;
pub(crate) use origin::{origin_name, same_origin};
