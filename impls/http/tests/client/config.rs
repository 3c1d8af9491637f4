//! The settings of a client as one value, and misspelt keys in the configurations of this crate.

use std::sync::Arc;
use std::time::Duration;

use networking_http::cache::CacheConfig;
use networking_http::layer::{ConcurrencyLimit, HedgeDelay, HedgePolicy, RateLimit, RedirectPolicy};
use networking_http::websocket::ReconnectPolicy;
use networking_http::{
    ClientIdentity, CredentialsConfig, Http2Config, HttpClientBuilder, HttpClientConfig, HyperTransport, NoProxy,
    ReqwestTransport, SsrfGuard, StandardHttpClient, TransportConfig, http_client, http_client_from,
};
use networking_spi::http::{HttpClient, HttpClientExt, HttpExtended};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, Phase, config};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::raw::RawServer;

/// The field and the message of the error for a text that `serde_json` alone refuses, too.
fn refused<T: DeserializeOwned>(json: &str) -> (String, String) {
    assert!(serde_json::from_str::<T>(json).is_err(), "serde_json accepts {json}");
    let Err(error) = config::from_json::<T>(json) else {
        panic!("config accepts {json}");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let message = error.message().split(" (line ").next().unwrap().to_owned();
    (error.field().unwrap().to_owned(), message)
}

macro_rules! table {
    ($($kind:ident, $json:expr => $field:expr, $message:expr;)+) => {
        let mut wrong = Vec::new();
        $(
            let found = refused::<$kind>($json);
            if (found.0.as_str(), found.1.as_str()) != ($field, $message) {
                wrong.push((stringify!($kind), $json, found));
            }
        )+
        assert!(wrong.is_empty(), "{wrong:#?}");
    };
}

#[test]
fn a_misspelt_key_is_an_error_that_names_it_and_the_nearest_key() {
    table! {
        HttpClientConfig, r#"{"baseUrl": "https://a.test"}"# => "baseUrl", "unknown key `baseUrl`, did you mean `base_url`?";
        HttpClientConfig, r#"{"retry": {"max_retries": 3}}"# => "retry.max_retries", "unknown key `max_retries`, did you mean `max_attempts`?";
        HttpClientConfig, r#"{"transport": {"http2": {"stream_windows": 1}}}"# => "transport.http2.stream_windows", "unknown key `stream_windows`, did you mean `stream_window`?";
        HttpClientConfig, r#"{"timeout_seconds": "30s"}"# => "timeout_seconds", "unknown key `timeout_seconds`, did you mean `timeout`?";
        CredentialsConfig, r#"{"bearer": {"tokn": "t"}}"# => "bearer.tokn", "unknown key `tokn`, did you mean `token`?";
        CredentialsConfig, r#"{"bear": {"token": "t"}}"# => "config", "unknown value `bear`, did you mean `bearer`?";
        TransportConfig, r#"{"verify_ssl": false}"# => "verify_ssl", "unknown key `verify_ssl`, did you mean `verify_tls`?";
        TransportConfig, r#"{"noproxy": "*"}"# => "noproxy", "unknown key `noproxy`, did you mean `no_proxy`?";
        TransportConfig, r#"{"proxy": {"url": "http://a.test", "pasword": "p"}}"# => "proxy.pasword", "unknown key `pasword`, did you mean `password`?";
        Http2Config, r#"{"keep_alive_interval": "1s"}"# => "keep_alive_interval", "unknown key `keep_alive_interval`, did you mean `keepalive_interval`?";
        ClientIdentity, r#"{"certificate": "c", "private_key": "k"}"# => "certificate", "unknown key `certificate`, did you mean `certificates`?";
        SsrfGuard, r#"{"allow_hosts": ["a"]}"# => "allow_hosts", "unknown key `allow_hosts`, did you mean `allowed_hosts`?";
        CacheConfig, r#"{"max_size": 1}"# => "max_size", "unknown key `max_size`, did you mean `max_entry_size`?";
        HttpClientConfig, r#"{"max_retries": 3}"# => "max_retries", "unknown key `max_retries`, did you mean `retries`?";
        HttpClientConfig, r#"{"headers": {}}"# => "headers", "unknown key `headers`, did you mean `default_headers`?";
        RedirectPolicy, r#"{"follows": true}"# => "follows", "unknown key `follows`, did you mean `follow`?";
        HedgePolicy, r#"{"max_hedge": 1}"# => "max_hedge", "unknown key `max_hedge`, did you mean `max_hedges`?";
        HedgeDelay, r#"{"percentile": {"shares": 0.9, "at_most": "1s"}}"# => "percentile.shares", "unknown key `shares`, did you mean `share`?";
        RateLimit, r#"{"calls": 1, "period": "1s", "bursts": 1, "max_wait": "1s"}"# => "bursts", "unknown key `bursts`, did you mean `burst`?";
        ConcurrencyLimit, r#"{"max_inflight": 1}"# => "max_inflight", "unknown key `max_inflight`, did you mean `max_in_flight`?";
        ReconnectPolicy, r#"{"back_off": {}}"# => "back_off", "unknown key `back_off`, did you mean `backoff`?";
    }
}

#[test]
fn what_has_a_default_may_be_absent() {
    let config: HttpClientConfig = config::from_json(
        r#"{"rate_limit": {"calls": 50, "period": "1s"}, "concurrency_limit": {"max_in_flight": 4},
            "hedging": {"delay": {"fixed": "100ms"}}, "retries": 5}"#,
    )
    .unwrap();
    assert_eq!(config.rate_limit, Some(RateLimit::per_second(50)));
    assert_eq!(config.concurrency_limit, Some(ConcurrencyLimit::per_host(4)));
    assert_eq!(config.hedging, Some(HedgePolicy::after(Duration::from_millis(100))));
    assert_eq!(config.retries, Some(5));
    http_client_from(config).unwrap();
    table! {
        RateLimit, r#"{"calls": 50}"# => "period", "is missing";
        HttpClientConfig, r#"{"rate_limit": {"calls": 50}}"# => "rate_limit.period", "is missing";
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    for json in [
        r#"{"credentials": {"bearer": "s3cr3t"}}"#,
        r#"{"credentials": "s3cr3t"}"#,
        r#"{"credentials": {"api_key": "s3cr3t"}}"#,
        r#"{"credentials": {"basic": "u:s3cr3t"}}"#,
        r#"{"transport": {"proxy": "u:s3cr3t@p:3128"}}"#,
        r#"{"transport": {"client_identity": "s3cr3t"}}"#,
        r#"{"default_headers": "authorization: s3cr3t"}"#,
        r#"{"retry": "http://h?token=s3cr3t"}"#,
        r#"{"base_url": "s3cr3t"}"#,
    ] {
        let (_, message) = refused::<HttpClientConfig>(json);
        assert!(!message.contains("s3cr3t"), "{json}: {message}");
    }
    for json in [
        r#"{"credentials": {"basic": {"username": "u", "password": 987654321}}}"#,
        r#"{"transport": {"proxy": {"url": "http://h", "password": 987654321}}}"#,
        r#"{"default_headers": {"authorization": 987654321}}"#,
    ] {
        let (_, message) = refused::<HttpClientConfig>(json);
        assert!(!message.contains("987654321"), "{json}: {message}");
    }
}

#[test]
fn a_base_url_has_no_query_and_no_fragment() {
    for url in ["http://a.test/v1?api_key=K1", "http://a.test/v1#part"] {
        let error = HttpClientBuilder::new().base_url(url).build().unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("base_url")),
            "{url}"
        );
    }
}

#[test]
fn a_bypass_list_is_a_text_or_a_list() {
    let expected: NoProxy = "a.test,10.0.0.0/8".parse().unwrap();
    for json in [
        r#"{"no_proxy": "a.test, 10.0.0.0/8"}"#,
        r#"{"no_proxy": ["a.test", "10.0.0.0/8"]}"#,
    ] {
        let config: TransportConfig = config::from_json(json).unwrap();
        assert_eq!(config.no_proxy, expected);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TransportConfig>(&again).unwrap(), config);
    }
    let error = config::from_json::<TransportConfig>(r#"{"no_proxy": ["a.test", "10.0.0.0/80"]}"#).unwrap_err();
    assert!(error.message().starts_with("10.0.0.0/80 is not a network"), "{error}");
    let error = config::from_json::<TransportConfig>(r#"{"no_proxy": 3}"#).unwrap_err();
    assert!(
        error.message().contains("hosts between commas, or a list of hosts"),
        "{error}"
    );
}

const FULL: &str = r#"{
    "base_url": "http://api.test/v1",
    "default_headers": {"x-team": "payments", "x-api-key": "hunter2"},
    "credentials": {"basic": {"username": "bob", "password": "hunter2"}},
    "raise_for_status": true,
    "timeout": "1m 30s",
    "attempt_timeout": "5s",
    "total_timeout": "10m",
    "retry": {"max_attempts": 4, "backoff": {"initial": "1s"}},
    "rate_limit": {"calls": 50, "period": "1s", "burst": 10, "max_wait": "5s"},
    "rate_limit_per_host": {"calls": 50, "period": "1s", "burst": 10, "max_wait": "5s"},
    "hedging": {"delay": {"fixed": "1s"}, "max_hedges": 1, "share": 0.1, "burst": 10},
    "redirects": {"follow": false},
    "decompression": false,
    "max_response_size": 10,
    "cookies": true,
    "recorded": true,
    "transport": {
        "connect_timeout": "2s", "verify_tls": false, "user_agent": "orders/1.0",
        "proxy": {"url": "http://127.0.0.1:3128", "username": "u", "password": "hunter2"}, "no_proxy": "*"
    }
}"#;

#[test]
fn every_setting_survives_json_and_toml() {
    let config: HttpClientConfig = config::from_json(FULL).unwrap();
    config.validate().unwrap();
    assert_eq!(config.timeout, Some(Duration::from_secs(90)));
    assert_eq!(config.retry.as_ref().unwrap().max_attempts, 4);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && shown.contains("payments"), "{shown}");
    let json = serde_json::to_value(&config).unwrap();
    let again: HttpClientConfig = config::read(&json).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), json);
    assert_eq!(
        serde_json::to_string(&HttpClientConfig::new()).unwrap(),
        r#"{"no_timeout":false,"cookies":false,"recorded":false}"#
    );
}

#[tokio::test]
async fn a_configuration_makes_the_client_that_the_setters_make() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = RawServer::answering(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        seen,
    )
    .await;
    let mut config: HttpClientConfig = config::from_json(FULL).unwrap();
    config.hedging = None;
    config.transport.as_mut().unwrap().no_proxy = "127.0.0.1".parse().unwrap();
    config.base_url = Some(server.url("/v1").parse().unwrap());
    let hyper: Arc<dyn HttpClient> = Arc::new(http_client_from(config.clone()).unwrap());
    let reqwest: Arc<dyn HttpClient> =
        Arc::new(StandardHttpClient::<ReqwestTransport>::from_config(config.clone()).unwrap());
    for client in [hyper, reqwest] {
        let error = client.get("users").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        let head = requests.recv().await.unwrap().to_ascii_lowercase();
        for line in [
            "get /v1/users http/1.1\r\n",
            "x-team: payments\r\n",
            "x-api-key: hunter2\r\n",
            "user-agent: orders/1.0\r\n",
            "authorization: basic ",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert!(!head.contains("accept-encoding"), "{head}");
    }
    // A later setter wins.
    let builder = HttpClientBuilder::new().config(config);
    let client = builder.raise_for_status(false).build().unwrap();
    assert_eq!(client.get("users").await.unwrap().status, 404);
}

#[tokio::test]
async fn the_total_timeout_of_a_configuration_limits_the_call() {
    let server = RawServer::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let limits = r#"{"total_timeout": "50ms", "attempt_timeout": "2s", "retry": {"max_attempts": 1}}"#;
    let config: HttpClientConfig = config::from_json(limits).unwrap();
    let client = http_client_from(config).unwrap();
    let error = client.get(server.url("/")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Some(Phase::Total)),
        "{error:?}"
    );
}

#[test]
fn the_configuration_of_the_transport_undoes_no_setter() {
    let wanted = "orders/1.0";
    let mut config = HttpClientConfig::new();
    config.transport = Some(TransportConfig::new().with_user_agent("other/1.0"));
    for builder in [
        HttpClientBuilder::new()
            .user_agent(wanted)
            .transport(TransportConfig::new()),
        HttpClientBuilder::new()
            .transport(TransportConfig::new())
            .user_agent(wanted),
        HttpClientBuilder::new().user_agent(wanted).config(config.clone()),
        HttpClientBuilder::new().config(config.clone()).user_agent(wanted),
    ] {
        let builder = builder.verify_tls(false).proxy_from_env().no_proxy("a.test");
        let shown = format!("{:?}", builder.transport(TransportConfig::new()));
        for part in ["orders/1.0", "verify_tls: false", "proxy_from_env: true", "a.test"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}

#[test]
fn a_wrong_value_names_its_path() {
    for (json, field) in [
        (r#"{"timeout": "0s"}"#, "timeout"),
        (r#"{"attempt_timeout": "0s"}"#, "attempt_timeout"),
        (r#"{"total_timeout": "0s"}"#, "total_timeout"),
        (
            r#"{"retry": {"backoff": {"multiplier": 0.5}}}"#,
            "retry.backoff.multiplier",
        ),
        (r#"{"default_headers": {"a b": "c"}}"#, "default_headers.a b"),
        (r#"{"default_headers": {"a": "c\nd"}}"#, "default_headers.a"),
        (
            r#"{"credentials": {"bearer": {"token": ""}}}"#,
            "credentials.bearer.token",
        ),
        (
            r#"{"credentials": {"api_key": {"header": "a b", "key": "c"}}}"#,
            "credentials.api_key.header",
        ),
        (r#"{"redirects": {"limit": 1000}}"#, "redirects.limit"),
        (
            r#"{"transport": {"connect_timeout": "0s"}}"#,
            "transport.connect_timeout",
        ),
        (
            r#"{"transport": {"https_proxy": {"url": "ftp://a.test"}}}"#,
            "transport.https_proxy.url",
        ),
    ] {
        let config: HttpClientConfig = config::from_json(json).unwrap();
        assert_eq!(config.validate().unwrap_err().field(), Some(field), "{json}");
        let error = http_client_from(config).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some(field)),
            "{json}"
        );
    }
    for (json, field) in [
        (r#"{"timeout": 30}"#, "timeout"),
        (r#"{"timeout": "30"}"#, "timeout"),
        (r#"{"base_url": "http://bob:hunter2@a.test:99999"}"#, "base_url"),
        (
            r#"{"transport": {"proxy": {"url": "http://bob:hunter2@a.test:99999"}}}"#,
            "transport.proxy.url",
        ),
    ] {
        let error = config::from_json::<HttpClientConfig>(json).unwrap_err();
        assert_eq!(error.field(), Some(field), "{json}");
        let plain = serde_json::from_str::<HttpClientConfig>(json).unwrap_err();
        assert!(
            !format!("{error} {error:?} {plain}").contains("hunter2"),
            "{error:?} {plain}"
        );
    }
}

#[test]
fn the_client_with_the_defaults_is_both_contracts() {
    let client = http_client().unwrap();
    let _: Arc<dyn HttpClient> = Arc::new(client.clone());
    let _: Arc<dyn HttpExtended> = Arc::new(client);
    StandardHttpClient::<HyperTransport>::from_config(HttpClientConfig::new()).unwrap();
}
