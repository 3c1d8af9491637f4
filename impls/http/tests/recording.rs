//! Recording exchanges to a file, and replaying them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_http::recording::{Cassette, CassetteConfig, CassetteMode, RecordedBody, RecordingClient, ReplayClient};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{
    HttpBody, HttpClient, HttpClientExt, HttpRequest, HttpResponse, Method, RequestOptions, RetryPolicy, StatusCode,
};
use tempfile::TempDir;

const URL: &str = "http://api.test/users";

struct Fixture {
    path: PathBuf,
    _dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("made/users.json");
        Self { path, _dir: dir }
    }

    async fn open(&self, mode: CassetteMode, config: CassetteConfig) -> Cassette {
        Cassette::open(&self.path, mode, config).await.unwrap()
    }

    async fn recording(&self, peer: MemoryHttpClient, config: CassetteConfig) -> RecordingClient<MemoryHttpClient> {
        RecordingClient::new(peer, self.open(CassetteMode::Record, config).await)
    }

    async fn replay(&self) -> (ReplayClient, Cassette) {
        self.replay_with(CassetteConfig::new()).await
    }

    async fn replay_with(&self, config: CassetteConfig) -> (ReplayClient, Cassette) {
        let cassette = self.open(CassetteMode::Replay, config).await;
        (ReplayClient::new(cassette.clone()), cassette)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }
}

fn answering() -> MemoryHttpClient {
    MemoryHttpClient::serving(|_| async { Ok(HttpResponse::new(StatusCode::OK)) })
}

async fn text(client: &impl HttpClient, url: &str) -> String {
    client.get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn recorded_exchanges_are_replayed() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    let created = Reply::new(StatusCode::CREATED)
        .with_header("x-id", "7")
        .unwrap()
        .with_header("link", "<a>")
        .unwrap()
        .with_header("link", "<b>")
        .unwrap()
        .with_json(&serde_json::json!({"name": "Ada"}))
        .unwrap();
    peer.route(Method::POST, "/users", created).unwrap();
    let image = Reply::ok().with_body(vec![0xff, 0xd8, 0x00]);
    peer.route(Method::GET, "/users/7/image", image).unwrap();
    let recorder = fixture.recording(peer, CassetteConfig::new()).await;
    let parts = ["{\"name\": ", "\"Ada\"}"].map(|part| Ok(Bytes::from_static(part.as_bytes())));
    let streamed = HttpBody::stream(stream::iter(parts).boxed(), None);
    let request = HttpRequest::new(Method::POST, URL).with_body(streamed);
    assert_eq!(recorder.request(request).await.unwrap().status, 201);
    recorder.get("http://api.test/users/7/image").await.unwrap();

    let (client, cassette) = fixture.replay().await;
    assert_eq!(cassette.unused().len(), 2);
    let json = serde_json::json!({"name": "Ada"});
    let response = client.post(URL).json(&json).await.unwrap();
    assert_eq!(
        (response.status, response.url.as_ref().unwrap().as_str()),
        (StatusCode::CREATED, URL)
    );
    assert_eq!(response.headers["x-id"], "7");
    assert_eq!(response.headers.get_all("link").iter().count(), 2);
    assert_eq!(response.text().await.unwrap(), r#"{"name":"Ada"}"#);
    let error = cassette.verify_all_used().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("GET http://api.test/users/7/image"),
        "{error}"
    );
    let image = client.get("http://api.test/users/7/image").await.unwrap();
    assert_eq!(image.bytes().await.unwrap(), &[0xff, 0xd8, 0x00][..]);
    cassette.verify_all_used().unwrap();
    assert!(matches!(&cassette.exchanges()[1].response.body, RecordedBody::Base64(text) if text == "/9gA"));
}

#[tokio::test]
async fn no_secret_reaches_the_file() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    let reply = Reply::ok()
        .with_header("set-cookie", "session=s3cr3t")
        .unwrap()
        .with_header("location", "/next?access_token=s3cr3t&page=2")
        .unwrap()
        .with_header("x-tenant", "s3cr3t")
        .unwrap()
        .with_json(&serde_json::json!({
            "access_token": "s3cr3t", "user": [{"email": "s3cr3t", "code": 7, "note": "plain"}], "filtered": "s3cr3t",
        }))
        .unwrap();
    peer.route(Method::POST, "/users", reply).unwrap();
    let config = || {
        CassetteConfig::new()
            .redact_header("X-Tenant")
            .redact_query("who")
            .redact_field("email")
            .redact_field("pin")
            .filter_request(|request| request.url = request.url.replace("s3cr3t-path", "path"))
            .filter_response(|response| {
                if let RecordedBody::Text(text) = &mut response.body {
                    *text = text.replace("\"s3cr3t\"", "\"gone\"");
                }
            })
    };
    let recorder = fixture.recording(peer, config()).await;
    let request = |secret: &str| {
        HttpRequest::new(
            Method::POST,
            format!("http://user:{secret}@api.test/users?api_key={secret}&who={secret}&page=1"),
        )
        .with_bearer(secret)
        .unwrap()
        .with_header("cookie", format!("id={secret}"))
        .unwrap()
        .with_form([("client_secret", secret), ("pin", secret), ("grant", "x")])
        .unwrap()
    };
    let response = recorder.request(request("s3cr3t")).await.unwrap();
    assert_eq!(
        response.headers["set-cookie"], "session=s3cr3t",
        "the caller gets the original response"
    );
    assert!(response.text().await.unwrap().contains("s3cr3t"));

    let file = fixture.text();
    assert!(!file.contains("s3cr3t"), "{file}");
    for kept in [
        "page=1",
        "page=2",
        "grant=x",
        "plain",
        "\\\"code\\\":7",
        "gone",
        "[redacted]",
    ] {
        assert!(file.contains(kept), "{kept} is not in {file}");
    }
    // Other credentials find the same recording.
    let (client, cassette) = fixture.replay_with(config()).await;
    let response = client.request(request("another")).await.unwrap();
    let length: usize = response.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(length, response.bytes().await.unwrap().len(), "after redaction");
    cassette.verify_all_used().unwrap();
    assert!(!format!("{cassette:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn secrets_in_unusual_places_do_not_reach_the_file() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    let reply = Reply::ok()
        .with_header("location", "/next#access_token=s3cr3t")
        .unwrap()
        .with_header("content-location", "/here?page=2#id_token=s3cr3t?x=1")
        .unwrap()
        .with_json(
            &serde_json::json!({"api_keys": ["s3cr3t", ["s3cr3t"]], "sessions": [{"title": "plain"}], "max_tokens": 7}),
        )
        .unwrap();
    peer.route(Method::POST, "/users", reply).unwrap();
    let recorder = fixture.recording(peer, CassetteConfig::new()).await;
    let request = HttpRequest::new(Method::POST, URL)
        .with_body("client_secret=s3cr3t&grant=x")
        .with_header("content-type", "Application/X-WWW-Form-URLencoded; charset=utf-8")
        .unwrap();
    recorder.request(request).await.unwrap();
    let file = fixture.text();
    assert!(!file.contains("s3cr3t"), "{file}");
    for kept in ["/next", "/here?page=2", "plain", "\\\"max_tokens\\\":7", "grant=x"] {
        assert!(file.contains(kept), "{kept} is not in {file}");
    }
}

#[tokio::test]
async fn each_recording_is_used_once_in_order() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    peer.route(
        Method::GET,
        "/users",
        ["one", "two"].map(|body| Reply::ok().with_body(body)),
    )
    .unwrap();
    let recorder = fixture.recording(peer, CassetteConfig::new()).await;
    for _ in 0..2 {
        recorder.get(URL).await.unwrap();
    }
    let (client, _) = fixture.replay().await;
    assert_eq!(
        (text(&client, URL).await, text(&client, URL).await),
        ("one".into(), "two".into())
    );
    let error = client.get(URL).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retryability().is_retryable()),
        (ErrorKind::NotFound, false)
    );
    assert!(error.to_string().contains("used already"), "{error}");

    let (client, _) = fixture.replay_with(CassetteConfig::new().allow_repeats(true)).await;
    for expected in ["one", "two", "two", "two"] {
        assert_eq!(text(&client, URL).await, expected);
    }
}

#[tokio::test]
async fn the_error_for_a_missing_recording_names_the_nearest() {
    let fixture = Fixture::new();
    let recorder = fixture.recording(answering(), CassetteConfig::new()).await;
    recorder.get("http://other.test/far").await.unwrap();
    recorder.get("http://api.test/users?page=1").await.unwrap();
    recorder.post(URL).body("one").await.unwrap();
    let (client, _) = fixture.replay().await;
    let error = client
        .get("http://api.test/users?page=2&api_key=s3cr3t")
        .await
        .unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("no recording is left for GET http://api.test/users?page=2&api_key=[redacted]"),
        "{shown}"
    );
    let nearest = error.context().find(|(key, _)| *key == "nearest").unwrap().1;
    assert_eq!(
        nearest,
        "#2 GET http://api.test/users?page=1 (the query differs); #3 POST http://api.test/users (the method, the query, \
         the body differ); #1 GET http://other.test/far (the URL, the query differ)"
    );
    let error = client.post(URL).body("two").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("#3 POST http://api.test/users (the body differs)"),
        "{error}"
    );
}

#[tokio::test]
async fn the_matching_of_requests_can_be_configured() {
    let fixture = Fixture::new();
    let recorder = fixture.recording(answering(), CassetteConfig::new()).await;
    recorder
        .post(URL)
        .header("accept", "text/plain")
        .body(r#"{"a": 1, "b": [2]}"#)
        .await
        .unwrap();
    let accepts = |config: CassetteConfig, accept: &'static str, body: &'static str| {
        let fixture = &fixture;
        async move {
            let (client, _) = fixture.replay_with(config).await;
            client.post(URL).header("accept", accept).body(body).await.is_ok()
        }
    };
    let same = r#"{"b":[2],"a":1}"#;
    assert!(
        accepts(CassetteConfig::new(), "text/html", same).await,
        "JSON is compared by its values"
    );
    assert!(!accepts(CassetteConfig::new(), "text/html", r#"{"b":[2]}"#).await);
    assert!(accepts(CassetteConfig::new().match_body(false), "text/html", "other").await);
    let by_header = || CassetteConfig::new().match_header("Accept");
    assert!(accepts(by_header(), "text/plain", same).await);
    assert!(!accepts(by_header(), "text/html", same).await);
    let own = CassetteConfig::new().match_with(|recorded, actual| recorded.method == actual.method);
    assert!(accepts(own, "text/html", "other").await);
}

#[tokio::test]
async fn only_missing_exchanges_are_sent() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::serving(|request| async move {
        Ok(HttpResponse::new(StatusCode::OK).with_body(request.url.path().to_owned()))
    });
    for (run, asked) in [1, 0].into_iter().enumerate() {
        peer.clear_received();
        let cassette = fixture.open(CassetteMode::RecordMissing, CassetteConfig::new()).await;
        let client = RecordingClient::new(peer.clone(), cassette.clone());
        assert_eq!(text(&client, "http://api.test/a").await, "/a");
        assert_eq!(
            (peer.received().len(), cassette.exchanges().len()),
            (asked, 1),
            "run {run}"
        );
        cassette.verify_all_used().unwrap();
    }
    let cassette = fixture.open(CassetteMode::RecordMissing, CassetteConfig::new()).await;
    let client = RecordingClient::new(peer.clone(), cassette);
    assert_eq!(text(&client, "http://api.test/b").await, "/b");
    assert_eq!(
        fixture.replay().await.1.exchanges().len(),
        2,
        "earlier exchanges are kept"
    );

    let cassette = fixture.open(CassetteMode::Replay, CassetteConfig::new()).await;
    peer.clear_received();
    let client = RecordingClient::new(peer.clone(), cassette);
    assert_eq!(
        client.get("http://api.test/c").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(peer.received().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_whole_client_replays_its_retries() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    peer.route(
        Method::GET,
        "/users",
        [
            Reply::new(StatusCode::SERVICE_UNAVAILABLE),
            Reply::ok().with_body("Ada"),
        ],
    )
    .unwrap();
    let build = |transport: RecordingClient<MemoryHttpClient>| {
        HttpClientBuilder::over(transport)
            .retry(RetryPolicy::new(2))
            .build()
            .unwrap()
    };
    let client = build(fixture.recording(peer.clone(), CassetteConfig::new()).await);
    assert_eq!(text(&client, URL).await, "Ada");
    assert_eq!(
        peer.received()[0].header("accept-encoding"),
        None,
        "recorded bodies are not compressed"
    );
    peer.clear_received();
    let cassette = fixture.open(CassetteMode::Replay, CassetteConfig::new()).await;
    let client = build(RecordingClient::new(peer.clone(), cassette.clone()));
    assert_eq!(text(&client, URL).await, "Ada");
    assert_eq!(
        (client.client_metrics().unwrap().retries, peer.received().len()),
        (1, 0)
    );
    cassette.verify_all_used().unwrap();
}

#[tokio::test]
async fn bodies_and_exchanges_are_limited() {
    let fixture = Fixture::new();
    let peer = || MemoryHttpClient::serving(|_| async { Ok(HttpResponse::new(StatusCode::OK).with_body("12345")) });
    let recorder = fixture.recording(peer(), CassetteConfig::new().max_body_size(4)).await;
    assert_eq!(recorder.get(URL).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(
        recorder.post(URL).body("12345").await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert!(!fixture.path.exists());
    let recorder = fixture.recording(peer(), CassetteConfig::new().max_exchanges(1)).await;
    recorder.get(URL).await.unwrap();
    assert_eq!(recorder.get(URL).await.unwrap_err().kind(), ErrorKind::Exhausted);

    let (client, _) = fixture.replay().await;
    let limited = RequestOptions::new().with_max_response_size(4);
    assert_eq!(
        client.get(URL).options(limited).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[tokio::test]
async fn concurrent_requests_are_all_recorded() {
    let fixture = Fixture::new();
    let recorder = fixture.recording(answering(), CassetteConfig::new()).await;
    let urls: Vec<String> = (0..20).map(|number| format!("{URL}/{number}")).collect();
    let recorder = &recorder;
    futures_util::future::join_all(urls.iter().map(|url| async move { recorder.get(url).await.unwrap() })).await;
    let (client, cassette) = fixture.replay().await;
    for url in &urls {
        client.get(url).await.unwrap();
    }
    cassette.verify_all_used().unwrap();
    let left: Vec<PathBuf> = files(fixture.path.parent().unwrap());
    assert_eq!(left, std::slice::from_ref(&fixture.path), "no unfinished file is left");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn invalid_files_name_their_field() {
    const GET: &str = r#"{"method": "GET", "url": "http://api.test/"}"#;
    let fixture = Fixture::new();
    let replay = || Cassette::open(&fixture.path, CassetteMode::Replay, CassetteConfig::new());
    assert_eq!(replay().await.unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::create_dir_all(fixture.path.parent().unwrap()).unwrap();
    let exchange = |request: &str, response: &str| {
        format!(r#"{{"format": 1, "exchanges": [{{"request": {request}, "response": {response}}}]}}"#)
    };
    for (text, field) in [
        ("nonsense".to_owned(), "cassette"),
        (r#"{"format": 2, "exchanges": []}"#.to_owned(), "cassette"),
        (exchange(GET, r#"{"status": 42}"#), "exchanges[0].response.status"),
        (
            exchange(GET, r#"{"status": 200, "headers": {"x": ["\n"]}}"#),
            "exchanges[0].response.headers.x",
        ),
        (
            exchange(GET, r#"{"status": 200, "body": {"base64": "!"}}"#),
            "exchanges[0].response.body.base64",
        ),
        (
            exchange(r#"{"method": " ", "url": ""}"#, r#"{"status": 200}"#),
            "exchanges[0].request.method",
        ),
    ] {
        std::fs::write(&fixture.path, &text).unwrap();
        let error = replay().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some(field)),
            "{text}"
        );
        assert!(error.to_string().contains("users.json"), "{error}");
    }
    let config = CassetteConfig::new().max_body_size(0);
    let error = Cassette::open(&fixture.path, CassetteMode::Record, config)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("max_body_size"));
}

#[tokio::test]
async fn trailers_are_recorded_without_secrets_and_replayed() {
    let fixture = Fixture::new();
    let peer = MemoryHttpClient::new();
    let reply = Reply::ok()
        .with_body("body")
        .with_trailer("x-sum", "1")
        .unwrap()
        .with_trailer("x-auth-token", "s3cr3t")
        .unwrap();
    peer.route(Method::GET, "/users", reply).unwrap();
    let recorder = fixture.recording(peer, CassetteConfig::new()).await;
    let response = recorder.get(URL).await.unwrap();
    assert_eq!(response.trailers.get().unwrap()["x-sum"], "1");
    assert!(!fixture.text().contains("s3cr3t"), "{}", fixture.text());

    let (player, _) = fixture.replay().await;
    let response = player.get(URL).await.unwrap().buffered().await.unwrap();
    assert_eq!(response.trailers.get().unwrap()["x-sum"], "1");
    assert_eq!(response.trailers.get().unwrap()["x-auth-token"], "[redacted]");
    assert_eq!(response.text().unwrap(), "body");
}
