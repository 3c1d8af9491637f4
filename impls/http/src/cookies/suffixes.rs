//! Public suffixes, under which anyone can register names.

use url::Host;

/// The registrable domain of a host, under which the jar keeps all its cookies; the host itself if it is a public suffix or an address.
pub(super) fn site_of(host: &str) -> &str {
    match Host::parse(host) {
        Ok(Host::Domain(_)) => registrable(host),
        _ => host,
    }
}

#[cfg(feature = "public-suffix")]
fn registrable(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// A domain that is not on the list is a suffix if it has one label.
#[cfg(feature = "public-suffix")]
pub(super) fn is_public(domain: &str) -> bool {
    psl::suffix_str(domain).is_some_and(|suffix| suffix == domain)
}

#[cfg(not(feature = "public-suffix"))]
fn registrable(host: &str) -> &str {
    let mut dots = host.trim_end_matches('.').rmatch_indices('.').map(|(index, _)| index);
    match (dots.next(), dots.next()) {
        (Some(_), Some(second)) => &host[second + 1..],
        _ => host,
    }
}

/// Without the list, every domain of one label is a public suffix, and no other.
#[cfg(not(feature = "public-suffix"))]
pub(super) fn is_public(domain: &str) -> bool {
    !domain.trim_end_matches('.').contains('.')
}
