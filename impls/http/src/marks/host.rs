//! How errors name the peer.

use url::{Position, Url};

/// Host and port as they stand in the URL, without user information: fit to be shown.
pub(crate) fn of(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}
