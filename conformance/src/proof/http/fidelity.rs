//! Saboteurs that change requests, responses and the verification of certificates.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use networking_spi::Result;
use networking_spi::http::{
    HeaderMap, HeaderValue, HttpBody, HttpRequest, HttpResponse, Method, ProxyConfig, RequestTarget, Version, header,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Saboteur;
use super::client::Head;

/// What a client remembers from one call to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    cookie: Mutex<Option<HeaderValue>>,
    url: Mutex<Option<String>>,
    unverified: Mutex<bool>,
    pub(super) succeeded: AtomicBool,
    pub(super) retries: AtomicBool,
}

pub(super) fn before(saboteur: Saboteur, request: &mut HttpRequest, head: &Head, memory: &Memory) -> Result<()> {
    let RequestTarget::Absolute(url) = &mut request.target else {
        return Ok(());
    };
    let headers = &mut request.headers;
    match saboteur {
        Saboteur::MergesSlashes => url.set_path(&head.path.replace("//", "/")),
        Saboteur::DecodesSlashes => url.set_path(&head.path.replace("%2F", "/")),
        Saboteur::CompletesParameters if url.query() == Some("flag") => url.set_query(Some("flag=")),
        Saboteur::EncodesQueriesTwice => {
            let mixed = |query: &&str| query.contains('%') && query.contains(['|', '{', '}', '^']);
            if let Some(query) = url.query().filter(mixed) {
                let encoded = query.replace('%', "%25").replace('|', "%7C").replace('{', "%7B");
                url.set_query(Some(&encoded.replace('}', "%7D").replace('^', "%5E")));
            }
        }
        Saboteur::DropsBodiesOfDelete if head.method == Method::DELETE => request.body = HttpBody::empty(),
        Saboteur::UppercasesMethods => {
            let upper = head.method.as_str().to_ascii_uppercase();
            request.method = Method::from_bytes(upper.as_bytes()).expect("a method in upper case");
        }
        Saboteur::StreamsEmptyBodies if head.path == "/length" && request.body.is_empty() => {
            request.body = HttpBody::stream(Box::pin(futures_util::stream::empty()), None);
        }
        Saboteur::CutsNonAsciiHeaders => cut_non_ascii(headers, "x-bytes"),
        Saboteur::ReplacesHost => drop(headers.remove(header::HOST)),
        Saboteur::ReplacesIdempotencyKeys if headers.contains_key("idempotency-key") && head.path == "/kept" => {
            headers.insert("idempotency-key", HeaderValue::from_static("another"));
        }
        Saboteur::ReplacesAcceptEncoding if headers.contains_key(header::ACCEPT_ENCODING) => {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        }
        Saboteur::SendsCookiesBack => {
            if let Some(cookie) = memory.cookie.lock().expect("no panic inside").clone() {
                headers.insert(header::COOKIE, cookie);
            }
        }
        Saboteur::AddsReferer if !headers.contains_key(header::REFERER) => {
            let previous = memory.url.lock().expect("no panic inside").replace(head.url.clone());
            if let Some(previous) = previous.and_then(|url| HeaderValue::try_from(url).ok()) {
                headers.insert(header::REFERER, previous);
            }
        }
        Saboteur::DropsUserInformation => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        Saboteur::KeepsPercentsInCredentials => {
            let encoded = url.username().replace('%', "%25");
            let _ = url.set_username(&encoded);
        }
        Saboteur::BlocksTheThread if head.path == "/single" => tokio::task::block_in_place(|| ()),
        Saboteur::GoesPastProxies if head.path == "/through" => request.options.proxy = None,
        Saboteur::UsesProxiesOfTheEnvironment => {
            let proxy = std::env::var("HTTP_PROXY").ok().and_then(|url| url.parse().ok());
            if let Some(proxy) = proxy.filter(|_| head.path == "/direct") {
                request.options = std::mem::take(&mut request.options).with_proxy(ProxyConfig::new(proxy));
            }
        }
        Saboteur::TrustsNobody if url.scheme() == "https" && head.path == "/trusted" => {
            return Err(NetworkError::new(
                ErrorKind::Tls,
                "http.request",
                "no certificate is trusted",
            ));
        }
        Saboteur::TrustsEverybody if url.scheme() == "https" => request.options.verify_tls = Some(false),
        Saboteur::IgnoresTimesOfCertificates if head.path == "/time" => request.options.verify_tls = Some(false),
        Saboteur::IgnoresNamesOfCertificates if head.path == "/name" => request.options.verify_tls = Some(false),
        Saboteur::StaysUnverified => {
            let mut unverified = memory.unverified.lock().expect("no panic inside");
            *unverified |= request.options.verify_tls == Some(false);
            if *unverified {
                request.options.verify_tls = Some(false);
            }
        }
        Saboteur::AlwaysVerifies => request.options.verify_tls = None,
        _ => {}
    }
    Ok(())
}

pub(super) fn after(saboteur: Saboteur, response: &mut HttpResponse, head: &Head, memory: &Memory) {
    match saboteur {
        Saboteur::SendsCookiesBack => {
            if let Some(cookie) = response.headers.get(header::SET_COOKIE) {
                *memory.cookie.lock().expect("no panic inside") = Some(cookie.clone());
            }
        }
        Saboteur::MergesHeaders => {
            let values: Vec<&[u8]> = response
                .headers
                .get_all("link")
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            if values.len() > 1 {
                let merged = HeaderValue::from_bytes(&values.join(b", ".as_slice())).expect("the values are valid");
                response.headers.insert("link", merged);
            }
        }
        Saboteur::ReportsHttp11 if head.path == "/version" => response.version = Version::HTTP_11,
        Saboteur::HidesHttp2 => response.version = response.version.min(Version::HTTP_11),
        _ => {}
    }
}

fn cut_non_ascii(headers: &mut HeaderMap, name: &'static str) {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in values {
        let ascii: Vec<u8> = value.as_bytes().iter().copied().filter(u8::is_ascii).collect();
        headers.append(name, HeaderValue::from_bytes(&ascii).expect("a part of a value"));
    }
}
