//! Dates of cookies (RFC 6265bis, section 5.1.1): an algorithm that finds time, day, month and year in any order, not a format.

use time::{Date, Month, OffsetDateTime, Time};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// The time that `text` denotes; `None` if it is no date.
pub(super) fn parse(text: &[u8]) -> Option<OffsetDateTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)) {
        if time.is_none()
            && let Some(found) = clock_time(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    if year < 1601 {
        return None;
    }
    let (hour, minute, second) = time?;
    let date = Date::from_calendar_date(i32::from(year), month?, u8::try_from(day?).ok()?).ok()?;
    Some(date.with_time(Time::from_hms(hour, minute, second).ok()?).assume_utc())
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2F | 0x3B..=0x40 | 0x5B..=0x60 | 0x7B..=0x7E)
}

/// `hh:mm:ss`, each of one or two digits, and then nothing that begins with a digit.
fn clock_time(token: &[u8]) -> Option<(u8, u8, u8)> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let mut exact = || {
        let part = parts.next()?;
        let digits = (1..=2).contains(&part.len()) && part.iter().all(u8::is_ascii_digit);
        digits.then(|| number(part, 1..=2)).flatten()
    };
    let (hour, minute) = (exact()?, exact()?);
    let second = number(parts.next()?, 1..=2)?;
    Some((
        u8::try_from(hour).ok()?,
        u8::try_from(minute).ok()?,
        u8::try_from(second).ok()?,
    ))
}

fn month_of(token: &[u8]) -> Option<Month> {
    let start = token.get(..3)?;
    let index = MONTHS
        .iter()
        .position(|month| start.eq_ignore_ascii_case(month.as_bytes()))?;
    Month::try_from(u8::try_from(index + 1).ok()?).ok()
}

/// A number of so many digits at the start of a token, and then nothing that begins with a digit.
fn number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let count = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&count) {
        return None;
    }
    std::str::from_utf8(&token[..count]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::parse;

    #[test]
    fn dates_are_found_in_any_order_and_spelling() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            ("Thu, 1 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"),
            ("6 november 94 8:9:7 PM, whatever", "1994-11-06T08:09:07Z"),
            ("08:49:37 6 1994 NOVEL", "1994-11-06T08:49:37Z"),
            ("01-Jan-69 00:00:00 GMT", "2069-01-01T00:00:00Z"),
            ("2026 Feb 28th 23:59:59Z", "2026-02-28T23:59:59Z"),
            ("Mon, 10-Dec-2007 17:02:24 +0100", "2007-12-10T17:02:24Z"),
            ("Wed, 09 Jun 2021 10:18:14.123 GMT", "2021-06-09T10:18:14Z"),
        ] {
            let date = parse(text.as_bytes()).map(|date| date.format(&Rfc3339).unwrap());
            assert_eq!(date.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_ignored() {
        for text in [
            "",
            "Thu, 01 Jan 1970",
            "01 Jan 1970 24:00:00",
            "01 Jan 1970 00:60:00",
            "01 Jan 1970 00:00:60",
            "30 Feb 2026 00:00:00",
            "0 Jan 2026 00:00:00",
            "32 Jan 2026 00:00:00",
            "01 Jan 1600 00:00:00",
            "01 Jan 20261 00:00:00",
            "01 Jan 2026 00:00",
            "01 Jan 2026 000:00:00",
            "01 Foo 2026 00:00:00",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
