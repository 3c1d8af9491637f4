//! Server-sent events: the stream format of the WHATWG HTML standard, section 9.2.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};

use super::{ByteStream, HttpResponse, HttpStream, media_type};
use crate::error::{ErrorKind, NetworkError, Result, SendState, context};
use crate::json;
use crate::validate::{self, Validate};

/// A server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSentEvent {
    /// The event type; `message` if the server does not set one.
    pub event: String,
    /// The lines of data, joined by `\n`.
    pub data: String,
    /// The last event id: the id of this event, or of an earlier one; empty if the server has sent none.
    pub id: String,
}

impl ServerSentEvent {
    /// Decodes the data from JSON.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) if the data is not JSON for `T`.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        json::decode(self.data.as_bytes(), "http.events", "the data of the event")
            .map_err(|error| error.with_context(context::EVENT, self.event.clone()))
    }
}

/// Limits on the memory of an [`EventParser`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventLimits {
    /// The longest line, in bytes.
    pub max_line_bytes: usize,
    /// The largest event, in bytes of data, type and id.
    pub max_event_bytes: usize,
}

impl Default for EventLimits {
    /// 1 MiB per line, 8 MiB per event.
    fn default() -> Self {
        Self {
            max_line_bytes: 1 << 20,
            max_event_bytes: 8 << 20,
        }
    }
}

impl EventLimits {
    /// These limits, in bytes.
    pub const fn new(max_line_bytes: usize, max_event_bytes: usize) -> Self {
        Self {
            max_line_bytes,
            max_event_bytes,
        }
    }
}

impl Validate for EventLimits {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.max_line_bytes > 0, "limits.max_line_bytes", "must be at least 1")?;
        validate::ensure(self.max_event_bytes > 0, "limits.max_event_bytes", "must be at least 1")
    }
}

/// A parser of server-sent events. It stores the bytes that were pushed and not parsed yet, at most one incomplete line,
/// and at most one incomplete event.
///
/// ```
/// use networking_spi::http::{EventLimits, EventParser};
///
/// let mut parser = EventParser::new(EventLimits::default());
/// parser.push("id: 7\ndata: one\ndata: t");
/// assert!(parser.next_event()?.is_none(), "the event is not complete");
/// parser.push("wo\n\n");
/// let event = parser.next_event()?.unwrap();
/// assert_eq!((event.event.as_str(), event.data.as_str(), event.id.as_str()), ("message", "one\ntwo", "7"));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug)]
pub struct EventParser {
    limits: EventLimits,
    /// The bytes that were pushed and not parsed yet.
    pending: Bytes,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// The first line may start with a byte order mark.
    first_line: bool,
    /// Whether the last line ended with CR: a following LF then belongs to its line end.
    after_cr: bool,
    data: String,
    has_data: bool,
    event: String,
    /// The value of the latest `id` field. It becomes the last event id when the event is dispatched.
    id: String,
    last_event_id: String,
    retry: Option<Duration>,
}

impl EventParser {
    /// A parser at the start of a stream.
    pub fn new(limits: EventLimits) -> Self {
        Self {
            limits,
            pending: Bytes::new(),
            line: Vec::new(),
            first_line: true,
            after_cr: false,
            data: String::new(),
            has_data: false,
            event: String::new(),
            id: String::new(),
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Sets the last event id from an earlier connection.
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self.id.clone_from(&self.last_event_id);
        self
    }

    /// Adds the next bytes of the stream, which may be split anywhere. Before the next push, call
    /// [`next_event`](Self::next_event) until it returns `None`: bytes that are not parsed stay in memory.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.pending = if self.pending.is_empty() {
            bytes
        } else {
            [&self.pending[..], &bytes].concat().into()
        };
    }

    /// Returns the next complete event; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) naming the exceeded limit. The parser must not be used afterwards.
    pub fn next_event(&mut self) -> Result<Option<ServerSentEvent>> {
        while !self.pending.is_empty() {
            if std::mem::take(&mut self.after_cr) && self.pending[0] == b'\n' {
                self.pending.advance(1);
                continue;
            }
            let end = self.pending.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = self.pending.split_to(end.unwrap_or(self.pending.len()));
            if self.line.len() + piece.len() > self.limits.max_line_bytes {
                return Err(too_large("max_line_bytes", self.limits.max_line_bytes));
            }
            if end.is_none() {
                self.line.extend_from_slice(&piece);
                break;
            }
            self.after_cr = self.pending.get_u8() == b'\r';
            let event = if self.line.is_empty() {
                self.take_line(&piece)?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&piece);
                self.take_line(&line)?
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// The last event id, for the `Last-Event-ID` of a reconnection; empty if no event had an id.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time that the server has set, if any.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<ServerSentEvent>> {
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            // A comment.
            Some(0) => return Ok(None),
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(&String::from_utf8_lossy(value));
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                // A number that is too large becomes the longest time.
                let millis = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry = Some(Duration::from_millis(millis.unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        if self.data.len() + self.event.len() + self.id.len() > self.limits.max_event_bytes {
            return Err(too_large("max_event_bytes", self.limits.max_event_bytes));
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<ServerSentEvent> {
        self.last_event_id.clone_from(&self.id);
        let mut event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        // An event without a data line is not dispatched.
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        if event.is_empty() {
            event.push_str("message");
        }
        Some(ServerSentEvent {
            event,
            data,
            id: self.last_event_id.clone(),
        })
    }
}

fn too_large(limit: &'static str, bytes: usize) -> NetworkError {
    let message = format!("an event is longer than {bytes} bytes: raise `{limit}` of its `EventLimits`");
    NetworkError::new(ErrorKind::TooLarge, "http.events", message)
        .with_send_state(SendState::Sent)
        .with_context(context::LIMIT, bytes.to_string())
        .with_context(context::SETTING, limit)
}

/// A stream of the events of one response, as they arrive. The stream ends with the response, or after its first error. An
/// incomplete event at the end is discarded. The stream does not reconnect.
///
/// Dropping the stream aborts the transfer. If a future that waits for the next event is dropped, no event is lost.
///
/// ```
/// # use networking_spi::prelude::*;
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let mut events = http.get("https://example.com/prices").header("accept", "text/event-stream").await?.into_events()?;
/// while let Some(event) = events.try_next().await? {
///     println!("{}: {}", event.event, event.data);
/// }
/// # Ok(()) }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct EventStream {
    /// `None` after the end or an error.
    chunks: Option<ByteStream>,
    parser: EventParser,
}

impl EventStream {
    /// Parses the events in `chunks` with `parser`.
    pub fn new(chunks: ByteStream, parser: EventParser) -> Self {
        Self {
            chunks: Some(chunks),
            parser,
        }
    }

    /// Returns the next event; `None` after the end and after an error. The same as the method of futures' `StreamExt`, which
    /// is not needed.
    ///
    /// Cancel safety: if the future is dropped, no event is lost.
    pub async fn next(&mut self) -> Option<Result<ServerSentEvent>> {
        StreamExt::next(self).await
    }

    /// Returns the next event, or the error that ends the stream; `None` after the end. The same as the method of futures'
    /// `TryStreamExt`, which is not needed.
    ///
    /// Cancel safety: if the future is dropped, no event is lost.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) for an event above the [`EventLimits`], and the errors of the transfer.
    pub async fn try_next(&mut self) -> Result<Option<ServerSentEvent>> {
        self.next().await.transpose()
    }

    /// The last event id, for the `Last-Event-ID` of a reconnection; empty if no event had an id.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The reconnection time that the server has set, if any.
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }
}

impl Stream for EventStream {
    type Item = Result<ServerSentEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while let Some(chunks) = &mut this.chunks {
            let failed = match this.parser.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => match ready!(chunks.poll_next_unpin(cx)) {
                    Some(Ok(chunk)) => {
                        this.parser.push(chunk);
                        continue;
                    }
                    Some(Err(error)) => Some(error),
                    None => None,
                },
                Err(error) => Some(error),
            };
            this.chunks = None;
            return Poll::Ready(failed.map(Err));
        }
        Poll::Ready(None)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}

impl HttpResponse {
    /// Reads the body as server-sent events, with the default [`EventLimits`]. The client's response size limit applies to
    /// the whole stream: for an endless stream, set [`max_response_size`](super::RequestOptions::max_response_size) of the
    /// request to `u64::MAX`.
    ///
    /// # Errors
    /// The errors of [`error_for_status`](Self::error_for_status), and [`Protocol`](ErrorKind::Protocol) for a status
    /// other than 200 or a `Content-Type` other than `text/event-stream`.
    pub fn into_events(self) -> Result<EventStream> {
        self.into_events_with(EventParser::new(EventLimits::default()))
    }

    /// Reads the body as server-sent events, with the limits and the last event id of `parser`.
    ///
    /// # Errors
    /// Same as [`into_events`](Self::into_events).
    pub fn into_events_with(self, parser: EventParser) -> Result<EventStream> {
        let response = self.error_for_status()?;
        check_event_stream(response.status, &response.headers)?;
        Ok(EventStream::new(response.into_stream(), parser))
    }
}

impl HttpStream {
    /// Reads the chunks as server-sent events, with the default [`EventLimits`].
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) for a status other than 200 or a `Content-Type` other than `text/event-stream`.
    pub fn into_events(self) -> Result<EventStream> {
        check_event_stream(self.status, &self.headers)?;
        Ok(EventStream::new(self.chunks, EventParser::new(EventLimits::default())))
    }
}

/// Fails unless the response head announces server-sent events.
fn check_event_stream(status: StatusCode, headers: &HeaderMap) -> Result<()> {
    let wrong = |message| {
        NetworkError::new(ErrorKind::Protocol, "http.events", message)
            .with_status(status.as_u16())
            .with_send_state(SendState::Sent)
    };
    if status != StatusCode::OK {
        return Err(wrong("the status of an event stream must be 200"));
    }
    if media_type::of(headers).eq_ignore_ascii_case("text/event-stream") {
        return Ok(());
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    });
    Err(wrong("the content type must be text/event-stream").with_context(context::CONTENT_TYPE, content_type))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn parse(parser: &mut EventParser, chunks: &[&[u8]]) -> Result<Vec<(String, String, String)>> {
        let mut events = Vec::new();
        for chunk in chunks {
            parser.push(chunk.to_vec());
            while let Some(event) = parser.next_event()? {
                events.push((event.event, event.data, event.id));
            }
        }
        Ok(events)
    }

    fn events(text: &str) -> Vec<(String, String, String)> {
        let whole = parse(&mut EventParser::new(EventLimits::default()), &[text.as_bytes()]).unwrap();
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        let bytewise = parse(&mut EventParser::new(EventLimits::default()), &bytes).unwrap();
        assert_eq!(whole, bytewise, "where chunks end does not matter: {text:?}");
        whole
    }

    fn event(name: &str, data: &str, id: &str) -> (String, String, String) {
        (name.to_owned(), data.to_owned(), id.to_owned())
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(
            events("data: YHOO\ndata: +2\ndata: 10\n\n"),
            [event("message", "YHOO\n+2\n10", "")]
        );
        assert_eq!(
            events(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            [
                event("message", "first event", "1"),
                event("message", "second event", ""),
                event("message", " third event", ""),
            ]
        );
        assert_eq!(
            events("data\n\ndata\ndata\n\ndata:"),
            [event("message", "", ""), event("message", "\n", "")]
        );
        assert_eq!(
            events("data:test\n\ndata: test\n\n"),
            [event("message", "test", ""), event("message", "test", "")]
        );
    }

    #[test]
    fn line_ends_marks_and_fields() {
        assert_eq!(
            events("\u{feff}data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\r"),
            [event("message", "a\nb\nc", ""), event("message", "d", "")]
        );
        // Only the first byte order mark is removed. A later one is part of the field name.
        assert_eq!(
            events("\u{feff}\u{feff}data: a\n\ndata: b\n\n"),
            [event("message", "b", "")]
        );
        assert_eq!(
            events("event: add\nid: 5\ndata: x\n\nevent: lost\n\nid: 6\0\ndata: y\n\nDATA: no\nother: no\n\n"),
            [event("add", "x", "5"), event("message", "y", "5")]
        );
        assert_eq!(events("data: cut off\n"), []);
    }

    #[test]
    fn an_id_counts_once_its_event_is_dispatched_and_bytes_that_are_not_text_are_replaced() {
        let mut parser = EventParser::new(EventLimits::default()).with_last_event_id("old");
        let first = parse(&mut parser, &[b"data: a\n\n", b"id: new\ndata: \xFF"]).unwrap();
        assert_eq!(first, [event("message", "a", "old")]);
        assert_eq!(parser.last_event_id(), "old");
        assert_eq!(
            parse(&mut parser, &[b"\n\n"]).unwrap(),
            [event("message", "\u{fffd}", "new")]
        );
        parser.push("id: later\n\n");
        assert_eq!(parser.next_event().unwrap(), None);
        assert_eq!(parser.last_event_id(), "later", "without data, too");
    }

    #[test]
    fn retry_is_digits_only() {
        for (text, expected) in [
            ("retry: 1500\n", Some(Duration::from_millis(1_500))),
            ("retry: 15s\n", None),
            ("retry: -1\n", None),
            ("retry:\n", None),
            (
                "retry: 99999999999999999999999\n",
                Some(Duration::from_millis(u64::MAX)),
            ),
        ] {
            let mut parser = EventParser::new(EventLimits::default());
            parser.push(text);
            assert_eq!(parser.next_event().unwrap(), None);
            assert_eq!(parser.retry(), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_and_events_have_limits() {
        let parser = || EventParser::new(EventLimits::new(10, 16));
        assert_eq!(parse(&mut parser(), &[b"data: 1234\n\n"]).unwrap().len(), 1);
        for chunks in [&[&b"data: 12345\n\n"[..]][..], &[b"data: 1", b"2345"]] {
            let error = parse(&mut parser(), chunks).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            assert!(
                error.to_string().contains("10 bytes: raise `max_line_bytes`"),
                "{error}"
            );
        }
        let error = parse(&mut parser(), &[b"data: 1234\n".repeat(4).as_slice()]).unwrap_err();
        assert!(
            error.to_string().contains("16 bytes: raise `max_event_bytes`"),
            "{error}"
        );
        // Events that were returned no longer count.
        assert_eq!(
            parse(&mut parser(), &[b"data: 1234\n\n".repeat(9).as_slice()])
                .unwrap()
                .len(),
            9
        );
    }

    #[tokio::test]
    async fn a_stream_hands_out_what_came_before_its_error_and_then_ends() {
        let lost = || NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
        let chunks = [Ok(Bytes::from_static(b"data: a\n\ndata: b\n\nda")), Err(lost())];
        let response = HttpResponse::new(StatusCode::OK)
            .with_header("content-type", "Text/Event-Stream; charset=utf-8")
            .unwrap()
            .with_body(super::super::HttpBody::stream(stream::iter(chunks).boxed(), None));
        let items: Vec<_> = response.into_events().unwrap().collect().await;
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].as_ref().unwrap().data, "b");
        assert_eq!(items[2].as_ref().unwrap_err().kind(), ErrorKind::ConnectionClosed);
    }

    #[test]
    fn only_an_event_stream_is_one() {
        let html = HttpResponse::new(StatusCode::OK)
            .with_header("content-type", "text/html")
            .unwrap();
        let error = html.into_events().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("content-type: text/html"), "{error}");
        let kinds = [(204, ErrorKind::Protocol), (404, ErrorKind::NotFound)];
        for (status, kind) in kinds {
            let response = HttpResponse::new(StatusCode::from_u16(status).unwrap());
            assert_eq!(response.into_events().unwrap_err().kind(), kind);
        }
    }
}
