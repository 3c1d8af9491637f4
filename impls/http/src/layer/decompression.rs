//! Decoding response bodies.

use std::mem;
use std::sync::LazyLock;

use http::{HeaderValue, Method, header};
use networking_spi::Result;
use networking_spi::compression::CompressionType;
use networking_spi::http::{HttpBody, HttpCapabilities, HttpClient, HttpRequest, HttpResponse};

use crate::body::codec;
use crate::chain::{Next, Wrapper, inner_access, pass_on};

/// The largest number of codings of one body. A body with more codings is not decoded.
const MAX_CODINGS: usize = 4;

/// The codings in `Accept-Encoding`, preferred ones first.
static ACCEPTED: LazyLock<HeaderValue> = LazyLock::new(|| {
    let names = ["gzip", "br", "zstd", "deflate"];
    let built_in: Vec<&str> = names.into_iter().filter(|name| coding(name).is_some()).collect();
    HeaderValue::try_from(built_in.join(", ")).expect("names of codings are tokens")
});

/// Requests compressed responses, decodes them (`gzip`, `deflate`, `br`, `zstd`, depending on cargo features), and limits the
/// size of decoded bodies.
///
/// The response to a request with an `Accept-Encoding` or a `Range` header is not decoded. A body with an unknown coding is
/// passed on with its `Content-Encoding`. Decoding removes `Content-Encoding` and `Content-Length`. Bodies are decoded while they
/// are read, and are not buffered.
///
/// The limit applies to the decoded size, which protects against decompression bombs.
///
/// # Order
///
/// Right: inside every wrapper that reads bodies.
///
/// ```
/// # use std::sync::Arc;
/// # use networking_http::{MemoryHttpClient, layer::{DecompressionClient, InterceptorClient}};
/// # let transport = MemoryHttpClient::new();
/// let client = InterceptorClient::new(DecompressionClient::new(transport, true, Some(64 << 20)), Vec::new());
/// ```
///
/// Wrong: outside an interceptor that reads bodies. The interceptor would get encoded bodies.
#[derive(Debug)]
pub struct DecompressionClient<C> {
    inner: C,
    decode: bool,
    max_size: Option<u64>,
}

inner_access!(DecompressionClient);

impl<C> DecompressionClient<C> {
    /// Decodes responses of `inner` if `decode` is set, and limits them to `max_size` bytes. A request can set another limit.
    pub const fn new(inner: C, decode: bool, max_size: Option<u64>) -> Self {
        Self {
            inner,
            decode,
            max_size,
        }
    }
}

impl<C: HttpClient> Wrapper for DecompressionClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let limit = request.options.max_response_size.take().or(self.max_size);
        let decode = self.decode
            && can_decode()
            && !request.headers.contains_key(header::ACCEPT_ENCODING)
            && !request.headers.contains_key(header::RANGE);
        if decode {
            request.headers.insert(header::ACCEPT_ENCODING, ACCEPTED.clone());
        }
        let decode = decode && request.method != Method::HEAD;
        let mut response = next.send(request).await?;
        if decode && !response.body.is_empty() {
            decode_body(&mut response);
        }
        if let Some(limit) = limit {
            *response = response.limited(limit)?;
        }
        Ok(response)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for DecompressionClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.decompression |= self.decode && can_decode();
        capabilities.response_size_limit = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

fn decode_body(response: &mut HttpResponse) {
    let Some(codings) = codings(response).filter(|codings| !codings.is_empty()) else {
        return;
    };
    // Codings are listed in the order in which they were applied.
    let chunks = codings
        .into_iter()
        .rev()
        .fold(mem::take(&mut response.body).into_stream(), codec::decode_stream);
    response.body = HttpBody::stream(chunks, None);
    response.headers.remove(header::CONTENT_ENCODING);
    response.headers.remove(header::CONTENT_LENGTH);
}

/// The codings in the order in which they were applied; `None` if one of them is unknown.
fn codings(response: &HttpResponse) -> Option<Vec<CompressionType>> {
    let mut codings = Vec::new();
    for value in response.headers.get_all(header::CONTENT_ENCODING) {
        for name in value
            .to_str()
            .ok()?
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match coding(name)? {
                CompressionType::None => {}
                _ if codings.len() == MAX_CODINGS => return None,
                coding => codings.push(coding),
            }
        }
    }
    Some(codings)
}

fn coding(name: &str) -> Option<CompressionType> {
    match name.to_ascii_lowercase().as_str() {
        "identity" => Some(CompressionType::None),
        "x-gzip" => coding("gzip"),
        name => codec::CODINGS
            .iter()
            .copied()
            .find(|coding| coding.content_coding() == Some(name)),
    }
}

fn can_decode() -> bool {
    codec::CODINGS.len() > 1
}
