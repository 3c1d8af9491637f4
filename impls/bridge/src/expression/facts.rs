//! What conditions know of a message; parsed and converted when the first condition asks.

use std::collections::HashMap;
use std::sync::OnceLock;

use cel::common::types::{CelBytes, CelInt, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use networking_spi::bridge::BridgeMessage;

use super::json::{self, Converted, Paths};
use super::runtime::{self, Pattern, Scope};

/// A parsed payload. It outlives the [`Facts`] that borrow from it.
#[derive(Debug, Default)]
pub(crate) struct Json(OnceLock<serde_json::Value>);

/// A message as conditions see it.
pub(crate) struct Facts<'m> {
    message: &'m BridgeMessage,
    json: &'m Json,
    paths: &'m Paths,
    payload: OnceLock<Converted<'m>>,
    headers: OnceLock<Converted<'m>>,
    key: Box<dyn Val + 'm>,
    content_type: Box<dyn Val + 'm>,
    origin: CelString<'m>,
    size: CelInt,
    /// The longest of the variables that are text, in bytes.
    longest: usize,
}

impl<'m> Facts<'m> {
    /// `paths` is what all conditions together read of the payload.
    pub(crate) fn new(message: &'m BridgeMessage, json: &'m Json, paths: &'m Paths) -> Self {
        let key: Box<dyn Val + 'm> = match &message.key {
            None => Box::new(CelNull),
            Some(key) => match std::str::from_utf8(key) {
                Ok(text) => Box::new(CelString::from(text)),
                Err(_) => Box::new(CelBytes::from(key.as_ref())),
            },
        };
        let content_type: Box<dyn Val + 'm> = match &message.content_type {
            None => Box::new(CelNull),
            Some(text) => Box::new(CelString::from(text.as_str())),
        };
        Self {
            message,
            json,
            paths,
            payload: OnceLock::new(),
            headers: OnceLock::new(),
            key,
            content_type,
            origin: CelString::from(message.origin.as_str()),
            size: CelInt::from(i64::try_from(message.payload.len()).unwrap_or(i64::MAX)),
            longest: [
                message.origin.len(),
                message.key.as_ref().map_or(0, bytes::Bytes::len),
                message.content_type.as_ref().map_or(0, String::len),
            ]
            .into_iter()
            .fold(0, usize::max),
        }
    }

    pub(super) fn scope<'f>(&'f self, patterns: &'f [Pattern]) -> Scope<'f, 'm> {
        Scope::new(self, patterns)
    }

    pub(super) fn variable<'b>(&'b self, name: &str) -> Option<&'b (dyn Val + 'b)> {
        Some(match name {
            runtime::PAYLOAD => &*self.payload().value,
            "headers" => &*self.headers.get_or_init(|| self.make_headers()).value,
            "key" => &*self.key,
            "content_type" => &*self.content_type,
            "origin" => &self.origin,
            "size" => &self.size,
            _ => return None,
        })
    }

    /// The size of the largest value that can have been handed out so far, in bytes.
    pub(super) fn largest(&self) -> usize {
        let of = |made: &OnceLock<Converted<'m>>| made.get().map_or(0, |converted| converted.largest);
        of(&self.payload).max(of(&self.headers)).max(self.longest)
    }

    fn payload(&self) -> &Converted<'m> {
        self.payload.get_or_init(|| {
            let parse = || serde_json::from_slice(&self.message.payload).unwrap_or(serde_json::Value::Null);
            json::convert(self.json.0.get_or_init(parse), self.paths)
        })
    }

    fn make_headers(&self) -> Converted<'m> {
        let mut entries: HashMap<CelMapKey<'m>, Box<dyn Val + 'm>> = HashMap::with_capacity(self.message.headers.len());
        let mut largest = 0;
        for (name, value) in &self.message.headers {
            largest = largest.max(name.len()).max(value.len());
            // A value that is not text is there, but as bytes.
            let value: Box<dyn Val + 'm> = match std::str::from_utf8(value) {
                Ok(text) => Box::new(CelString::from(text)),
                Err(_) => Box::new(CelBytes::from(value.as_ref())),
            };
            entries
                .entry(CelMapKey::String(CelString::from(name.as_str())))
                .or_insert(value);
        }
        Converted {
            value: json::map(entries),
            largest,
        }
    }
}
