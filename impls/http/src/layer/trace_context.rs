//! W3C Trace Context.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use http::HeaderValue;
use networking_spi::{NetworkError, Result};

/// The longest `tracestate` that is sent, in bytes.
const MAX_STATE: usize = 512;
/// The largest number of members of a `tracestate`.
const MAX_MEMBERS: usize = 32;

const SAMPLED: u8 = 1;

/// The trace and the span that a request belongs to (W3C Trace Context). [`TraceClient`](super::TraceClient) sends the context in
/// the extensions of a request.
///
/// ```
/// use networking_http::layer::TraceContext;
///
/// let incoming: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// let incoming = incoming.with_state("congo=t61rcWkgMzE")?;
/// assert!(incoming.is_sampled());
/// assert_eq!(incoming.child().trace_id(), incoming.trace_id());
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    flags: u8,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// A context with these ids.
    pub const fn new(trace_id: NonZeroU128, span_id: NonZeroU64, sampled: bool) -> Self {
        Self {
            trace_id,
            span_id,
            flags: sampled as u8,
            state: None,
        }
    }

    /// The root of a new trace, with random ids.
    pub fn root(sampled: bool) -> Self {
        Self::new(
            NonZeroU128::new(fastrand::u128(1..)).unwrap_or(NonZeroU128::MIN),
            random_span_id(),
            sampled,
        )
    }

    /// A context in the same trace, with a random span id.
    pub fn child(&self) -> Self {
        Self {
            span_id: random_span_id(),
            ..self.clone()
        }
    }

    /// Sets the vendor-specific state (`tracestate`).
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for text that is longer than 512 bytes, or is not a list of up
    /// to 32 `key=value` members.
    pub fn with_state(mut self, state: &str) -> Result<Self> {
        let wrong = |message| NetworkError::invalid_input("tracestate", message);
        if state.len() > MAX_STATE {
            return Err(wrong("is too long"));
        }
        let members: Vec<&str> = state
            .split(',')
            .map(str::trim)
            .filter(|member| !member.is_empty())
            .collect();
        if members.len() > MAX_MEMBERS || !members.iter().all(|member| is_member(member)) {
            return Err(wrong("is not a list of up to 32 key=value members"));
        }
        let value = members.join(",");
        self.state = if value.is_empty() {
            None
        } else {
            Some(HeaderValue::from_str(&value).map_err(|_| wrong("has characters that a header cannot have"))?)
        };
        Ok(self)
    }

    /// The id of the trace.
    pub const fn trace_id(&self) -> NonZeroU128 {
        self.trace_id
    }

    /// The id of the span. It is the parent of the peer's spans.
    pub const fn span_id(&self) -> NonZeroU64 {
        self.span_id
    }

    /// Whether the `sampled` flag is set.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The vendor-specific state (`tracestate`).
    pub const fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }
}

fn random_span_id() -> NonZeroU64 {
    NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN)
}

impl fmt::Display for TraceContext {
    /// The value of `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
            ..
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

impl FromStr for TraceContext {
    type Err = NetworkError;

    /// Parses a `traceparent`. For later versions, only the fields of version 00 are read.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for other text.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| NetworkError::invalid_input("traceparent", "is not a trace context"))
    }
}

fn parse(text: &str) -> Option<TraceContext> {
    let mut fields = text.splitn(5, '-');
    let mut hex = |digits: usize| {
        let field = fields.next()?;
        let fits = field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some(field)
    };
    let version = hex(2)?;
    let trace_id = u128::from_str_radix(hex(32)?, 16).ok()?;
    let span_id = u64::from_str_radix(hex(16)?, 16).ok()?;
    let flags = u8::from_str_radix(hex(2)?, 16).ok()?;
    let more = fields.next().is_some();
    if version == "ff" || (version == "00" && more) {
        return None;
    }
    Some(TraceContext {
        trace_id: NonZeroU128::new(trace_id)?,
        span_id: NonZeroU64::new(span_id)?,
        // The other flags are reserved.
        flags: flags & SAMPLED,
        state: None,
    })
}

fn is_member(member: &str) -> bool {
    member.split_once('=').is_some_and(|(key, value)| {
        let key_starts = key
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let key_goes_on = key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte));
        let value_fits = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=');
        key_starts && key_goes_on && key.len() <= 256 && !value.is_empty() && value.len() <= 256 && value_fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparents_round_trip() {
        for text in [GOOD, "00-00000000000000000000000000000001-0000000000000001-00"] {
            assert_eq!(text.parse::<TraceContext>().unwrap().to_string(), text);
        }
        let later: TraceContext = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-ever"
            .parse()
            .unwrap();
        assert_eq!(later.to_string(), GOOD);
    }

    #[test]
    fn invalid_traceparents_are_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
        ] {
            assert_eq!(
                text.parse::<TraceContext>().unwrap_err().field(),
                Some("traceparent"),
                "{text}"
            );
        }
    }

    #[test]
    fn tracestates_are_lists_of_members() {
        let context: TraceContext = GOOD.parse().unwrap();
        let state = |text: &str| context.clone().with_state(text);
        assert_eq!(state("a=1, b@c=2,,").unwrap().state().unwrap(), "a=1,b@c=2");
        assert_eq!(state("").unwrap().state(), None);
        let many = vec!["a=1"; 33].join(",");
        let long = format!("a={}", "x".repeat(600));
        for wrong in ["a", "=1", "a=", "A=1", "a=b=c", "a=\u{e4}", "a=b\r\nc", &many, &long] {
            assert_eq!(state(wrong).unwrap_err().field(), Some("tracestate"), "{wrong:?}");
        }
    }

    #[test]
    fn children_differ_only_in_their_span_id() {
        let parent = TraceContext::root(true).with_state("a=1").unwrap();
        let child = parent.child();
        assert_ne!(child.span_id(), parent.span_id());
        assert_eq!(
            (child.trace_id(), child.is_sampled(), child.state()),
            (parent.trace_id(), true, parent.state())
        );
    }
}
