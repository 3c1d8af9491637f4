//! Marks for requests to which the client's credentials must not be added.

/// A mark in the extensions of a request: neither the client's credentials nor its secret default headers are added. Used for
/// requests to other parties, such as requests for keys and tokens. Exhaustive on purpose: it is a mark without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutCredentials;

/// A mark in the extensions of a request after a redirect to another origin: no secrets are added to it or to later hops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftOrigin;
