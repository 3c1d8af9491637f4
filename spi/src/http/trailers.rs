//! Trailer fields: the fields after the body of a response.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName};

use super::{ByteStream, hop_by_hop};
use crate::error::Result;
use crate::redact;

/// Fields whose meaning is needed before the body is read, and which a trailer section therefore may not have (RFC 9110, section
/// 6.5.1): routing, request modifiers, authentication, response control data, and the format of the content. Names are in lower
/// case. Hop-by-hop fields, `Proxy-...` fields and conditions (`If-...`) are added to these.
const FORBIDDEN: [&str; 20] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "www-authenticate",
];

/// The trailer fields of a response (RFC 9110, section 6.5): a checksum, a signature, the status of a gRPC call.
///
/// They arrive after the body. A clone is a handle of the same trailers: keep one while the body is read, and look into it when
/// the body has ended.
///
/// ```
/// use networking_spi::http::{HeaderMap, HttpResponse, StatusCode};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// # let mut fields = HeaderMap::new();
/// # fields.insert("grpc-status", "0".parse().unwrap());
/// # let response = HttpResponse::new(StatusCode::OK).with_body("message").with_trailers(fields);
/// // let response = client.get(url).header("te", "trailers").await?;
/// let trailers = response.trailers.clone();
/// let body = response.bytes().await?;
/// assert_eq!(trailers.get().unwrap()["grpc-status"], "0");
/// # Ok(()) }
/// ```
///
/// [`get`](Self::get) returns `None` until the body has ended, and if the body has no trailers, fails, or is dropped. Clients
/// without the capability [`trailers`](super::HttpCapabilities::trailers) never have any.
///
/// Trailers are kept apart from the headers, and fields that a trailer section may not have are dropped (RFC 9110, section 6.5.1):
/// those of message framing, routing, authentication, request modifiers, response control data and content format. A peer can
/// therefore not change the meaning of a response with its trailers.
///
/// Trailers of requests are not supported.
#[derive(Clone, Default)]
pub struct Trailers(Option<Arc<OnceLock<HeaderMap>>>);

impl Trailers {
    /// No trailers: [`get`](Self::get) always returns `None`.
    pub const fn none() -> Self {
        Self(None)
    }

    /// For implementers of [`HttpClient`](super::HttpClient): trailers that may arrive. Put a clone into
    /// [`HttpResponse::trailers`](super::HttpResponse::trailers), and [`set`](Self::set) them when the body has ended.
    pub fn pending() -> Self {
        Self(Some(Arc::default()))
    }

    /// The fields; `None` until the body has ended, and if there are none.
    pub fn get(&self) -> Option<&HeaderMap> {
        self.0.as_ref()?.get()
    }

    /// For implementers of [`HttpClient`](super::HttpClient): the trailers have arrived. Fields that a trailer section may not have
    /// are dropped. Has no effect on [`none`](Self::none), without fields, and the second time.
    pub fn set(&self, fields: HeaderMap) {
        let Some(cell) = &self.0 else { return };
        let allowed = if fields.keys().all(is_allowed) {
            fields
        } else {
            let mut allowed = HeaderMap::new();
            for (name, value) in fields.iter().filter(|(name, _)| is_allowed(name)) {
                allowed.append(name, value.clone());
            }
            allowed
        };
        if !allowed.is_empty() {
            // They are set once.
            let _ = cell.set(allowed);
        }
    }
}

/// Whether a trailer section may have this field.
fn is_allowed(name: &HeaderName) -> bool {
    let text = name.as_str();
    !(FORBIDDEN.contains(&text)
        || text.starts_with("if-")
        || hop_by_hop::is_hop_by_hop(name)
        || hop_by_hop::is_for_proxy(name))
}

impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(fields) => redact::Headers(fields).fmt(f),
            None => f.write_str("None"),
        }
    }
}

/// A body that sets these trailers when it has been read to its end.
pub(super) struct Ending {
    /// `None` after the end or an error.
    pub(super) rest: Option<(ByteStream, HeaderMap)>,
    pub(super) trailers: Trailers,
}

impl Stream for Ending {
    type Item = Result<bytes::Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((chunks, _)) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let next = ready!(chunks.poll_next_unpin(cx));
        if !matches!(next, Some(Ok(_)))
            && let Some((_, fields)) = self.rest.take()
            && next.is_none()
        {
            self.trailers.set(fields);
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::super::{HttpBody, HttpResponse, StatusCode};
    use super::*;
    use crate::error::{ErrorKind, NetworkError};

    fn fields(names: &[&'static str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for name in names {
            fields.append(*name, "1".parse().unwrap());
        }
        fields
    }

    #[test]
    fn fields_that_change_the_meaning_of_the_message_are_dropped() {
        let forbidden = [
            "content-length",
            "transfer-encoding",
            "trailer",
            "host",
            "authorization",
            "proxy-authorization",
            "proxy-authenticate",
            "www-authenticate",
            "set-cookie",
            "cookie",
            "content-type",
            "content-encoding",
            "content-range",
            "cache-control",
            "if-match",
            "if-none-match",
            "if-range",
            "connection",
            "keep-alive",
            "upgrade",
            "te",
            "location",
            "retry-after",
        ];
        let allowed = [
            "grpc-status",
            "grpc-message",
            "etag",
            "content-digest",
            "server-timing",
            "x-a",
        ];
        let trailers = Trailers::pending();
        trailers.set(fields(&[&forbidden[..], &allowed[..], &["x-a"]].concat()));
        let kept = trailers.get().unwrap();
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = allowed;
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(kept.get_all("x-a").iter().count(), 2);

        let none = Trailers::pending();
        none.set(fields(&forbidden));
        assert!(none.get().is_none());
    }

    #[test]
    fn trailers_are_set_once_and_shared() {
        let trailers = Trailers::pending();
        let kept = trailers.clone();
        trailers.set(HeaderMap::new());
        assert!(kept.get().is_none());
        trailers.set(fields(&["x-a"]));
        trailers.set(fields(&["x-b"]));
        assert_eq!(kept.get(), Some(&fields(&["x-a"])));
        Trailers::none().set(fields(&["x-a"]));
        assert!(Trailers::none().get().is_none());
    }

    #[test]
    fn secrets_in_trailers_are_not_shown() {
        let trailers = Trailers::pending();
        trailers.set(fields(&["x-auth-token"]));
        assert!(!format!("{trailers:?}").contains('1'), "{trailers:?}");
    }

    #[tokio::test]
    async fn they_are_known_at_the_end_of_the_body() {
        let response = HttpResponse::new(StatusCode::OK)
            .with_body("body")
            .with_trailers(fields(&["x-a"]));
        let trailers = response.trailers.clone();
        let mut chunks = response.into_stream();
        assert!(chunks.next().await.is_some());
        assert!(trailers.get().is_none());
        assert!(chunks.next().await.is_none());
        assert!(trailers.get().is_some());

        let empty = HttpResponse::new(StatusCode::OK).with_trailers(fields(&["x-a"]));
        assert!(empty.trailers.get().is_some(), "the body has ended");

        let buffered = HttpResponse::new(StatusCode::OK)
            .with_body("body")
            .with_trailers(fields(&["x-a"]))
            .buffered()
            .await
            .unwrap();
        assert!(buffered.trailers.get().is_some());
    }

    #[tokio::test]
    async fn a_body_that_fails_has_none() {
        let lost = NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
        let chunks = stream::iter([Ok("a".into()), Err(lost)]).boxed();
        let response = HttpResponse::new(StatusCode::OK)
            .with_body(HttpBody::stream(chunks, None))
            .with_trailers(fields(&["x-a"]));
        let trailers = response.trailers.clone();
        let items: Vec<_> = response.into_stream().collect().await;
        assert_eq!(items.len(), 2);
        assert!(trailers.get().is_none());
    }
}
