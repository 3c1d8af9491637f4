//! Text in encodings other than UTF-8.

use std::future::Future;

use encoding_rs::{Encoding, UTF_8};
use http::header;
use networking_spi::http::HttpResponse;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};

/// Reads a response as text in the charset that it declares.
///
/// ```
/// use networking_http::{MemoryHttpClient, Reply, TextWithCharset};
/// use networking_spi::http::Method;
/// use networking_spi::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let http = MemoryHttpClient::new();
/// let reply = Reply::ok().with_header("content-type", "text/plain; charset=iso-8859-1")?.with_body(&b"caf\xE9"[..]);
/// http.route(Method::GET, "/menu", reply)?;
/// assert_eq!(http.get("http://bistro.test/menu").await?.text_with_charset().await?, "café");
/// # Ok(()) }
/// ```
pub trait TextWithCharset {
    /// Reads the whole body as text. The charset is that of the byte order mark, else the `charset` of the `Content-Type` (any
    /// label of the WHATWG Encoding standard), else UTF-8. The byte order mark is not part of the text.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) naming the charset, for a `charset` that is unknown (even if there is a byte order mark) and
    /// for a body that is not valid in its charset; errors of [`HttpResponse::bytes`].
    fn text_with_charset(self) -> impl Future<Output = Result<String>> + Send;
}

impl TextWithCharset for HttpResponse {
    async fn text_with_charset(self) -> Result<String> {
        let label = charset(&self);
        let encoding = match &label {
            Some(label) => {
                Encoding::for_label(label.as_bytes()).ok_or_else(|| not_text("the charset is unknown", label))?
            }
            None => UTF_8,
        };
        let bytes = self.bytes().await?;
        let (text, used, malformed) = encoding.decode(&bytes);
        if malformed {
            return Err(not_text("the body is not text in its charset", used.name()));
        }
        Ok(text.into_owned())
    }
}

fn charset(response: &HttpResponse) -> Option<String> {
    let content_type = response.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let charset = name.trim().eq_ignore_ascii_case("charset");
        charset.then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn not_text(message: &'static str, charset: &str) -> NetworkError {
    NetworkError::new(ErrorKind::Decode, "http.response", message)
        .with_send_state(SendState::Sent)
        .with_context("charset", charset.to_owned())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    async fn text(content_type: &str, body: &'static [u8]) -> Result<String> {
        let response = HttpResponse::new(StatusCode::OK)
            .with_header("content-type", content_type)?
            .with_body(body);
        response.text_with_charset().await
    }

    #[tokio::test]
    async fn the_byte_order_mark_precedes_the_header_and_the_header_precedes_utf_8() {
        for (content_type, body, expected) in [
            ("text/plain", &b"\xC3\xBC"[..], "ü"),
            ("text/plain; charset=\"ISO-8859-1\"", b"\xFC", "ü"),
            ("text/html; version=1; Charset = windows-1252", b"\x80", "€"),
            ("text/plain; charset=shift_jis", b"\x93\xFA", "日"),
            ("text/plain; charset=iso-8859-1", b"\xEF\xBB\xBF\xC3\xBC", "ü"),
            ("text/plain; charset=utf-16le", b"\xFC\x00", "ü"),
        ] {
            assert_eq!(text(content_type, body).await.unwrap(), expected, "{content_type}");
        }
    }

    #[tokio::test]
    async fn undecodable_text_is_an_error_that_names_the_charset() {
        for (content_type, body, named) in [
            ("text/plain; charset=klingon", &b"x"[..], "charset: klingon"),
            ("text/plain", b"\xFF", "charset: UTF-8"),
        ] {
            let error = text(content_type, body).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
