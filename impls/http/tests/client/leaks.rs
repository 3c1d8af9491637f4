//! No `Debug` or `Display` output contains a secret.

use std::error::Error as _;
use std::fmt::Debug;

use networking_http::layer::{AuthClient, ClientDefaults, Credentials, DefaultsClient};
use networking_http::{
    ClientIdentity, HttpClientBuilder, HyperTransport, MemoryHttpClient, Reply, ReqwestTransport, TransportConfig,
};
use networking_spi::NetworkError;
use networking_spi::http::{
    HttpClient, HttpClientExt, HttpRequest, HttpResponse, HttpStream, Method, ProxyConfig, RequestHead, RequestOptions,
    StatusCode,
};

use crate::raw::closed_port;

const SECRET: &str = "pl4nt3d-s3cr3t";

#[track_caller]
fn clean(shown: &str) {
    assert!(!shown.contains(SECRET), "{shown}");
    // The secret in Base64, as a user name or password in Basic credentials.
    assert!(!shown.contains("cGw0bnQzZC1zM2NyM3"), "{shown}");
}

#[track_caller]
fn clean_debug(value: &impl Debug) {
    clean(&format!("{value:?}"));
    clean(&format!("{value:#?}"));
}

#[track_caller]
fn clean_error(error: &NetworkError) {
    clean(&error.to_string());
    clean_debug(error);
    let mut source = error.source();
    while let Some(cause) = source {
        clean(&format!("{cause} {cause:?}"));
        source = cause.source();
    }
}

fn proxy() -> ProxyConfig {
    ProxyConfig::new(format!("http://u:{SECRET}@127.0.0.1:9").parse().unwrap()).with_credentials("u", SECRET)
}

fn request(url: &str) -> HttpRequest {
    HttpRequest::new(Method::POST, url)
        .with_bearer(SECRET)
        .unwrap()
        .with_header("proxy-authorization", SECRET)
        .unwrap()
        .with_header("x-session-token", SECRET)
        .unwrap()
        .with_body(SECRET)
        .with_options(RequestOptions::new().with_proxy(proxy()))
}

#[tokio::test]
async fn values() {
    for url in [
        format!("https://u:{SECRET}@api.test/?api_key={SECRET}&client_secret={SECRET}#{SECRET}"),
        format!("/relative?password={SECRET}#{SECRET}"),
        format!("https://u:{SECRET}@api.test:99999/"),
    ] {
        clean_debug(&request(&url));
        if let Err(error) = HttpRequest::new(Method::GET, url.as_str()).target.url() {
            clean_error(&error);
        }
    }
    let url = format!("https://u:{SECRET}@api.test/?sig={SECRET}");
    let mut response = HttpResponse::new(StatusCode::NOT_FOUND)
        .with_header("set-cookie", SECRET)
        .unwrap()
        .with_body(SECRET);
    response.url = Some(url.parse().unwrap());
    clean_debug(&response);
    clean_error(&response.status_error().unwrap());
    clean_debug(&RequestHead::new(Method::GET, url.parse().unwrap()));
    clean_debug(&HttpStream::new(
        response.status,
        response.headers.clone(),
        response.into_stream(),
    ));
    clean_debug(&proxy());
    clean_debug(&Credentials::basic(SECRET, SECRET).unwrap());
    clean_debug(&Credentials::api_key("x-key", SECRET).unwrap());
    clean_debug(&Reply::ok().with_header("set-cookie", SECRET).unwrap().with_body(SECRET));
}

#[tokio::test]
async fn clients_and_builders() {
    let credentials = || Credentials::basic(SECRET, SECRET).unwrap();
    let mut defaults = ClientDefaults::default();
    defaults.base_url = Some(format!("https://u:{SECRET}@api.test/?key={SECRET}").parse().unwrap());
    defaults.headers.insert("x-api-key", SECRET.parse().unwrap());
    clean_debug(&defaults);
    defaults.base_url = Some(format!("https://u:{SECRET}@api.test/").parse().unwrap());
    clean_debug(&DefaultsClient::new(AuthClient::new(MemoryHttpClient::new(), Some(credentials())), defaults).unwrap());

    let builder = || {
        HttpClientBuilder::new()
            .base_url(format!("https://u:{SECRET}@api.test/"))
            .default_header("cookie", SECRET)
            .credentials(credentials())
            .proxy(proxy())
    };
    clean_debug(&builder());
    let client = builder().build().unwrap();
    clean_debug(&client);
    clean_debug(&client.get(format!("/?token={SECRET}")).bearer(SECRET));
    let config = || TransportConfig::new().with_proxy(proxy());
    clean_debug(&ReqwestTransport::new(config()).unwrap());
    clean_debug(&HyperTransport::new(config()).unwrap());
    clean_debug(&config().with_client_identity(ClientIdentity::from_pem("certificate", SECRET)));
    let bad_key = config().with_client_identity(ClientIdentity::from_pem(
        rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .unwrap()
            .cert
            .pem(),
        format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"),
    ));
    clean_error(&HyperTransport::new(bad_key).unwrap_err());

    let memory = MemoryHttpClient::new();
    memory
        .post(format!("http://u:{SECRET}@api.test/?token={SECRET}"))
        .bearer(SECRET)
        .body(SECRET)
        .await
        .unwrap();
    clean_debug(&memory);
    clean_debug(&memory.received());
    clean(&memory.received()[0].to_string());
}

#[tokio::test]
async fn errors() {
    errors_of(&HttpClientBuilder::hyper().build().unwrap()).await;
    errors_of(&HttpClientBuilder::reqwest().build().unwrap()).await;
}

async fn errors_of(client: &impl HttpClient) {
    let port = closed_port();
    for url in [
        format!("http://u:{SECRET}@127.0.0.1:{port}/?token={SECRET}"),
        format!("https://u:{SECRET}@127.0.0.1:{port}/?token={SECRET}"),
        format!("ftp://u:{SECRET}@127.0.0.1/"),
        format!("/relative?token={SECRET}"),
        format!("http://u:{SECRET}@127.0.0.1:99999/"),
        format!("http://u:{SECRET}@{}.invalid/", "x".repeat(64)),
    ] {
        clean_error(&client.request(request(&url)).await.unwrap_err());
        let mut direct = request(&url);
        direct.options.proxy = None;
        clean_error(&client.request(direct).await.unwrap_err());
    }
    for error in [
        client
            .get("http://127.0.0.1:9")
            .header("x-a", format!("{SECRET}\n"))
            .into_request()
            .unwrap_err(),
        client
            .get("http://127.0.0.1:9")
            .bearer(&format!("{SECRET}\n"))
            .into_request()
            .unwrap_err(),
        HttpClientBuilder::new()
            .base_url(format!("https://u:{SECRET}@[bad"))
            .build()
            .unwrap_err(),
        HttpClientBuilder::new()
            .default_header("x-a", format!("{SECRET}\n"))
            .build()
            .unwrap_err(),
        Credentials::basic(&format!("{SECRET}:"), SECRET).unwrap_err(),
    ] {
        clean_error(&error);
    }
}
