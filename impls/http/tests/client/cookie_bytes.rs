//! Cookies whose names and values are unusual: without a name, with tabs, with bytes that are not text.

use http::HeaderValue;
use networking_http::{CookieJar, HttpClientBuilder, MemoryHttpClient};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, HttpResponse, StatusCode};
use url::Url;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn sent(jar: &CookieJar, to: &str) -> Vec<u8> {
    let header = jar.header(&url(to));
    header.map_or_else(Vec::new, |value| value.as_bytes().to_vec())
}

/// Each row: the `Set-Cookie` headers of one host, and the `Cookie` header of the next request.
#[tokio::test]
async fn what_a_server_sets_is_what_it_gets_back() {
    let rows: &[(&[&[u8]], &[u8])] = &[
        (&[b"=value"], b"value"),
        (&[b"value"], b"value"),
        (&[b" \t=\t value \t; Path=/"], b"value"),
        (&[b"a b c"], b"a b c"),
        (&[b"==a"], b"=a"),
        (&[b"=a=b"], b"a=b"),
        (&[b"name="], b"name="),
        (&[b"; Path=/"], b""),
        (&[b"="], b""),
        // All cookies without a name have the same name.
        (&[b"=one", b"two"], b"two"),
        (&[b"=one", b"name=1", b"=two"], b"two; name=1"),
        (&[b"=one; Path=/", b"=two; Path=/dir"], b"two; one"),
        (&[b"gone", b"=; Max-Age=0"], b"gone"),
        (&[b"gone", b"=x; Max-Age=0"], b""),
        (&[b"a=x\ty", b"\tb\t=\tz\t"], b"a=x\ty; b=z"),
        (&[b"a\tb=c"], b"a\tb=c"),
        (&[b"a=\"x;y\"", b"b=\"z\""], b"a=\"x; b=\"z\""),
        (&[b"a=1,b=2"], b"a=1,b=2"),
        (&[b"a=%20%xx+\\"], b"a=%20%xx+\\"),
        (&["a=\u{e4}\u{2603}".as_bytes()], "a=\u{e4}\u{2603}".as_bytes()),
        (&[b"\xe4=\xf6", b"b=\x80\xff"], b"\xe4=\xf6; b=\x80\xff"),
        (&[b"\xa0a\xa0=\xa0b\xa0"], b"\xa0a\xa0=\xa0b\xa0"),
        (&[b"\xff"], b"\xff"),
        // Names are compared byte for byte.
        (
            &[b"\xe4=1", "\u{e4}=2".as_bytes(), b"\xc4=3"],
            b"\xe4=1; \xc3\xa4=2; \xc4=3",
        ),
        (&[b"\xe4=1", b"\xe4=2"], b"\xe4=2"),
        (&[b"a=1; Path=/\xe4"], b""),
        (&[b"a=1; \xff=\xff; Comment=\xe4"], b"a=1"),
        // No part of a cookie with a control character is used.
        (&[b"a=1\x0bb", b"a=1; Path=/\x1f", b"\x7fa=1", b"a=1\0", b"b=2"], b"b=2"),
    ];
    for (set, expected) in rows {
        let jar = CookieJar::new();
        for cookie in *set {
            // Some of them are refused.
            let _ = jar.set(&url("https://a.test/dir/file"), cookie);
        }
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let found = sent(&jar, "https://a.test/dir/file");
        assert_eq!(
            shown(&found),
            shown(expected),
            "{:?}",
            set.iter().map(|set| shown(set)).collect::<Vec<_>>()
        );

        // The same after an export, which is JSON and therefore UTF-8.
        let restored = CookieJar::new();
        restored.import_json(&jar.export_json().unwrap()).unwrap();
        assert_eq!(shown(&sent(&restored, "https://a.test/dir/file")), shown(expected));
        assert_eq!(restored.len(), jar.len());
    }
}

#[tokio::test]
async fn sizes_are_counted_in_bytes() {
    let from = url("https://a.test/");
    let value = "v".repeat(4_095);
    for (cookie, accepted) in [
        (format!("n={value}"), true),
        (format!("nn={value}"), false),
        (format!("={value}v"), true),
        (format!("{value}vv"), false),
        (format!("n= {value} ; Path=/"), true),
        (format!("n={}", "\u{e4}".repeat(2_047)), true),
        (format!("n={}", "\u{e4}".repeat(2_048)), false),
    ] {
        let jar = CookieJar::new();
        let result = jar.set(&from, &cookie);
        assert_eq!(result.is_ok(), accepted, "{}", cookie.len());
        if let Err(error) = result {
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("cookie")));
        }
    }
    // An attribute with a long value is ignored, the cookie is not.
    let jar = CookieJar::new();
    let long = "x".repeat(1_025);
    for cookie in [
        format!("path=1; Path=/{long}"),
        format!("domain=1; Domain={long}.test"),
        format!("unknown=1; x={long}; y={}", long.repeat(20)),
        format!("age=1; Max-Age=-{long}"),
        format!("expires=1; Expires=1 Jan 1970 00:00:00 {long}"),
    ] {
        jar.set(&from, cookie).unwrap();
    }
    assert_eq!(
        sent(&jar, "https://a.test/"),
        b"path=1; domain=1; unknown=1; age=1; expires=1"
    );
}

#[tokio::test]
async fn bytes_pass_through_a_client() {
    let memory = MemoryHttpClient::serving(|_| async {
        let mut response = HttpResponse::new(StatusCode::OK);
        for cookie in [
            &b"latin=caf\xe9; Path=/"[..],
            b"nameless\xff",
            b"bad=\xe9; Domain=other.test",
        ] {
            let value = HeaderValue::from_bytes(cookie).unwrap();
            response.headers.append("set-cookie", value);
        }
        Ok(response)
    });
    let jar = CookieJar::new();
    let client = HttpClientBuilder::over(memory.clone())
        .cookies(jar.clone())
        .build()
        .unwrap();
    client.get("https://a.test/").await.unwrap();
    client.get("https://a.test/").await.unwrap();
    // Cookies of the request take precedence, whatever their bytes are.
    let own = HeaderValue::from_bytes(b" mine=\xfc; ; none ").unwrap();
    client.get("https://a.test/").header("cookie", own).await.unwrap();
    let received = memory.received();
    let cookie = |index: usize| {
        received[index]
            .headers
            .get("cookie")
            .map(|value| value.as_bytes().to_vec())
    };
    assert_eq!(cookie(0), None);
    assert_eq!(cookie(1).unwrap(), b"latin=caf\xe9; nameless\xff");
    assert_eq!(cookie(2).unwrap(), b"mine=\xfc; ; none; latin=caf\xe9");
    assert_eq!(jar.len(), 2);
}

#[tokio::test]
async fn forged_bytes_are_not_imported() {
    let jar = CookieJar::new();
    jar.set(&url("https://a.test/"), b"a=\xe9; Secure; HttpOnly").unwrap();
    let good = jar.export_json().unwrap();
    let base64 = "YT3pOyBIdHRwT25seTsgU2VjdXJl";
    assert!(good.contains(base64), "{good}");
    // A line break in the value; a name prefix without its conditions; invalid base64; a path without a leading slash.
    for (old, new) in [
        (base64, "YT3pDQpi"),
        (base64, "X19Ib3N0LWE96Q=="),
        (base64, "PV9fSG9zdC1h6Q=="),
        (base64, "%"),
        ("[\"/\"", "[\"x\""),
    ] {
        let forged = good.replace(old, new);
        assert_ne!(forged, good);
        assert_eq!(CookieJar::new().import_json(&forged).unwrap(), 0, "{forged}");
    }
    // The layout of other programs.
    let other = r#"[{"raw_cookie":"a=1; HttpOnly; SameSite=Lax; Secure; Path=/x; Domain=b.test; Max-Age=5",
        "path":["/x",true],"domain":{"Suffix":"b.test"},"expires":{"AtUtc":"9999-12-31T23:59:59Z"}},
        {"raw_cookie":"c=2","path":["/",false],"domain":{"HostOnly":"b.test"},"expires":"SessionEnd"}]"#;
    let jar = CookieJar::new();
    assert_eq!(jar.import_json(other).unwrap(), 2);
    assert_eq!(sent(&jar, "https://b.test/x"), b"a=1; c=2");
    assert_eq!(sent(&jar, "http://www.b.test/x"), b"");
}
