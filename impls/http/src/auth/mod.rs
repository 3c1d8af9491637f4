//! Credentials on requests, how they are obtained, and the verification of tokens.

mod credentials;
#[cfg(feature = "digest-auth")]
mod digest;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(feature = "oauth2")]
pub mod oauth2;
#[cfg(feature = "jwt")]
mod signed_token;

pub use credentials::{AuthClient, Credentials};
