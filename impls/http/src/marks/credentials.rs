//! Marks of requests that must not get the client's credentials.

/// In the extensions of a request: neither the client's credentials nor its secret default headers are added. For requests of the
/// client to other parties, such as for keys and tokens. Exhaustive on purpose: it is a mark without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutCredentials;

/// In the extensions of a request after a redirect to another origin: no secrets are added to it or to later hops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftOrigin;
