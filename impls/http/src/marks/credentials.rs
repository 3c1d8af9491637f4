//! Which requests are sent without the client's credentials.

/// In the extensions of a request: neither the client's credentials nor its secret default headers are added to it. For
/// requests to other parties that a client makes on its own account, such as for keys and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutCredentials;

/// In the extensions of a request that a redirect has led away from the origin of the call: no secrets are added any more,
/// wherever it goes from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftOrigin;
