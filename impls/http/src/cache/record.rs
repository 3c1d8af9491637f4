//! The records of the cache, and their encoding.
//!
//! There are two kinds of records. The index of a URL lists the request headers that select among its responses. A response is
//! stored under a key made of the index's generation and the values of these headers. Removing the index makes all responses of
//! the URL unreachable.
//!
//! A record starts with the version of the format and the kind. Numbers are big-endian, strings are preceded by their length, and
//! the body of a response is the rest. Bytes in any other form are not decoded.

use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// Changes with every change of the format.
const FORMAT: u8 = 1;
const INDEX: u8 = 1;
const RESPONSE: u8 = 2;

/// The request headers that select among the responses of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// A part of the key of each response, so that responses of an earlier index are never found.
    pub(super) generation: u64,
    /// The names in `Vary`, sorted.
    pub(super) vary: Vec<HeaderName>,
}

impl Index {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&[FORMAT, INDEX]);
        out.put_u64(self.generation);
        put_count(&mut out, self.vary.len());
        for name in &self.vary {
            put_text(&mut out, name.as_str().as_bytes());
        }
        out.freeze()
    }

    pub(super) fn decode(mut record: Bytes) -> Option<Self> {
        start(&mut record, INDEX)?;
        let generation = record.try_get_u64().ok()?;
        let vary = (0..take_count(&mut record)?)
            .map(|_| HeaderName::from_bytes(&take_text(&mut record)?).ok())
            .collect::<Option<_>>()?;
        record.is_empty().then_some(Self { generation, vary })
    }
}

/// A response without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredHead {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// When the response arrived or was last validated, in whole milliseconds.
    pub(super) received_at: SystemTime,
    /// Its age at that time, in whole seconds.
    pub(super) initial_age: Duration,
}

impl StoredHead {
    /// The record without the body.
    pub(super) fn encode(&self) -> BytesMut {
        let received_at = self
            .received_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut out = BytesMut::with_capacity(64 + self.headers.len() * 48);
        out.put_slice(&[FORMAT, RESPONSE, version_number(self.version)]);
        out.put_u16(self.status.as_u16());
        out.put_u64(u64::try_from(received_at.as_millis()).unwrap_or(u64::MAX));
        out.put_u64(self.initial_age.as_secs());
        put_count(&mut out, self.headers.len());
        for (name, value) in &self.headers {
            put_text(&mut out, name.as_str().as_bytes());
            put_text(&mut out, value.as_bytes());
        }
        out
    }

    /// The head and the body.
    pub(super) fn decode(mut record: Bytes) -> Option<(Self, Bytes)> {
        start(&mut record, RESPONSE)?;
        let version = match record.try_get_u8().ok()? {
            0 => Version::HTTP_10,
            1 => Version::HTTP_11,
            2 => Version::HTTP_2,
            3 => Version::HTTP_3,
            _ => return None,
        };
        let status = StatusCode::from_u16(record.try_get_u16().ok()?).ok()?;
        let received_at = Duration::from_millis(record.try_get_u64().ok()?);
        let received_at = SystemTime::UNIX_EPOCH.checked_add(received_at)?;
        let initial_age = Duration::from_secs(record.try_get_u64().ok()?);
        let mut headers = HeaderMap::new();
        for _ in 0..take_count(&mut record)? {
            let name = HeaderName::from_bytes(&take_text(&mut record)?).ok()?;
            let value = HeaderValue::from_maybe_shared(take_text(&mut record)?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        let head = Self {
            status,
            version,
            headers,
            received_at,
            initial_age,
        };
        Some((head, record))
    }
}

fn start(record: &mut Bytes, kind: u8) -> Option<()> {
    (record.try_get_u8().ok()? == FORMAT && record.try_get_u8().ok()? == kind).then_some(())
}

fn version_number(version: Version) -> u8 {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => 0,
        Version::HTTP_2 => 2,
        Version::HTTP_3 => 3,
        _ => 1,
    }
}

/// The number fits: a header map has at most 32 768 entries.
fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

fn take_count(record: &mut Bytes) -> Option<u32> {
    // Each element starts with its length in 4 bytes. A count that does not fit is invalid, and nothing is allocated for it.
    let count = record.try_get_u32().ok()?;
    (count as usize <= record.len() / 4).then_some(count)
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    put_count(out, text.len());
    out.put_slice(text);
}

fn take_text(record: &mut Bytes) -> Option<Bytes> {
    let length = record.try_get_u32().ok()? as usize;
    (length <= record.len()).then(|| record.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> StoredHead {
        let mut headers = HeaderMap::new();
        headers.append("link", HeaderValue::from_static("<a>"));
        headers.append("link", HeaderValue::from_static("<b>"));
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        StoredHead {
            status: StatusCode::OK,
            version: Version::HTTP_2,
            headers,
            received_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567_890_123),
            initial_age: Duration::from_secs(7),
        }
    }

    #[test]
    fn records_survive_the_round_trip() {
        let mut record = head().encode();
        record.extend_from_slice(b"body");
        let (decoded, body) = StoredHead::decode(record.freeze()).unwrap();
        assert_eq!((decoded, body), (head(), Bytes::from_static(b"body")));
        let index = Index {
            generation: 42,
            vary: vec![http::header::ACCEPT, http::header::ACCEPT_LANGUAGE],
        };
        assert_eq!(Index::decode(index.encode()).unwrap(), index);
    }

    #[test]
    fn other_bytes_are_not_a_record() {
        let record = head().encode().freeze();
        for length in 0..record.len() {
            assert!(StoredHead::decode(record.slice(..length)).is_none(), "{length}");
        }
        let mut later = BytesMut::from(&record[..]);
        later[0] = FORMAT + 1;
        assert!(StoredHead::decode(later.freeze()).is_none());
        assert!(Index::decode(record).is_none());
        let mut boastful = BytesMut::from(&[FORMAT, INDEX][..]);
        boastful.put_u64(0);
        boastful.put_u32(u32::MAX);
        assert!(Index::decode(boastful.freeze()).is_none());
    }
}
