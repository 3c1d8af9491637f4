//! httpbin: requests as a server sees them, and responses of all kinds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_http::layer::{Credentials, RedirectPolicy};
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    HttpBody, HttpClient, HttpClientExt, HttpExtended, HttpRequest, HttpResponse, Method, RequestOptions, RetryPolicy,
    header,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use serde_json::{Value, json};

use super::backend::Live;

const MIB: usize = 1 << 20;

pub(crate) async fn every_method_arrives(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let echo: Value = client
            .build(method.clone(), "/anything/a/b")
            .await?
            .error_for_status()?
            .json()
            .await?;
        check_eq!(echo["method"], method.as_str(), "the method as the server saw it");
    }
    let head = client.head("/get").await?;
    check_eq!(head.status, 200, "HEAD");
    check!(head.bytes().await?.is_empty(), "a HEAD has no body");
    let options = client.options("/get").await?;
    let allowed = options.headers[header::ALLOW].to_str().unwrap_or_default().to_owned();
    check!(
        allowed.contains("GET") && allowed.contains("HEAD"),
        "allowed: {allowed}"
    );
    Ok(())
}

pub(crate) async fn queries_and_headers_arrive_as_they_are(live: Arc<Live>) -> CaseResult {
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .default_header("x-of-client", "default")
        .build()?;
    let echo: Value = client
        .get("/anything?kept=1")
        .query_pair("text", "blue & green = größe / 水")
        .query_pair("text", "+ %2B #?")
        .header("x-of-request", "  inner  spaces ")
        .await?
        .json()
        .await?;
    check_eq!(echo["args"]["kept"], "1", "the query of the URL");
    check_eq!(
        echo["args"]["text"],
        json!(["blue & green = größe / 水", "+ %2B #?"]),
        "repeated parameters"
    );
    check_eq!(echo["headers"]["X-Of-Client"], "default", "a default header");
    check_eq!(
        echo["headers"]["X-Of-Request"].as_str().map(str::trim),
        Some("inner  spaces"),
        "a header of the request"
    );
    let echo: Value = client
        .get("/headers")
        .header("x-of-client", "own")
        .await?
        .json()
        .await?;
    check_eq!(
        echo["headers"]["X-Of-Client"],
        "own",
        "the header of the request takes precedence"
    );
    Ok(())
}

pub(crate) async fn forms_and_json_are_understood(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let fields = [("name", "Ada & Grace"), ("plus", "1+1=2"), ("empty", ""), ("水", "ä")];
    let echo: Value = client.post("/post").form(fields).await?.json().await?;
    check_eq!(
        echo["form"],
        json!({"name": "Ada & Grace", "plus": "1+1=2", "empty": "", "水": "ä"}),
        "the form"
    );
    let value = json!({"n": 1.5, "deep": [{"null": null}], "text": "\u{1F980} \"quoted\""});
    let echo: Value = client.put("/put").json(&value).await?.json().await?;
    check_eq!(echo["json"], value, "the JSON body");
    check_eq!(echo["headers"]["Content-Type"], "application/json", "its type");
    Ok(())
}

pub(crate) async fn a_mebibyte_is_uploaded(live: Arc<Live>) -> CaseResult {
    let body = pattern(MIB);
    let echo: Value = live.httpbin()?.post("/post").body(body.clone()).await?.json().await?;
    check!(
        echo["data"].as_str().is_some_and(|data| data.as_bytes() == body),
        "the upload came back changed"
    );
    check_eq!(
        echo["headers"]["Content-Length"],
        MIB.to_string(),
        "the announced length"
    );
    Ok(())
}

pub(crate) async fn a_stream_of_unknown_length_is_uploaded(live: Arc<Live>) -> CaseResult {
    let body = pattern(300_000);
    let pieces: Vec<Bytes> = body.chunks(7_000).map(Bytes::copy_from_slice).collect();
    let upload = HttpBody::stream(stream::iter(pieces).map(Ok).boxed(), None);
    let echo: Value = live.httpbin()?.post("/post").body(upload).await?.json().await?;
    check!(
        echo["data"].as_str().is_some_and(|data| data.as_bytes() == body),
        "the upload came back changed"
    );
    check_eq!(echo["headers"]["Transfer-Encoding"], "chunked", "how it was sent");
    Ok(())
}

pub(crate) async fn compressed_answers_are_decoded(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    for (path, mark) in [("/gzip", "gzipped"), ("/deflate", "deflated"), ("/brotli", "brotli")] {
        let response = client.get(path).await?;
        check!(
            !response.headers.contains_key(header::CONTENT_ENCODING),
            "{path}: the decoded response still has a `Content-Encoding`"
        );
        let answer: Value = response.json().await?;
        check_eq!(answer[mark], true, "{path}");
        let offered = answer["headers"]["Accept-Encoding"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        check!(
            ["gzip", "deflate", "br", "zstd"]
                .iter()
                .all(|coding| offered.contains(coding)),
            "offered: {offered}"
        );
    }
    Ok(())
}

pub(crate) async fn decoding_can_be_left_to_the_caller(live: Arc<Live>) -> CaseResult {
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .decompression(false)
        .build()?;
    for (path, coding, compression) in [
        ("/gzip", "gzip", CompressionType::Gzip),
        ("/deflate", "deflate", CompressionType::Deflate),
        ("/brotli", "br", CompressionType::Brotli),
    ] {
        let response = client.get(path).await?;
        check_eq!(response.headers[header::CONTENT_ENCODING], coding, "{path}");
        let decoded = client.decompress_response(response.bytes().await?, compression).await?;
        check!(
            serde_json::from_slice::<Value>(&decoded).is_ok_and(|answer| answer["method"] == "GET"),
            "{path}: not what httpbin compressed"
        );
    }
    Ok(())
}

pub(crate) async fn decoded_size_is_limited(live: Arc<Live>) -> CaseResult {
    let options = RequestOptions::new().with_max_response_size(100);
    let result = body_of(live.httpbin()?.get("/gzip").options(options).await).await;
    check_error!(result, ErrorKind::TooLarge, "a body above the limit");
    Ok(())
}

pub(crate) async fn redirects_are_followed(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    for path in ["/redirect/3", "/relative-redirect/3", "/absolute-redirect/3"] {
        let response = client.get(path).await?;
        check_eq!(response.status, 200, "{path}");
        check!(
            response.url.as_ref().is_some_and(|url| url.path() == "/get"),
            "{path} ended at {:?}",
            response.url
        );
    }
    let options = RequestOptions::new().with_follow_redirects(false);
    let response = client.get("/redirect/1").options(options).await?;
    check_eq!(response.status, 302, "not followed");
    check_eq!(response.headers[header::LOCATION], "/get", "the location");
    Ok(())
}

pub(crate) async fn redirects_have_an_end(live: Arc<Live>) -> CaseResult {
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .redirects(RedirectPolicy::limited(4))
        .build()?;
    check_eq!(client.get("/redirect/4").await?.status, 200, "as many as are allowed");
    check_error!(client.get("/redirect/5").await, ErrorKind::Redirect, "one too many");
    Ok(())
}

pub(crate) async fn redirects_keep_or_change_the_method(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    for (status, method, data) in [
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "kept"),
        (308, "POST", "kept"),
    ] {
        let echo: Value = client
            .post("/redirect-to")
            .query_pair("url", "/anything")
            .query_pair("status_code", status.to_string())
            .body("kept")
            .await?
            .json()
            .await?;
        check_eq!(echo["method"], method, "after {status}");
        check_eq!(echo["data"], data, "the body after {status}");
    }
    Ok(())
}

pub(crate) async fn statuses_are_answers_or_errors(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let raise = RequestOptions::new().with_raise_for_status(true);
    for (status, kind) in [
        (400, ErrorKind::Status),
        (401, ErrorKind::Authentication),
        (403, ErrorKind::PermissionDenied),
        (404, ErrorKind::NotFound),
        (418, ErrorKind::Status),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Status),
        (503, ErrorKind::Status),
    ] {
        let path = format!("/status/{status}");
        check_eq!(
            client.get(&path).await?.status.as_u16(),
            status,
            "without raise_for_status, a response"
        );
        let error = check_error!(client.get(&path).options(raise.clone()).await, kind, "{status} raised");
        check_eq!(error.status(), Some(status), "the error's status");
    }
    for status in [201, 202, 204] {
        let response = client.post(format!("/status/{status}")).options(raise.clone()).await?;
        check_eq!(response.status.as_u16(), status, "no error");
    }
    Ok(())
}

pub(crate) async fn basic_and_bearer_credentials_are_accepted(live: Arc<Live>) -> CaseResult {
    let with = |credentials| -> Result<_> {
        live.builder()?
            .base_url(&live.servers().httpbin)
            .credentials(credentials)
            .build()
    };
    let right = with(Credentials::basic("ada", "l0ve: lace")?)?;
    let wrong = with(Credentials::basic("ada", "other")?)?;
    for (path, refusal) in [
        ("/basic-auth/ada/l0ve: lace", 401),
        ("/hidden-basic-auth/ada/l0ve: lace", 404),
    ] {
        let answer: Value = right.get(path).await?.error_for_status()?.json().await?;
        check_eq!(answer["authenticated"], true, "{path}");
        check_eq!(
            wrong.get(path).await?.status.as_u16(),
            refusal,
            "{path}, wrong password"
        );
    }
    let bearer = with(Credentials::bearer("t0ken")?)?;
    let answer: Value = bearer.get("/bearer").await?.error_for_status()?.json().await?;
    check_eq!(answer["token"], "t0ken", "the token as the server saw it");
    check_eq!(live.httpbin()?.get("/bearer").await?.status, 401, "without a token");
    Ok(())
}

pub(crate) async fn ranges_are_parts_of_the_whole(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let whole = client.get("/range/4096").await?.bytes().await?;
    check_eq!(whole.len(), 4096, "the whole");
    let mut joined = Vec::new();
    for range in ["bytes=0-999", "bytes=1000-2999", "bytes=3000-"] {
        let part = client.get("/range/4096").header(header::RANGE, range).await?;
        check_eq!(part.status, 206, "{range}");
        joined.extend_from_slice(&part.bytes().await?);
    }
    check!(whole == joined, "the parts are not the whole body");
    let beyond = client
        .get("/range/4096")
        .header(header::RANGE, "bytes=5000-6000")
        .await?;
    check_eq!(beyond.status, 416, "a range beyond the end");
    Ok(())
}

pub(crate) async fn a_slow_body_arrives_whole(live: Arc<Live>) -> CaseResult {
    let response = live.httpbin()?.get("/drip?numbytes=10&duration=1&delay=0").await?;
    check_eq!(response.bytes().await?, "*".repeat(10), "the bytes");
    Ok(())
}

pub(crate) async fn a_slow_head_is_a_timeout(live: Arc<Live>) -> CaseResult {
    let short = Duration::from_millis(200);
    let client = live.httpbin()?;
    let total = RequestOptions::new().with_total_timeout(short);
    let error = check_error!(
        client.get("/delay/3").options(total).await,
        ErrorKind::Timeout,
        "the whole call is limited"
    );
    check_eq!(error.phase(), Some(Phase::Total), "the phase");
    let attempt = RequestOptions::new().with_attempt_timeout(short);
    let error = check_error!(
        client.get("/delay/3").options(attempt).await,
        ErrorKind::Timeout,
        "an attempt is limited"
    );
    check_eq!(error.phase(), Some(Phase::Attempt), "the phase");
    let impatient = live
        .builder_of(live.config().with_read_timeout(short))?
        .base_url(&live.servers().httpbin)
        .build()?;
    let error = check_error!(
        impatient.get("/delay/3").await,
        ErrorKind::Timeout,
        "the time without data is limited"
    );
    check_eq!(error.phase(), Some(Phase::Read), "the phase");
    Ok(())
}

pub(crate) async fn a_slow_body_is_a_timeout(live: Arc<Live>) -> CaseResult {
    let path = "/drip?numbytes=2&duration=6&delay=0";
    let total = RequestOptions::new().with_total_timeout(Duration::from_millis(500));
    let result = body_of(live.httpbin()?.get(path).options(total).await).await;
    let error = check_error!(result, ErrorKind::Timeout, "the limit of the call includes the body");
    check_eq!(error.phase(), Some(Phase::Total), "the phase");
    let impatient = live
        .builder_of(live.config().with_read_timeout(Duration::from_millis(300)))?
        .base_url(&live.servers().httpbin)
        .build()?;
    let result = body_of(impatient.get(path).await).await;
    let error = check_error!(
        result,
        ErrorKind::Timeout,
        "the time without data in the body is limited"
    );
    check_eq!(error.phase(), Some(Phase::Read), "the phase");
    Ok(())
}

pub(crate) async fn entity_tags_are_conditions(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let full = client.get("/etag/v1").await?;
    check_eq!(
        (full.status.as_u16(), &full.headers[header::ETAG]),
        (200, &"v1".parse().unwrap()),
        "the tag"
    );
    let same = client.get("/etag/v1").header(header::IF_NONE_MATCH, "\"v1\"").await?;
    check_eq!(same.status, 304, "not modified");
    check!(same.bytes().await?.is_empty(), "a 304 has no body");
    let other = client.get("/etag/v1").header(header::IF_MATCH, "\"v2\"").await?;
    check_eq!(other.status, 412, "a condition that does not hold");
    Ok(())
}

pub(crate) async fn chunked_answers_are_streamed(live: Arc<Live>) -> CaseResult {
    let response = live.httpbin()?.get("/stream/20").await?;
    check!(response.body.length().is_none(), "the length is known before the end");
    let text = response.text().await?;
    let ids: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).map_or(Value::Null, |line| line["id"].clone()))
        .collect();
    check_eq!(
        ids,
        (0..20).map(Value::from).collect::<Vec<_>>(),
        "one line each, in order"
    );
    Ok(())
}

pub(crate) async fn chunks_have_the_size_asked_for(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let whole = client
        .get("/stream-bytes/100000?seed=7&chunk_size=1000")
        .await?
        .bytes()
        .await?;
    check_eq!(whole.len(), 100_000, "the whole");
    let request = HttpRequest::new(Method::GET, "/stream-bytes/100000?seed=7&chunk_size=1000");
    let stream = client.stream_request(request, 4096).await?;
    let chunks: Vec<Bytes> = stream.chunks.try_collect().await?;
    let (last, full) = chunks.split_last().expect("there are chunks");
    check!(full.iter().all(|chunk| chunk.len() == 4096), "a chunk of another size");
    check_eq!(last.len(), 100_000 % 4096, "the rest");
    check!(chunks.concat() == whole, "the chunks are not the whole body");
    Ok(())
}

pub(crate) async fn text_and_bytes_are_what_was_sent(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let text = client.get("/encoding/utf8").await?.text().await?;
    check!(
        text.contains("Ὕμνος εἰς τὴν Ἐλευθερίαν") || text.contains("∮ E⋅da = Q"),
        "the text is garbled"
    );
    let image = client.get("/image/png").await?;
    check_eq!(image.headers[header::CONTENT_TYPE], "image/png", "the type");
    check!(image.bytes().await?.starts_with(b"\x89PNG\r\n\x1a\n"), "not a PNG");
    check_error!(
        client.get("/image/png").await?.text().await,
        ErrorKind::Decode,
        "an image is not text"
    );
    check_error!(
        client.get("/xml").await?.json::<Value>().await,
        ErrorKind::Decode,
        "XML is not JSON"
    );
    Ok(())
}

pub(crate) async fn repeated_headers_are_kept_apart(live: Arc<Live>) -> CaseResult {
    let response = live.httpbin()?.get("/response-headers?X-Many=a&X-Many=b").await?;
    let values: Vec<_> = response.headers.get_all("x-many").iter().collect();
    check_eq!(values, ["a", "b"], "the values");
    Ok(())
}

pub(crate) async fn failures_are_tried_again(live: Arc<Live>) -> CaseResult {
    let client = live
        .builder()?
        .base_url(&live.servers().httpbin)
        .retry(RetryPolicy::new(3).with_delays(Duration::from_millis(1), Duration::from_millis(2)))
        .build()?;
    check_eq!(client.get("/status/503").await?.status, 503, "the last response");
    check_eq!(client.client_metrics()?.retries, 2, "two more attempts");
    check_eq!(client.post("/status/503").body("x").await?.status, 503, "a POST");
    check_eq!(client.client_metrics()?.retries, 2, "a POST is not retried");
    check_eq!(client.get("/status/404").await?.status, 404, "a client error");
    check_eq!(client.client_metrics()?.retries, 2, "a client error is not retried");
    Ok(())
}

pub(crate) async fn many_at_once_get_their_own_answers(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let answers: BTreeSet<String> = stream::iter(0..200)
        .map(|number| {
            let client = client.clone();
            async move {
                let echo: Value = client
                    .post("/anything")
                    .query_pair("number", number.to_string())
                    .body(format!("body {number}"))
                    .await?
                    .json()
                    .await?;
                Ok::<_, NetworkError>(format!("{} {}", echo["args"]["number"], echo["data"]))
            }
        })
        .buffer_unordered(32)
        .try_collect()
        .await?;
    let expected: BTreeSet<String> = (0..200)
        .map(|number| format!("\"{number}\" \"body {number}\""))
        .collect();
    check!(answers == expected, "responses were mixed up");
    Ok(())
}

pub(crate) async fn connections_are_used_again(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    for number in 0..100 {
        let response = client.put("/put").body(format!("{number}")).await?;
        check_eq!(response.status, 200, "request {number}");
        let echo: Value = response.json().await?;
        check_eq!(echo["data"], number.to_string(), "request {number}");
    }
    Ok(())
}

async fn body_of(response: Result<HttpResponse>) -> Result<Bytes> {
    response?.bytes().await
}

/// Text of this length. A missing part makes a difference.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| b'a' + u8::try_from((index / 26 + index) % 26).unwrap_or_default())
        .collect()
}
