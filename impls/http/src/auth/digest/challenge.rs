//! Digest challenges in `WWW-Authenticate` headers (RFC 9110, section 11.6.1; RFC 7616, section 3.3).
//!
//! The parser works on bytes, because a realm need not be text. It skips what it cannot read, so that a broken challenge, or one
//! of another scheme, does not affect the others.

use http::{HeaderMap, header};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::marks::is_token_byte;

/// The longest header that is parsed, in bytes.
const MAX_HEADER: usize = 8 << 10;

/// The maximum number of challenges that are tried in all headers of a response.
const MAX_CHALLENGES: usize = 32;

/// The hash function of a challenge. Later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hash {
    Md5,
    Sha256,
    Sha512Trunc256,
}

impl Hash {
    /// The hexadecimal hash of the parts, joined by colons.
    pub(super) fn of(self, parts: &[&[u8]]) -> String {
        let data = parts.join(&b':');
        match self {
            Self::Md5 => hex::encode(Md5::digest(data)),
            Self::Sha256 => hex::encode(Sha256::digest(data)),
            Self::Sha512Trunc256 => hex::encode(Sha512_256::digest(data)),
        }
    }
}

/// What the response to a challenge protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protection {
    /// `auth`: the method and the URI.
    pub(super) request: bool,
    /// `auth-int`: also the body.
    pub(super) body: bool,
}

/// A challenge with an algorithm that is supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) realm: Value,
    pub(super) nonce: Value,
    pub(super) opaque: Option<Value>,
    pub(super) hash: Hash,
    /// Whether the session key depends on the client nonce (`-sess`).
    pub(super) session: bool,
    /// The algorithm as the server wrote it. `None`: the server named none, which means MD5.
    pub(super) algorithm: Option<Vec<u8>>,
    /// `None`: the server named none, as in RFC 2069.
    pub(super) qop: Option<Protection>,
    /// Whether the user name is sent as a hash.
    pub(super) hashed_user: bool,
    /// Whether only the nonce of the request before was wrong.
    pub(super) stale: bool,
}

/// A value, and how it is written within quotation marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) quoted: Vec<u8>,
}

impl Value {
    fn from_token(token: &[u8]) -> Self {
        Self {
            bytes: token.to_vec(),
            quoted: escaped(token),
        }
    }

    /// From the text between the quotation marks.
    fn from_quoted(quoted: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(quoted.len());
        let mut rest = quoted.iter();
        while let Some(byte) = rest.next() {
            let byte = if *byte == b'\\' { rest.next() } else { Some(byte) };
            bytes.extend(byte);
        }
        Self {
            bytes,
            quoted: quoted.to_vec(),
        }
    }

    fn is(&self, text: &str) -> bool {
        self.bytes.trim_ascii().eq_ignore_ascii_case(text.as_bytes())
    }
}

/// `text` as it is written within quotation marks.
pub(super) fn escaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

/// The digest challenges of a response that are complete and supported, in their order.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut left = MAX_CHALLENGES;
    let mut found = Vec::new();
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        if value.len() <= MAX_HEADER {
            parse(value.as_bytes(), &mut left, &mut found);
        }
    }
    found
}

fn parse(text: &[u8], left: &mut usize, found: &mut Vec<Challenge>) {
    let mut reader = Reader { text, at: 0 };
    loop {
        reader.skip_separators();
        let start = reader.at;
        if start == text.len() || *left == 0 {
            return;
        }
        *left -= 1;
        match reader.challenge() {
            Some((scheme, parameters)) if scheme.eq_ignore_ascii_case(b"digest") => {
                found.extend(Challenge::from_parameters(&parameters));
            }
            Some(_) => {}
            // The quotation marks of a broken challenge mean nothing, so that the next one can begin within them.
            None => match next_digest(text, start + 1) {
                Some(next) => reader.at = next,
                None => return,
            },
        }
    }
}

/// Where a digest challenge may begin after `start`.
fn next_digest(text: &[u8], start: usize) -> Option<usize> {
    let word = b"digest";
    (start..text.len()).find(|at| {
        let (before, after) = (text[at - 1], text.get(at + word.len()));
        matches!(before, b',' | b' ' | b'\t')
            && matches!(after, Some(b' ' | b'\t'))
            && text[*at..at + word.len()].eq_ignore_ascii_case(word)
    })
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

type Parameters<'t> = Vec<(&'t [u8], Value)>;

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take_while(&mut self, accepted: impl Fn(u8) -> bool) -> &'t [u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| accepted(**byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks(&mut self) -> bool {
        !self.take_while(is_blank).is_empty()
    }

    fn skip_separators(&mut self) {
        self.take_while(|byte| is_blank(byte) || byte == b',');
    }

    /// A scheme and its parameters. `None` if they are not well-formed.
    fn challenge(&mut self) -> Option<(&'t [u8], Parameters<'t>)> {
        let scheme = self.take_while(is_token_byte);
        if scheme.is_empty() || !(self.skip_blanks() || matches!(self.peek(), None | Some(b','))) {
            return None;
        }
        let mut parameters = Parameters::new();
        let mut first = self.peek() != Some(b',');
        loop {
            self.skip_separators();
            let start = self.at;
            let name = self.take_while(is_token_byte);
            self.skip_blanks();
            match self.peek() {
                Some(b'=') if !name.is_empty() => {
                    self.at += 1;
                    self.skip_blanks();
                    let value = self.value()?;
                    parameters.push((name, value));
                }
                // One token instead of parameters, as for Negotiate.
                _ if first && !name.is_empty() && matches!(self.peek(), None | Some(b',')) => {}
                // Neither a parameter nor a scheme.
                _ if first && name.is_empty() && start < self.text.len() => {
                    self.take_while(|byte| byte != b',' && byte != b'"');
                    if self.peek() == Some(b'"') {
                        return None;
                    }
                }
                // The next challenge, or the end.
                _ => {
                    self.at = start;
                    return Some((scheme, parameters));
                }
            }
            first = false;
        }
    }

    fn value(&mut self) -> Option<Value> {
        if self.peek() != Some(b'"') {
            // Some servers omit the quotation marks around values that are no tokens.
            let token = self.take_while(|byte| !is_blank(byte) && byte != b',' && byte != b'"');
            return (self.peek() != Some(b'"')).then(|| Value::from_token(token));
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let value = Value::from_quoted(&self.text[start..self.at]);
        self.at += 1;
        matches!(self.peek(), None | Some(b',' | b' ' | b'\t')).then_some(value)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl Challenge {
    /// `None` for a challenge that is incomplete, ambiguous or not supported.
    fn from_parameters(parameters: &Parameters<'_>) -> Option<Self> {
        let used = ["realm", "nonce", "opaque", "algorithm", "qop", "userhash"];
        let [realm, nonce, opaque, algorithm, qop, userhash] = used.map(|wanted| {
            let mut values = parameters
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
                .map(|(_, value)| value);
            (values.next(), values.next())
        });
        let once = |(first, second): (Option<_>, Option<_>)| second.is_none().then_some(first);
        let algorithm = once(algorithm)?.map(|value| value.bytes.trim_ascii());
        let (hash, session) = match algorithm {
            Some(name) => algorithm_of(name)?,
            None => (Hash::Md5, false),
        };
        Some(Self {
            realm: once(realm)??.clone(),
            nonce: once(nonce)??.clone(),
            opaque: once(opaque)?.cloned(),
            hash,
            session,
            algorithm: algorithm.map(<[u8]>::to_vec),
            qop: match once(qop)? {
                Some(list) => protection(&list.bytes)?,
                None => None,
            },
            hashed_user: once(userhash)?.is_some_and(|value| value.is("true")),
            stale: parameters
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case(b"stale") && value.is("true")),
        })
    }
}

fn algorithm_of(name: &[u8]) -> Option<(Hash, bool)> {
    let name = name.to_ascii_lowercase();
    let (base, session) = match name.strip_suffix(b"-sess") {
        Some(base) => (base, true),
        None => (&name[..], false),
    };
    let hash = match base {
        b"md5" => Hash::Md5,
        b"sha-256" => Hash::Sha256,
        b"sha-512-256" => Hash::Sha512Trunc256,
        _ => return None,
    };
    Some((hash, session))
}

/// The protections of a `qop` list. `Some(None)` for an empty list, `None` for a list without a known protection.
#[allow(clippy::option_option, reason = "an empty list is like no list")]
fn protection(list: &[u8]) -> Option<Option<Protection>> {
    let mut names = list
        .split(|byte| is_blank(*byte) || *byte == b',')
        .filter(|name| !name.is_empty())
        .peekable();
    if names.peek().is_none() {
        return Some(None);
    }
    let mut known = Protection {
        request: false,
        body: false,
    };
    for name in names {
        known.request |= name.eq_ignore_ascii_case(b"auth");
        known.body |= name.eq_ignore_ascii_case(b"auth-int");
    }
    (known.request || known.body).then_some(Some(known))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_bytes(value).unwrap());
        }
        challenges(&headers)
    }

    /// The realms of the challenges that are usable.
    fn realms(values: &[&str]) -> Vec<String> {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let realm = |challenge: Challenge| String::from_utf8(challenge.realm.bytes).unwrap();
        read(&values).into_iter().map(realm).collect()
    }

    const GOOD: &str = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";

    #[test]
    fn algorithms_are_compared_without_case_and_may_be_quoted() {
        for (written, hash, session) in [
            ("MD5", Hash::Md5, false),
            ("md5", Hash::Md5, false),
            ("MD5-SESS", Hash::Md5, true),
            ("Md5-Sess", Hash::Md5, true),
            ("\"MD5\"", Hash::Md5, false),
            ("sha-256", Hash::Sha256, false),
            ("\"Sha-256-sess\"", Hash::Sha256, true),
            ("\"S\\HA-256\"", Hash::Sha256, false),
            ("sha-512-256", Hash::Sha512Trunc256, false),
            ("SHA-512-256-SESS", Hash::Sha512Trunc256, true),
        ] {
            let text = format!("{GOOD}, ALGORITHM = {written}");
            let challenge = read(&[text.as_bytes()]).remove(0);
            assert_eq!((challenge.hash, challenge.session), (hash, session), "{written}");
            let token = written.replace(['"', '\\'], "");
            assert_eq!(challenge.algorithm.as_deref(), Some(token.as_bytes()));
        }
        let challenge = read(&[GOOD.as_bytes()]).remove(0);
        assert_eq!((challenge.hash, challenge.algorithm), (Hash::Md5, None));
        for unknown in [
            "SHA",
            "SHA-1",
            "SHA256",
            "SHA-512",
            "token",
            "\"\"",
            "MD5-sess-sess",
            "-sess",
            "MD5,",
            "",
        ] {
            let text = format!("{GOOD}, algorithm={unknown}");
            let known = read(&[text.as_bytes()]);
            // A comma ends the value.
            assert_eq!(known.len(), usize::from(unknown == "MD5,"), "{unknown}");
        }
    }

    #[test]
    fn lists_of_protections_have_any_spacing_and_case() {
        for (written, request, body) in [
            ("\"auth\"", true, false),
            ("auth", true, false),
            ("\"AUTH\"", true, false),
            ("\"auth,auth-int\"", true, true),
            ("\" auth-int ,\tAuth \"", true, true),
            ("\",,auth,\"", true, false),
            ("\"auth auth-int\"", true, true),
            ("\"auth-conf, Auth-Int\"", false, true),
            ("auth-int", false, true),
        ] {
            let text = format!("Digest realm=\"r\", nonce=\"n\", qop={written}");
            let challenge = read(&[text.as_bytes()]).remove(0);
            assert_eq!(challenge.qop, Some(Protection { request, body }), "{written}");
        }
        for none in ["", ", qop=\"\"", ", qop=\" , \"", ", qop="] {
            let text = format!("Digest realm=\"r\", nonce=\"n\"{none}");
            assert_eq!(read(&[text.as_bytes()]).remove(0).qop, None, "{none}");
        }
        assert_eq!(realms(&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\""]), [""; 0]);
    }

    #[test]
    fn values_are_kept_byte_for_byte() {
        let text = b"Digest realm=\"caf\xe9 \\\"\\x\\\\ \xff\", nonce=\"a\\b==\", opaque=\"\", qop=auth";
        let challenge = read(&[text]).remove(0);
        assert_eq!(challenge.realm.bytes, b"caf\xe9 \"x\\ \xff");
        assert_eq!(challenge.realm.quoted, b"caf\xe9 \\\"\\x\\\\ \xff");
        assert_eq!(
            (&challenge.nonce.bytes[..], &challenge.nonce.quoted[..]),
            (&b"ab=="[..], &b"a\\b=="[..])
        );
        assert_eq!(challenge.opaque, Some(Value::default()));
        let text = b"Digest realm=caf\xe9\\,nonce=YWJj/+==,qop=auth";
        let challenge = read(&[text]).remove(0);
        assert_eq!(
            (&challenge.realm.bytes[..], &challenge.realm.quoted[..]),
            (&b"caf\xe9\\"[..], &b"caf\xe9\\\\"[..])
        );
        assert_eq!(challenge.nonce.bytes, b"YWJj/+==");
    }

    #[test]
    fn unknown_parameters_and_odd_spacing_are_accepted() {
        for text in [
            "digest realm=\"r\",nonce=\"n\"",
            "DIGEST\trealm = \"r\" ,\t, NONCE\t=\tn,",
            "Digest   realm=r, nonce=n",
            "Digest realm=\"r\" nonce=\"n\"",
            ", ,Digest realm=\"r\", nonce=\"n\", ,",
            "Digest realm=\"r\", domain=\"/a /b\", nonce=\"n\", opaque=\"o\", stale=TRUE, charset=UTF-8, x-new=\"a, b\", y=1",
            "Digest stale=\"false\", realm=\"r\", stale=true, nonce=\"n\"",
            "Digest userhash=True, realm=\"r\", nonce=\"n\"",
            "Digest userhash=\"false\", realm=\"r\", nonce=\"n\"",
        ] {
            let read = read(&[text.as_bytes()]);
            assert_eq!(read.len(), 1, "{text}");
            assert_eq!(
                (&read[0].realm.bytes[..], &read[0].nonce.bytes[..]),
                (&b"r"[..], &b"n"[..]),
                "{text}"
            );
            assert_eq!(read[0].hashed_user, text.contains("userhash=True"), "{text}");
        }
    }

    #[test]
    fn other_and_broken_challenges_do_not_affect_a_good_one() {
        for other in [
            "Negotiate",
            "Negotiate YWJjZA==",
            "NTLM TlRMTVNTUAACAAAADAAMADAAAAABAoEAASNFZ4mrze8AAAAAAAAAAA==",
            "Basic realm=\"x\"",
            "Basic realm=\"Digest realm=\\\"x\\\", nonce=\\\"y\\\"\"",
            "Bearer",
            "Bearer realm=\"a, b\", error=\"invalid_token\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest nonce=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=WHIRLPOOL",
            "Digest realm=\"x\", nonce=\"y\", qop=\"unknown\"",
            "Digest realm=\"x\", realm=\"y\", nonce=\"z\"",
            "Digest realm=\"x\"y, nonce=\"z\"",
            "Digest realm=x\"y\", nonce=\"z\"",
            "Digest realm=\"x\", =, nonce=\"z\"",
            "Digest realm=\"x\", \"nonce\"=\"z\"",
            "Digest =x",
            "Digest ;;;",
            "Digest {\"realm\": \"x\"}",
            "@!()",
            "\"",
            "\u{e4}\u{f6}",
        ] {
            assert_eq!(realms(&[other]), [""; 0], "{other}");
            assert_eq!(realms(&[other, GOOD]), ["r"], "{other}");
            assert_eq!(realms(&[GOOD, other]), ["r"], "{other}");
            assert_eq!(realms(&[&format!("{GOOD}, {other}")]), ["r"], "{other}");
            assert_eq!(realms(&[&format!("{other}, {GOOD}")]), ["r"], "{other}");
        }
        for open in [
            "Basic realm=\"x",
            "Digest realm=\"x, nonce=\"y",
            "Digest realm=\"x\\",
            "Foo a=\"b\\\"",
        ] {
            assert_eq!(realms(&[open, GOOD]), ["r"], "{open}");
            assert_eq!(realms(&[&format!("{GOOD}, {open}")]), ["r"], "{open}");
            assert_eq!(realms(&[&format!("{open}, {GOOD}")]), ["r"], "{open}");
        }
        assert_eq!(
            realms(&[&format!("{GOOD}, {}", GOOD.replace("\"r\"", "\"s\""))]),
            ["r", "s"]
        );
    }

    #[test]
    fn the_work_is_bounded() {
        assert_eq!(realms(&[&format!("{GOOD}, x=\"{}\"", "x".repeat(9_000))]), [""; 0]);
        let many = "Digest a=\"b, ".repeat(600);
        assert_eq!(realms(&[&many, &many, GOOD]), [""; 0]);
        assert_eq!(realms(&[GOOD; 40]).len(), MAX_CHALLENGES);
    }
}
