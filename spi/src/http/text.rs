//! Text of response bodies, in the charset that they declare.

use std::borrow::Cow;

use http::{HeaderMap, header};

const UTF_8_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// The body is not text in this charset.
#[derive(Debug)]
pub(super) struct NotText {
    pub(super) charset: &'static str,
}

/// Decodes a body. The charset is that of the byte order mark, else the one of `Content-Type`, else UTF-8. An unknown one is
/// ignored.
pub(super) fn decode(headers: &HeaderMap, bytes: Vec<u8>) -> Result<String, NotText> {
    match label(headers) {
        Some(label) if !bytes.starts_with(UTF_8_MARK) => decode_labelled(label, bytes),
        _ => decode_labelled("utf-8", bytes),
    }
}

/// [`decode`] of a body that is kept.
pub(super) fn decode_ref<'b>(headers: &HeaderMap, bytes: &'b [u8]) -> Result<Cow<'b, str>, NotText> {
    if is_utf8(headers, bytes) {
        let text = std::str::from_utf8(without_mark(bytes));
        return text.map(Cow::Borrowed).map_err(|_| NotText { charset: "UTF-8" });
    }
    decode(headers, bytes.to_vec()).map(Cow::Owned)
}

/// Whether a body is UTF-8 by its byte order mark, or by its headers and without the mark of another charset. For an unknown label
/// the result is `false`, although [`decode`] then reads UTF-8.
pub(super) fn is_utf8(headers: &HeaderMap, bytes: &[u8]) -> bool {
    let by_label =
        label(headers).is_none_or(|label| ["utf-8", "utf8"].iter().any(|known| label.eq_ignore_ascii_case(known)));
    bytes.starts_with(UTF_8_MARK)
        || (by_label && !bytes.starts_with(&[0xFE, 0xFF]) && !bytes.starts_with(&[0xFF, 0xFE]))
}

/// JSON is UTF-8 (RFC 8259, section 8.1), and a parser may ignore a byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes)
}

fn label(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']).trim())
    })
}

fn utf8(mut bytes: Vec<u8>) -> Result<String, NotText> {
    if bytes.starts_with(UTF_8_MARK) {
        bytes.drain(..UTF_8_MARK.len());
    }
    String::from_utf8(bytes).map_err(|_| NotText { charset: "UTF-8" })
}

/// Any label of the WHATWG Encoding standard.
#[cfg(feature = "charset")]
fn decode_labelled(label: &str, bytes: Vec<u8>) -> Result<String, NotText> {
    use encoding_rs::{Encoding, UTF_8};

    let by_label = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let encoding = Encoding::for_bom(&bytes).map_or(by_label, |(encoding, _)| encoding);
    if encoding == UTF_8 {
        return utf8(bytes);
    }
    let (text, used, malformed) = encoding.decode(&bytes);
    if malformed {
        return Err(NotText { charset: used.name() });
    }
    Ok(text.into_owned())
}

/// UTF-8, UTF-16 and Latin-1, as which the WHATWG Encoding standard reads windows-1252.
#[cfg(not(feature = "charset"))]
fn decode_labelled(label: &str, bytes: Vec<u8>) -> Result<String, NotText> {
    const LATIN_1: [&str; 8] = [
        "iso-8859-1",
        "iso8859-1",
        "iso_8859-1",
        "latin1",
        "l1",
        "windows-1252",
        "cp1252",
        "x-cp1252",
    ];

    let is_one_of = |labels: &[&str]| labels.iter().any(|known| label.eq_ignore_ascii_case(known));
    match bytes[..] {
        [0xFF, 0xFE, ..] => return utf16(&bytes[2..], u16::from_le_bytes, "UTF-16LE"),
        [0xFE, 0xFF, ..] => return utf16(&bytes[2..], u16::from_be_bytes, "UTF-16BE"),
        _ => {}
    }
    if is_one_of(&["utf-16", "utf-16le"]) {
        utf16(&bytes, u16::from_le_bytes, "UTF-16LE")
    } else if is_one_of(&["utf-16be"]) {
        utf16(&bytes, u16::from_be_bytes, "UTF-16BE")
    } else if is_one_of(&LATIN_1) {
        Ok(bytes.into_iter().map(windows_1252).collect())
    } else {
        utf8(bytes)
    }
}

#[cfg(not(feature = "charset"))]
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, charset: &'static str) -> Result<String, NotText> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(NotText { charset });
    }
    char::decode_utf16(pairs.map(|pair| unit([pair[0], pair[1]])))
        .collect::<Result<_, _>>()
        .map_err(|_| NotText { charset })
}

/// The characters of the bytes from 0x80 to 0x9F; the others are those of Latin-1.
#[cfg(not(feature = "charset"))]
fn windows_1252(byte: u8) -> char {
    const C1: [char; 32] = [
        '\u{20AC}', '\u{81}', '\u{201A}', '\u{192}', '\u{201E}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2C6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8D}', '\u{17D}', '\u{8F}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201C}', '\u{201D}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2DC}', '\u{2122}', '\u{161}', '\u{203A}',
        '\u{153}', '\u{9D}', '\u{17E}', '\u{178}',
    ];

    match byte {
        0x80..=0x9F => C1[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{NotText, decode};

    fn text(content_type: &'static str, body: &[u8]) -> Result<String, NotText> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        decode(&headers, body.to_vec())
    }

    #[test]
    fn the_mark_precedes_the_header_and_the_header_precedes_utf_8() {
        for (content_type, body, expected) in [
            ("text/plain", &b"\xC3\xBC"[..], "ü"),
            ("text/plain", b"\xEF\xBB\xBF\xC3\xBC", "ü"),
            ("text/plain; charset=\"ISO-8859-1\"", b"\xFC", "ü"),
            ("text/html; version=1; Charset = windows-1252", b"\x80", "€"),
            ("text/plain; charset=iso-8859-1", b"\xEF\xBB\xBF\xC3\xBC", "ü"),
            ("text/plain; charset=utf-16le", b"\xFC\x00", "ü"),
            ("text/plain; charset=iso-8859-1", b"\xFE\xFF\x00\xFC", "ü"),
            ("text/plain; charset=klingon", b"\xC3\xBC", "ü"),
            ("text/plain; charset", b"\xC3\xBC", "ü"),
        ] {
            assert_eq!(text(content_type, body).unwrap(), expected, "{content_type}");
        }
    }

    #[cfg(feature = "charset")]
    #[test]
    fn every_label_is_known() {
        assert_eq!(text("text/plain; charset=shift_jis", b"\x93\xFA").unwrap(), "日");
    }

    #[test]
    fn malformed_text_names_its_charset() {
        for (content_type, body, charset) in [
            ("text/plain", &b"\xFF"[..], "UTF-8"),
            ("text/plain; charset=klingon", b"\xFF", "UTF-8"),
            ("text/plain; charset=utf-16be", b"\xD8\x00\x00", "UTF-16BE"),
        ] {
            assert_eq!(text(content_type, body).unwrap_err().charset, charset, "{content_type}");
        }
    }
}
