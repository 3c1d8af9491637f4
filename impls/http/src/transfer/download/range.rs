//! `Content-Range` (RFC 9110, section 14.4).

use std::fmt;

use http::header;
use networking_spi::Result;
use networking_spi::error::context;
use networking_spi::http::HttpResponse;

use super::protocol;

/// The `Content-Range` of a 206.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The total size in bytes; `None` if the server does not know it.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// The range of a 206.
    ///
    /// # Errors
    /// `Protocol` with the header's value if the header is absent, not a byte range, or inconsistent.
    pub(super) fn of(response: &HttpResponse) -> Result<Self> {
        let value = text(response);
        value.and_then(parse).ok_or_else(|| {
            protocol("the range of a partial response is invalid")
                .with_context(context::CONTENT_RANGE, value.unwrap_or("(absent)").to_owned())
        })
    }

    /// The total size in a 416.
    pub(super) fn unsatisfied(response: &HttpResponse) -> Option<u64> {
        text(response)?.strip_prefix("bytes */")?.parse().ok()
    }
}

fn text(response: &HttpResponse) -> Option<&str> {
    Some(response.headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim())
}

fn parse(value: &str) -> Option<ContentRange> {
    let (range, total) = value.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let range = ContentRange {
        first: first.parse().ok()?,
        last: last.parse().ok()?,
        total,
    };
    let sound = range.first <= range.last && range.last < total.unwrap_or(u64::MAX);
    sound.then_some(range)
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        assert_eq!(parse("bytes 5-9/10"), range(5, 9, Some(10)));
        assert_eq!(parse("bytes 0-0/*"), range(0, 0, None));
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes */10",
            "items 5-9/10",
            "bytes -9/10",
            "bytes 5-9/x",
            "bytes 5-99999999999999999999/*",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
