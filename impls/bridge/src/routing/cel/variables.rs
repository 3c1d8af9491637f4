//! The variables that conditions read, as CEL values of one message. The payload and the headers are converted when a
//! condition first reads them.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::common::types::{CelBytes, CelInt, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use networking_spi::bridge::BridgeMessage;

use super::json::{self, Converted};
use super::runtime::PAYLOAD;
use super::{Payload, PayloadFields};

/// A message as CEL values.
pub(in crate::routing) struct Variables<'m> {
    message: &'m BridgeMessage,
    json: &'m Payload,
    read: &'m PayloadFields,
    payload: OnceLock<Converted<'m>>,
    headers: OnceLock<Converted<'m>>,
    key: Box<dyn Val + 'm>,
    content_type: Box<dyn Val + 'm>,
    origin: CelString<'m>,
    size: CelInt,
    /// The longest of the variables that are text, in bytes.
    longest: usize,
}

impl<'m> Variables<'m> {
    /// `read` has the fields of the payload that all conditions together read.
    pub(in crate::routing) fn new(message: &'m BridgeMessage, json: &'m Payload, read: &'m PayloadFields) -> Self {
        let key: Box<dyn Val + 'm> = match &message.key {
            None => Box::new(CelNull),
            Some(key) => text_or_bytes(key),
        };
        let content_type: Box<dyn Val + 'm> = match &message.content_type {
            None => Box::new(CelNull),
            Some(text) => Box::new(CelString::from(text.as_str())),
        };
        let lengths = [
            message.origin.len(),
            message.key.as_ref().map_or(0, bytes::Bytes::len),
            message.content_type.as_ref().map_or(0, String::len),
        ];
        Self {
            message,
            json,
            read,
            payload: OnceLock::new(),
            headers: OnceLock::new(),
            key,
            content_type,
            origin: CelString::from(message.origin.as_str()),
            size: CelInt::from(i64::try_from(message.payload.len()).unwrap_or(i64::MAX)),
            longest: lengths.into_iter().fold(0, usize::max),
        }
    }

    pub(super) fn get<'b>(&'b self, name: &str) -> Option<&'b (dyn Val + 'b)> {
        Some(match name {
            PAYLOAD => &*self.payload().value,
            "headers" => &*self.headers.get_or_init(|| self.convert_headers()).value,
            "key" => &*self.key,
            "content_type" => &*self.content_type,
            "origin" => &self.origin,
            "size" => &self.size,
            _ => return None,
        })
    }

    /// The size of the largest value that a condition can have read until now, in bytes.
    pub(super) fn largest(&self) -> usize {
        let of = |converted: &OnceLock<Converted<'m>>| converted.get().map_or(0, |converted| converted.largest);
        of(&self.payload).max(of(&self.headers)).max(self.longest)
    }

    fn payload(&self) -> &Converted<'m> {
        self.payload.get_or_init(|| json::convert(self.json.json(), self.read))
    }

    fn convert_headers(&self) -> Converted<'m> {
        let mut entries: HashMap<CelMapKey<'m>, Box<dyn Val + 'm>> = HashMap::with_capacity(self.message.headers.len());
        let mut largest = 0;
        for (name, value) in &self.message.headers {
            largest = largest.max(name.len()).max(value.len());
            // If a name occurs several times, the variable has its first value.
            entries
                .entry(CelMapKey::String(CelString::from(name.as_str())))
                .or_insert_with(|| text_or_bytes(value));
        }
        Converted {
            value: json::map(entries),
            largest,
        }
    }
}

/// A string if the bytes are UTF-8, otherwise bytes.
fn text_or_bytes<'m>(bytes: &'m [u8]) -> Box<dyn Val + 'm> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Box::new(CelString::from(text)),
        Err(_) => Box::new(CelBytes::from(bytes)),
    }
}
