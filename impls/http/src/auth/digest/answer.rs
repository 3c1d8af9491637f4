//! Responses to a challenge (RFC 7616, section 3.4).

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::User;
use super::challenge::{Challenge, escaped};

/// What an extended parameter encodes (RFC 8187, section 3.2.1).
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The part of a request that the response depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Action<'r> {
    pub(super) method: &'r str,
    pub(super) uri: &'r str,
    /// `None` for a body that is not in memory.
    pub(super) body: Option<&'r [u8]>,
}

/// A challenge, and the number of responses to it.
#[derive(Debug)]
pub(super) struct Session {
    challenge: Challenge,
    count: u32,
}

impl Session {
    pub(super) fn new(challenge: Challenge) -> Self {
        Self { challenge, count: 0 }
    }

    pub(super) fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The `Authorization` header, marked sensitive. `None` if the challenge requires a hash of a body that is not in memory, if
    /// its nonce was used too often, or without random numbers.
    pub(super) fn answer(&mut self, user: &User, action: Action<'_>) -> Option<HeaderValue> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        self.answer_with(user, action, &hex::encode(random))
    }

    fn answer_with(&mut self, user: &User, action: Action<'_>, cnonce: &str) -> Option<HeaderValue> {
        let Challenge {
            realm,
            nonce,
            opaque,
            hash,
            algorithm,
            ..
        } = &self.challenge;
        let protection = self.challenge.protection(action)?;
        self.count = self.count.checked_add(1)?;
        let (name, count) = (user.name.as_bytes(), format!("{:08x}", self.count));

        let mut secret = hash.of(&[name, &realm.bytes, user.password.expose().as_bytes()]);
        if self.challenge.session {
            secret = hash.of(&[secret.as_bytes(), &nonce.bytes, cnonce.as_bytes()]);
        }
        let (method, uri) = (action.method.as_bytes(), action.uri.as_bytes());
        let action = match action.body {
            Some(body) if protection == Some("auth-int") => hash.of(&[method, uri, hash.of(&[body]).as_bytes()]),
            _ => hash.of(&[method, uri]),
        };
        let response = match protection {
            Some(qop) => hash.of(&[
                secret.as_bytes(),
                &nonce.bytes,
                count.as_bytes(),
                cnonce.as_bytes(),
                qop.as_bytes(),
                action.as_bytes(),
            ]),
            None => hash.of(&[secret.as_bytes(), &nonce.bytes, action.as_bytes()]),
        };

        let mut fields = Fields(b"Digest ".to_vec());
        if self.challenge.hashed_user {
            fields.quoted("username", hash.of(&[name, &realm.bytes]).as_bytes());
            fields.plain("userhash", b"true");
        } else if name.is_ascii() {
            fields.quoted("username", &escaped(name));
        } else {
            let encoded = utf8_percent_encode(&user.name, EXTENDED);
            fields.plain("username*", format!("UTF-8''{encoded}").as_bytes());
        }
        fields.quoted("realm", &realm.quoted);
        fields.quoted("uri", &escaped(uri));
        fields.quoted("nonce", &nonce.quoted);
        if let Some(algorithm) = algorithm {
            fields.plain("algorithm", algorithm);
        }
        if protection.is_some() {
            fields.plain("nc", count.as_bytes());
        }
        if protection.is_some() || self.challenge.session {
            fields.quoted("cnonce", cnonce.as_bytes());
        }
        if let Some(qop) = protection {
            fields.plain("qop", qop.as_bytes());
        }
        fields.quoted("response", response.as_bytes());
        if let Some(opaque) = opaque {
            fields.quoted("opaque", &opaque.quoted);
        }
        let mut value = HeaderValue::from_bytes(&fields.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Challenge {
    /// The `qop` of the response to this challenge: `Some(None)` for none, `None` if no response is possible.
    #[allow(clippy::option_option, reason = "a challenge may have no list")]
    pub(super) fn protection(&self, action: Action<'_>) -> Option<Option<&'static str>> {
        match self.qop {
            None => Some(None),
            Some(qop) if qop.body && action.body.is_some() => Some(Some("auth-int")),
            Some(qop) if qop.request => Some(Some("auth")),
            Some(_) => None,
        }
    }
}

struct Fields(Vec<u8>);

impl Fields {
    fn plain(&mut self, name: &str, value: &[u8]) {
        if self.0.last() != Some(&b' ') {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(value);
    }

    /// `value` is already escaped.
    fn quoted(&mut self, name: &str, value: &[u8]) {
        self.plain(name, &[b"\"", value, b"\""].concat());
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};

    use super::super::challenge::challenges;
    use super::*;

    const GET: Action<'_> = Action {
        method: "GET",
        uri: "/dir/index.html",
        body: None,
    };

    fn answer(user: (&str, &str), challenge: &[u8], action: Action<'_>, cnonce: &str) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge).unwrap());
        let user = User {
            name: user.0.to_owned(),
            password: user.1.into(),
        };
        let value = Session::new(challenges(&headers).remove(0)).answer_with(&user, action, cnonce);
        value.unwrap().as_bytes().to_vec()
    }

    fn text(user: (&str, &str), challenge: &str, cnonce: &str) -> String {
        String::from_utf8(answer(user, challenge.as_bytes(), GET, cnonce)).unwrap()
    }

    /// RFC 7616, section 3.9.1.
    #[test]
    fn the_rfcs_examples() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("md5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (
                "sha-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let challenge = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            assert_eq!(
                text(("Mufasa", "Circle of Life"), &challenge, cnonce),
                format!(
                    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", algorithm={algorithm}, nc=00000001, \
                     cnonce=\"{cnonce}\", qop=auth, response=\"{response}\", \
                     opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
                )
            );
        }
    }

    /// RFC 2617, section 3.5, whose challenge names no algorithm.
    #[test]
    fn the_example_of_the_older_rfc() {
        let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let answer = text(("Mufasa", "Circle Of Life"), challenge, "0a4f113b");
        assert!(
            answer.contains("response=\"6629fae49393a05397450978507c4ef1\""),
            "{answer}"
        );
        assert!(!answer.contains("algorithm"), "{answer}");
    }

    /// RFC 2069, section 2.4, with the response of its erratum 749.
    #[test]
    fn a_challenge_without_protection() {
        let challenge = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        assert_eq!(
            text(("Mufasa", "CircleOfLife"), challenge, "unused"),
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", uri=\"/dir/index.html\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", response=\"1949323746fe6a43ef61f9606e7febea\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""
        );
        let session = format!("{challenge}, algorithm=MD5-sess");
        let answer = text(("Mufasa", "CircleOfLife"), &session, "needed");
        assert!(
            answer.contains("cnonce=\"needed\"") && !answer.contains("nc="),
            "{answer}"
        );
    }

    /// The challenge of RFC 7616, section 3.9.2.
    #[test]
    fn a_hashed_user_name() {
        let challenge = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8";
        let user = ("J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        let hashed = text(user, &format!("{challenge}, userhash=TRUE"), "c");
        assert!(
            hashed.contains(", userhash=true, ") && !hashed.contains("Doe"),
            "{hashed}"
        );
        let plain = text(user, &format!("{challenge}, userhash=false"), "c");
        assert!(
            plain.starts_with("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, "),
            "{plain}"
        );
        assert!(!plain.contains("userhash"), "{plain}");
        let quoted = text(("a\"b\\c", "p"), challenge, "c");
        assert!(quoted.starts_with("Digest username=\"a\\\"b\\\\c\", "), "{quoted}");
    }

    #[test]
    fn the_realm_is_sent_back_byte_for_byte() {
        let challenge = b"Digest realm=\"caf\xe9 \\\"\\x\", nonce=\"n\", opaque=\"\xff\", qop=\"auth\"";
        let answer = answer(("u", "p"), challenge, GET, "c");
        let has = |part: &[u8]| answer.windows(part.len()).any(|window| window == part);
        assert!(has(b"realm=\"caf\xe9 \\\"\\x\"") && has(b"opaque=\"\xff\""));
        let secret = hex::encode(<md5::Md5 as sha2::Digest>::digest(b"u:caf\xe9 \"x:p"));
        let action = hex::encode(<md5::Md5 as sha2::Digest>::digest(b"GET:/dir/index.html"));
        let expected = <md5::Md5 as sha2::Digest>::digest(format!("{secret}:n:00000001:c:auth:{action}"));
        assert!(has(format!("response=\"{}\"", hex::encode(expected)).as_bytes()));
    }
}
