//! Negotiation of permessage-deflate (RFC 7692, section 7.1).

use networking_spi::Result;
use networking_spi::http::{HeaderMap, HeaderValue, header};
use networking_spi::websocket::WebSocketCompression;

use super::handshake::violation;

/// Whether this build can compress messages.
pub(super) const IS_BUILT: bool = cfg!(feature = "websocket-compression");

const NAME: &str = "permessage-deflate";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    /// Whether the window of this side starts empty for each message.
    pub(super) resets_compressor: bool,
    /// Whether the window of the peer does.
    pub(super) resets_decompressor: bool,
    /// The largest window of this side. `None`: it must be smaller than the compressor can make it, so that messages are sent
    /// without compression.
    pub(super) window_bits: Option<u8>,
    /// Messages with fewer bytes are sent without compression.
    pub(super) min_size: usize,
}

/// The value of `Sec-WebSocket-Extensions`.
pub(super) fn offer(compression: &WebSocketCompression) -> HeaderValue {
    let mut offer = vec![NAME.to_owned()];
    offer.push(match compression.client_max_window_bits {
        15 => CLIENT_MAX_WINDOW_BITS.to_owned(),
        bits => format!("{CLIENT_MAX_WINDOW_BITS}={bits}"),
    });
    if compression.server_max_window_bits < 15 {
        offer.push(format!(
            "{SERVER_MAX_WINDOW_BITS}={}",
            compression.server_max_window_bits
        ));
    }
    for (wanted, parameter) in [
        (compression.client_no_context_takeover, CLIENT_NO_CONTEXT_TAKEOVER),
        (compression.server_no_context_takeover, SERVER_NO_CONTEXT_TAKEOVER),
    ] {
        if wanted {
            offer.push(parameter.to_owned());
        }
    }
    HeaderValue::from_str(&offer.join("; ")).expect("the offer is visible ASCII")
}

/// What the peer answered to the offer; `None` if it declined it.
pub(super) fn agreed(headers: &HeaderMap, offered: Option<&WebSocketCompression>) -> Result<Option<Agreement>> {
    let mut agreement = None;
    for value in headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS) {
        let malformed = |_| violation("the peer's Sec-WebSocket-Extensions is malformed");
        for extension in value.to_str().map_err(malformed)?.split(',') {
            let extension = extension.trim();
            if extension.is_empty() {
                continue;
            }
            let offered = offered.ok_or_else(|| violation("the peer chose an extension that was not offered"))?;
            if agreement.replace(read(extension, offered)?).is_some() {
                return Err(violation("the peer chose an extension twice"));
            }
        }
    }
    Ok(agreement)
}

/// Reads one extension of the peer's answer.
fn read(extension: &str, offered: &WebSocketCompression) -> Result<Agreement> {
    let mut parts = extension.split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
        return Err(violation("the peer chose an extension that was not offered"));
    }
    let mut client_takeover = true;
    let mut server_takeover = true;
    let mut client_bits = None;
    let mut server_bits = None;
    for parameter in parts {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (parameter, None),
        };
        let first = match (name, value) {
            (CLIENT_NO_CONTEXT_TAKEOVER, None) => std::mem::replace(&mut client_takeover, false),
            (SERVER_NO_CONTEXT_TAKEOVER, None) => std::mem::replace(&mut server_takeover, false),
            (CLIENT_MAX_WINDOW_BITS, Some(value)) => client_bits.replace(bits(value)?).is_none(),
            (SERVER_MAX_WINDOW_BITS, Some(value)) => server_bits.replace(bits(value)?).is_none(),
            _ => return Err(violation("the peer chose an unknown parameter of permessage-deflate")),
        };
        if !first {
            return Err(violation("the peer chose a parameter of permessage-deflate twice"));
        }
    }
    // RFC 7692, section 7.1: an answer contains what the offer demands of the peer.
    if offered.server_no_context_takeover && server_takeover {
        return Err(violation("the peer did not agree to server_no_context_takeover"));
    }
    if offered.server_max_window_bits < 15 && server_bits.is_none_or(|bits| bits > offered.server_max_window_bits) {
        return Err(violation("the peer did not agree to server_max_window_bits"));
    }
    let bits = client_bits.unwrap_or(15).min(offered.client_max_window_bits);
    Ok(Agreement {
        resets_compressor: offered.client_no_context_takeover || !client_takeover,
        resets_decompressor: !server_takeover,
        window_bits: (bits >= 9).then_some(bits),
        min_size: offered.min_size,
    })
}

/// The value of a quoted string (RFC 6455, section 9.1), or the value itself.
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// 8 to 15, without leading zeros.
fn bits(value: &str) -> Result<u8> {
    match value {
        "8" | "9" => Ok(value.as_bytes()[0] - b'0'),
        "10" | "11" | "12" | "13" | "14" | "15" => Ok(10 + value.as_bytes()[1] - b'0'),
        _ => Err(violation("the peer's window bits are not 8 to 15")),
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    fn answer(values: &[&'static str], offered: Option<&WebSocketCompression>) -> Result<Option<Agreement>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(value));
        }
        agreed(&headers, offered)
    }

    #[test]
    fn the_offer_contains_what_differs_from_the_defaults() {
        let plain = WebSocketCompression::new();
        assert_eq!(offer(&plain), "permessage-deflate; client_max_window_bits");
        let small = plain.without_context_takeover().with_window_bits(10, 9);
        assert_eq!(
            offer(&small),
            "permessage-deflate; client_max_window_bits=10; server_max_window_bits=9; client_no_context_takeover; \
             server_no_context_takeover"
        );
    }

    #[test]
    fn answers_are_read() {
        let offered = WebSocketCompression::new();
        let full = Agreement {
            resets_compressor: false,
            resets_decompressor: false,
            window_bits: Some(15),
            min_size: 64,
        };
        assert_eq!(answer(&[], Some(&offered)).unwrap(), None, "the peer declines");
        assert_eq!(answer(&[" , "], Some(&offered)).unwrap(), None, "an empty list");
        for (value, expected) in [
            ("permessage-deflate", full),
            ("Permessage-Deflate ;client_max_window_bits = \"15\"", full),
            ("permessage-deflate; server_max_window_bits=8", full),
            (
                "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=9",
                Agreement {
                    resets_compressor: true,
                    resets_decompressor: true,
                    window_bits: Some(9),
                    ..full
                },
            ),
            (
                "permessage-deflate; client_max_window_bits=8",
                Agreement {
                    window_bits: None,
                    ..full
                },
            ),
        ] {
            assert_eq!(answer(&[value], Some(&offered)).unwrap(), Some(expected), "{value}");
        }
    }

    #[test]
    fn answers_that_the_rfc_does_not_allow_are_refused() {
        let plain = WebSocketCompression::new();
        let demanding = plain.without_context_takeover().with_window_bits(15, 10);
        for (values, offered) in [
            (&["permessage-deflate"][..], None),
            (&["x-webkit-deflate-frame"], Some(&plain)),
            (&["permessage-deflate, permessage-deflate"], Some(&plain)),
            (&["permessage-deflate", "permessage-deflate"], Some(&plain)),
            (&["permessage-deflate; unknown"], Some(&plain)),
            (&["permessage-deflate; client_no_context_takeover=1"], Some(&plain)),
            (
                &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
                Some(&plain),
            ),
            (&["permessage-deflate; client_max_window_bits"], Some(&plain)),
            (&["permessage-deflate; server_max_window_bits=16"], Some(&plain)),
            (&["permessage-deflate; server_max_window_bits=7"], Some(&plain)),
            (&["permessage-deflate; server_max_window_bits=08"], Some(&plain)),
            (
                &["permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"],
                Some(&plain),
            ),
            (&["permessage-deflate; server_no_context_takeover"], Some(&demanding)),
            (&["permessage-deflate; server_max_window_bits=10"], Some(&demanding)),
            (
                &["permessage-deflate; server_no_context_takeover; server_max_window_bits=11"],
                Some(&demanding),
            ),
        ] {
            let error = answer(values, offered).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{values:?}");
        }
    }
}
