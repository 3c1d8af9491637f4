//! The keys of records. They are hashes, so that a store sees neither URLs nor credentials.

use http::{HeaderMap, HeaderName, header};
use networking_spi::redact;
use sha2::{Digest, Sha256};
use url::Url;

use super::record::Index;

/// The key of a URL's index.
pub(super) fn url_key(partition: &str, url: &Url) -> String {
    let url = url.as_str();
    let without_fragment = url.split('#').next().unwrap_or(url);
    let mut hash = Sha256::new();
    add(&mut hash, partition.as_bytes());
    add(&mut hash, without_fragment.as_bytes());
    hex::encode(hash.finalize())
}

/// The key of the response that a request with these headers selects.
pub(super) fn response_key(url_key: &str, index: &Index, headers: &HeaderMap) -> String {
    let mut hash = Sha256::new();
    add(&mut hash, url_key.as_bytes());
    hash.update(index.generation.to_be_bytes());
    for name in &index.vary {
        add_field(&mut hash, name, headers);
    }
    // Regardless of `Vary`, a response to a request with credentials is used only for requests with the same credentials.
    let mut secrets: Vec<&HeaderName> = headers
        .iter()
        .filter(|(name, value)| value.is_sensitive() || redact::is_secret_header(name))
        .map(|(name, _)| name)
        .collect();
    secrets.sort_by_key(|name| name.as_str());
    secrets.dedup();
    for name in secrets {
        add_field(&mut hash, name, headers);
    }
    hex::encode(hash.finalize())
}

/// The names in `Vary`, sorted; `None` if it contains `*` or an invalid name.
pub(super) fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(header::VARY) {
        for name in value
            .to_str()
            .ok()?
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            // `HeaderName` accepts `*`.
            if name == "*" {
                return None;
            }
            names.push(HeaderName::from_bytes(name.as_bytes()).ok()?);
        }
    }
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    Some(names)
}

/// Adds a header's values without white space around list members. An absent header differs from an empty one.
fn add_field(hash: &mut Sha256, name: &HeaderName, headers: &HeaderMap) {
    add(hash, name.as_str().as_bytes());
    for value in headers.get_all(name) {
        hash.update([1]);
        for part in value.as_bytes().split(|byte| *byte == b',') {
            add(hash, part.trim_ascii());
        }
    }
    hash.update([0]);
}

fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}
