//! The name of the peer in errors.

use url::{Position, Url};

/// Host and port as in the URL, without user information.
pub(crate) fn of(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}
