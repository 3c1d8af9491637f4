//! WebSocket connections (RFC 6455).
//!
//! | To | use |
//! |---|---|
//! | open connections | [`WebSocketClient`]; [`HttpWebSocketClient`] makes one of every [`HttpExtended`](crate::http::HttpExtended) |
//! | send and receive | [`WebSocketConnection`] and [`WebSocketConnectionExt`], also as a stream of messages |
//! | test without a network | the mocks of these traits, with the feature `mock`; `networking-http` has a client in memory |
//! | be called for each message | [`WebSocketHandler`] and [`WebSocketCallbacks`] |

mod client;
mod close;
mod connection;
#[cfg_attr(
    any(test, feature = "mock"),
    allow(clippy::struct_field_names, reason = "the mock's fields are named after its methods")
)]
mod handler;
mod message;
mod options;
mod request;

pub use crate::http::ErrorResponse;
#[cfg(any(test, feature = "mock"))]
pub use client::MockWebSocketClient;
pub use client::{HttpWebSocketClient, WebSocketCapabilities, WebSocketClient};
pub use close::CloseFrame;
#[cfg(any(test, feature = "mock"))]
pub use connection::MockWebSocketConnection;
pub use connection::{WebSocketConnection, WebSocketConnectionExt};
#[cfg(any(test, feature = "mock"))]
pub use handler::MockWebSocketHandler;
pub use handler::{WebSocketCallbacks, WebSocketHandler};
pub use message::WebSocketMessage;
pub use options::{UnreadPolicy, WebSocketCompression, WebSocketOptions};
pub use request::WebSocketRequest;
