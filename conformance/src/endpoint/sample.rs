//! The messages that cases send, and what must arrive of them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use networking_spi::bridge::BridgeMessage;

use super::{Carries, Content};
use crate::kit::Failure;
use crate::{CaseResult, check, check_eq};

/// The payload of messages whose text must not be shown.
pub(super) const CONFIDENTIAL: &str = "c0nf1dential-text";

/// A message with an id and a payload of text.
pub(super) fn message(text: &str) -> BridgeMessage {
    // A time that every protocol can carry.
    let received_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    BridgeMessage::new(format!("id-{text}"), text.to_owned(), received_at).with_origin("case")
}

/// Values for a place that carries these bytes.
pub(super) fn values(carries: Carries) -> Vec<Bytes> {
    let text = Bytes::from_static(b"a value; q=\"0.5\", {x: [1]} %41+&#/~");
    let fields = || {
        let inner: Vec<u8> = (0x21..=0x7E).chain([b' ', b'\t']).chain(0x80..=0xFF).collect();
        Bytes::from([b"<", inner.as_slice(), b">"].concat())
    };
    match carries {
        Carries::Nothing => Vec::new(),
        Carries::Text => vec![text],
        Carries::FieldValues => vec![text, fields(), Bytes::from_static(b"\xFF\xFE"), Bytes::new()],
        Carries::Bytes => vec![
            text,
            fields(),
            all_bytes(),
            Bytes::new(),
            Bytes::from_static(b" \r\n\0 "),
        ],
    }
}

fn all_bytes() -> Bytes {
    (0..=u8::MAX).collect::<Vec<u8>>().into()
}

/// JSON that changes if it is parsed and written again: white space, the form and size of numbers, escapes, a name twice, and
/// the order of names.
pub(crate) const JSON: [&str; 2] = [
    r#"{"a":  1.0, "b":2}"#,
    r#"{"z": 1E2, "a" : ["\u00e4\/", 123456789012345678901234567890], "z": -0}"#,
];

/// Payloads that the content can carry: text, all byte values, JSON, empty, and large.
pub(super) fn payloads(content: &Content) -> Vec<Bytes> {
    let mut payloads = values(content.payload);
    payloads.retain(|payload| !payload.is_empty());
    if content.payload != Carries::Nothing {
        payloads.extend(JSON.map(Bytes::from));
    }
    if content.payload == Carries::Bytes {
        payloads.push(Bytes::from_static(b"\xEF\xBB\xBF{\"a\":  1, \"b\": \"\xC3\xA4\"}\r\n"));
        // Twice the end of a chunk, of a frame and of a string of C.
        payloads.push(Bytes::from_static(b"0\r\n\r\n.\r\n\0\0"));
    }
    if content.empty_payload {
        payloads.push(Bytes::new());
    }
    let pattern = if content.payload == Carries::Bytes { 251 } else { 26 };
    let large = (0..content.large_payload).map(|index| {
        let value = u8::try_from(index % pattern).unwrap_or(u8::MAX);
        if content.payload == Carries::Bytes {
            value
        } else {
            b'a' + value
        }
    });
    payloads.push(large.collect::<Vec<u8>>().into());
    payloads
}

/// Header fields that the content can carry: a name with capitals, a name twice, and each kind of value.
pub(super) fn headers(content: &Content) -> Vec<(String, Bytes)> {
    let mut headers = vec![
        ("x-case-repeated".to_owned(), Bytes::from_static(b"1")),
        ("X-Case-Capitals".to_owned(), Bytes::from_static(b"Value")),
        ("x-case-repeated".to_owned(), Bytes::from_static(b"2")),
        ("x-case-repeated".to_owned(), Bytes::from_static(b"1")),
    ];
    let values = values(content.headers).into_iter().enumerate();
    headers.extend(values.map(|(index, value)| (format!("x-case-{}", 9 - index), value)));
    headers
}

/// Checks that the fields arrived: names in lower case, values unchanged, and in order as far as the protocol keeps it. The
/// protocol may add fields.
pub(super) fn check_headers(content: &Content, sent: &[(String, Bytes)], arrived: &[(String, Bytes)]) -> CaseResult {
    let sent: Vec<(String, Bytes)> = sent
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let ours: Vec<(String, Bytes)> = arrived
        .iter()
        .filter(|(name, _)| sent.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name)))
        .cloned()
        .collect();
    for (name, _) in arrived {
        check_eq!(
            *name,
            name.to_ascii_lowercase(),
            "the name of a header field, which must be in lower case"
        );
    }
    if content.header_order {
        check_eq!(ours, sent, "the header fields");
        return Ok(());
    }
    check_eq!(ours.len(), sent.len(), "the number of header fields");
    for (name, _) in &sent {
        let values = |fields: &[(String, Bytes)]| -> Vec<Bytes> {
            let named = fields.iter().filter(|(field, _)| field == name);
            named.map(|(_, value)| value.clone()).collect()
        };
        check_eq!(values(&ours), values(&sent), "the values of the header field {name}");
    }
    Ok(())
}

/// Checks a payload. A large one is not printed.
pub(super) fn check_payload(sent: &Bytes, arrived: &Bytes) -> CaseResult {
    if sent == arrived {
        return Ok(());
    }
    let differ = sent
        .iter()
        .zip(arrived.iter())
        .position(|(sent, arrived)| sent != arrived);
    Err(Failure::new(format!(
        "a payload of {} bytes arrived with {} bytes; the first difference is at {}",
        sent.len(),
        arrived.len(),
        differ.unwrap_or_else(|| sent.len().min(arrived.len())),
    )))
}

/// Checks that a text shows neither the content of messages nor a secret.
pub(super) fn check_confidential(what: &str, text: &str, secrets: &[String]) -> CaseResult {
    for secret in secrets.iter().map(String::as_str).chain([CONFIDENTIAL]) {
        check!(!text.contains(secret), "{what} shows {secret:?}");
    }
    Ok(())
}
