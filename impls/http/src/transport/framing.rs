//! Where a response ends (RFC 9112, section 6): judges the fields from which the HTTP library has taken the length of the body.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};
use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};

use super::length::digits;

/// What the framing fields of a response say about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// The end of the response is certain.
    Sound,
    /// The response has no body, but announces one, which the peer may send: the connection must not be used again.
    Excess,
    /// There is a length beside a transfer coding. Another recipient may find another end of the response (RFC 9112, section 6.3):
    /// the connection must not be used again.
    Ambiguous,
}

/// Checks the framing fields, and makes them say what is true of the body: equal lengths become one, and a length beside a transfer
/// coding, which overrides it, is removed. `to_head`: the response to a HEAD.
///
/// # Errors
/// `Protocol` for the length of a body that is not one number, and for a transfer coding that the client did not ask for.
pub(super) fn judge(version: Version, status: StatusCode, to_head: bool, headers: &mut HeaderMap) -> Result<Framing> {
    let has_length = headers.contains_key(CONTENT_LENGTH);
    let has_coding = headers.contains_key(TRANSFER_ENCODING);
    let http1 = version < Version::HTTP_2;
    if http1 && has_length && has_coding {
        check_codings(headers)?;
        headers.remove(CONTENT_LENGTH);
        return Ok(Framing::Ambiguous);
    }
    if to_head || status == StatusCode::NOT_MODIFIED {
        // The fields describe the response to a GET (RFC 9110, section 8.6).
        return Ok(Framing::Sound);
    }
    if http1 && status == StatusCode::NO_CONTENT {
        let claims_a_body = has_coding || has_length && !matches!(one_length(headers), Ok(0));
        return Ok(if claims_a_body { Framing::Excess } else { Framing::Sound });
    }
    if has_length {
        one_length(headers)?;
    }
    // Over HTTP/2, the library refuses `Transfer-Encoding`.
    if has_coding && http1 {
        check_codings(headers)?;
    }
    Ok(Framing::Sound)
}

/// RFC 9110, section 8.6: equal values are one value.
fn one_length(headers: &mut HeaderMap) -> Result<u64> {
    let mut length = None;
    let mut values = 0;
    for value in headers.get_all(CONTENT_LENGTH) {
        for part in value.as_bytes().split(|byte| *byte == b',') {
            let number = digits(part.trim_ascii()).ok_or_else(bad_length)?;
            if *length.get_or_insert(number) != number {
                return Err(bad_length());
            }
            values += 1;
        }
    }
    let length = length.ok_or_else(bad_length)?;
    if values > 1 {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    Ok(length)
}

/// RFC 9112, section 6.1: the client does not ask for codings, so that the peer may only use `chunked`, once and last. `identity`
/// was a coding that changes nothing in RFC 2616, section 3.6.
fn check_codings(headers: &HeaderMap) -> Result<()> {
    let mut chunked = false;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let value = value.to_str().map_err(|_| bad_coding("it is not text"))?;
        if value.trim_end().ends_with(',') {
            // RFC 9110, section 5.6.1.2, has recipients ignore empty members, but the parser looks for a last `chunked`.
            return Err(bad_coding("the list ends with a comma"));
        }
        for coding in value.split(',').map(str::trim).filter(|coding| !coding.is_empty()) {
            if chunked {
                return Err(bad_coding("`chunked` is not the last coding"));
            }
            if coding.eq_ignore_ascii_case("chunked") {
                chunked = true;
            } else if !coding.eq_ignore_ascii_case("identity") {
                return Err(bad_coding("the client did not ask for the coding"));
            }
        }
    }
    Ok(())
}

fn bad_length() -> NetworkError {
    protocol("the Content-Length of the response is not one number", "content_length")
}

fn bad_coding(why: &str) -> NetworkError {
    protocol(
        format!("the Transfer-Encoding of the response cannot be decoded: {why}"),
        "transfer_encoding",
    )
}

fn protocol(message: impl Into<Cow<'static, str>>, reason: &'static str) -> NetworkError {
    NetworkError::new(ErrorKind::Protocol, "http.request", message)
        .with_send_state(SendState::Sent)
        .with_context(context::REASON, reason)
}

/// The response is refused because nothing can keep its connection from being used again (RFC 9112, section 6.3).
#[cfg(feature = "reqwest")]
pub(super) fn ambiguous() -> NetworkError {
    protocol(
        "the response has both a Content-Length and a Transfer-Encoding",
        "ambiguous_framing",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, fields: &[(&'static str, &'static str)]) -> (Result<Framing>, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        (judge(Version::HTTP_11, status, false, &mut headers), headers)
    }

    fn assert_refused(name: &'static str, values: &[&'static str], reason: &str) {
        let fields: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        let error = judged(200, &fields).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{values:?}");
        assert_eq!(error.get(context::REASON), Some(reason));
    }

    #[test]
    fn equal_lengths_are_one_and_other_values_an_error() {
        for values in [&["5"][..], &["5, 5"], &["5", "5"], &["5,5 , 05"], &["05"]] {
            let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            let (framing, headers) = judged(200, &fields);
            assert_eq!(framing.unwrap(), Framing::Sound, "{values:?}");
            assert_eq!(headers.get_all("content-length").iter().count(), 1);
            assert_eq!(digits(headers["content-length"].as_bytes()), Some(5), "{values:?}");
        }
        for values in [
            &["5, 6"][..],
            &["5", "6"],
            &["+5"],
            &["-5"],
            &["5 5"],
            &["0x5"],
            &["5."],
            &["5,"],
            &[",5"],
            &[""],
            &["five"],
            &["18446744073709551616"],
        ] {
            assert_refused("content-length", values, "content_length");
        }
    }

    #[test]
    fn a_coding_overrides_a_length() {
        let (framing, headers) = judged(200, &[("content-length", "5"), ("transfer-encoding", "chunked")]);
        assert_eq!(framing.unwrap(), Framing::Ambiguous);
        assert!(!headers.contains_key("content-length"));
        for coding in ["chunked", "Chunked", "identity, chunked", "identity", ""] {
            let (framing, _) = judged(200, &[("transfer-encoding", coding)]);
            assert_eq!(framing.unwrap(), Framing::Sound, "{coding}");
        }
    }

    #[test]
    fn codings_that_were_not_asked_for_are_an_error() {
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["gzip"],
            &["chunked, gzip"],
            &["chunked, identity"],
            &["chunked", "identity"],
            &["chunked, chunked"],
            &["chunked;a=1"],
            &["xchunked"],
            &["chunked gzip"],
            &["chunked, "],
        ] {
            assert_refused("transfer-encoding", codings, "transfer_encoding");
        }
    }

    #[test]
    fn a_response_to_head_has_no_framing() {
        for field in [("content-length", "five"), ("transfer-encoding", "gzip")] {
            let mut headers = HeaderMap::from_iter([(field.0.parse().unwrap(), field.1.parse().unwrap())]);
            let framing = judge(Version::HTTP_11, StatusCode::OK, true, &mut headers);
            assert_eq!(framing.unwrap(), Framing::Sound, "{field:?}");
        }
    }

    #[test]
    fn a_status_without_a_body_may_announce_one() {
        for (status, field, framing) in [
            (204, ("content-length", "5"), Framing::Excess),
            (204, ("content-length", "five"), Framing::Excess),
            (204, ("transfer-encoding", "chunked"), Framing::Excess),
            (204, ("content-length", "0"), Framing::Sound),
            (304, ("content-length", "5"), Framing::Sound),
        ] {
            assert_eq!(judged(status, &[field]).0.unwrap(), framing, "{status} {field:?}");
        }
    }
}
