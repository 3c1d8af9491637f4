//! Which proxy a request uses: the bypass list, proxies per scheme, and the environment.

use std::sync::Arc;

use networking_http::{
    ConfiguredTransport, DnsOverrides, HttpClientBuilder, HttpClientConfig, HyperTransport, NoProxy, ReqwestTransport,
    SsrfGuard, StandardHttpClient, SystemResolver, TransportConfig,
};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, ProxyConfig, RequestOptions};
use networking_spi::validate::Validate;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::proxy::{Pki, http_proxy};
use super::transport::run_child;
use crate::raw::{RawServer, closed_port, read_head};

super::for_each_transport!(
    hosts_of_no_proxy_are_reached_directly,
    each_scheme_has_its_proxy,
    a_proxy_of_one_scheme_leaves_the_other_direct,
    a_proxy_of_the_request_is_used_for_every_host,
    a_request_without_verification_keeps_the_choice,
    each_hop_of_a_redirect_is_decided_anew,
    the_guard_checks_hosts_that_are_reached_directly,
    the_proxies_of_the_variables_are_used,
);

const OK: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

async fn origin() -> RawServer {
    RawServer::answering(OK, mpsc::unbounded_channel().0).await
}

fn proxy(server: &RawServer) -> ProxyConfig {
    ProxyConfig::new(server.url("/").parse().unwrap())
}

fn closed() -> ProxyConfig {
    ProxyConfig::new(format!("http://127.0.0.1:{}", closed_port()).parse().unwrap())
}

fn list(hosts: &str) -> NoProxy {
    hosts.parse().unwrap()
}

fn transport<T: ConfiguredTransport>(config: TransportConfig) -> T {
    T::from_config(config, Arc::new(SystemResolver)).unwrap()
}

async fn hosts_of_no_proxy_are_reached_directly<T: ConfiguredTransport>() {
    let origin = origin().await;
    let (server, mut requests) = http_proxy(9, None).await;
    let direct = format!("127.0.0.1:{}, .corp.test", origin.address.port());
    let client: T = transport(
        TransportConfig::new()
            .with_proxy(proxy(&server))
            .with_no_proxy(list(&direct)),
    );
    assert_eq!(client.get(origin.url("/")).await.unwrap().status, 204);
    assert!(requests.try_recv().is_err(), "not through the proxy");
    assert_eq!(client.get("http://127.0.0.1:1/").await.unwrap().status, 204);
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("GET http://127.0.0.1:1/ HTTP/1.1\r\n"), "{head}");
}

async fn each_scheme_has_its_proxy<T: ConfiguredTransport>() {
    let (plain, mut plain_requests) = http_proxy(9, None).await;
    let (secure, mut secure_requests) = http_proxy(closed_port(), None).await;
    let client: T = transport(
        TransportConfig::new()
            .with_proxy(closed())
            .with_http_proxy(proxy(&plain))
            .with_https_proxy(proxy(&secure)),
    );
    client.get("http://origin.test/").await.unwrap();
    let head = plain_requests.recv().await.unwrap();
    assert!(head.starts_with("GET http://origin.test/ "), "{head}");
    // The proxy has no origin behind it.
    client.get("https://origin.test/").await.unwrap_err();
    let head = secure_requests.recv().await.unwrap();
    assert!(head.starts_with("CONNECT origin.test:443 "), "{head}");
    assert!(plain_requests.try_recv().is_err() && secure_requests.try_recv().is_err());
}

async fn a_proxy_of_one_scheme_leaves_the_other_direct<T: ConfiguredTransport>() {
    let origin = origin().await;
    let client: T = transport(TransportConfig::new().with_https_proxy(closed()));
    assert_eq!(client.get(origin.url("/")).await.unwrap().status, 204);
    let error = client.get("https://127.0.0.1:1/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Proxy, "{error:?}");
}

async fn a_proxy_of_the_request_is_used_for_every_host<T: ConfiguredTransport>() {
    let (server, mut requests) = http_proxy(9, None).await;
    let client: T = transport(TransportConfig::new().with_proxy(closed()).with_no_proxy(list("*")));
    let options = RequestOptions::new().with_proxy(proxy(&server));
    client.get("http://origin.test/").options(options).await.unwrap();
    assert!(requests.recv().await.unwrap().starts_with("GET http://origin.test/ "));
}

async fn a_request_without_verification_keeps_the_choice<T: ConfiguredTransport>() {
    let origin = origin().await;
    let (server, mut requests) = http_proxy(9, None).await;
    let client: T = transport(
        TransportConfig::new()
            .with_proxy(proxy(&server))
            .with_no_proxy(list("127.0.0.1")),
    );
    let options = || RequestOptions::new().with_verify_tls(false);
    client.get(origin.url("/")).options(options()).await.unwrap();
    assert!(requests.try_recv().is_err(), "not through the proxy");
    client.get("http://origin.test/").options(options()).await.unwrap();
    assert!(requests.recv().await.unwrap().starts_with("GET http://origin.test/ "));
}

async fn each_hop_of_a_redirect_is_decided_anew<T: ConfiguredTransport>() {
    // direct -> through the proxy -> direct
    let end = origin().await;
    let last = end.url("/end");
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let (seen, last) = (seen.clone(), last.clone());
        async move {
            seen.send(read_head(&mut stream).await).unwrap();
            let answer =
                format!("HTTP/1.1 302 Found\r\nlocation: {last}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let first = RawServer::answering(
        "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.test/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        mpsc::unbounded_channel().0,
    )
    .await;
    let mut config = HttpClientConfig::new();
    config.transport = Some(
        TransportConfig::new()
            .with_proxy(proxy(&server))
            .with_no_proxy(list("127.0.0.1")),
    );
    let client = StandardHttpClient::<T>::from_config(config).unwrap();
    let response = client.get(first.url("/")).await.unwrap();
    assert_eq!(response.url.unwrap().path(), "/end");
    assert!(
        requests
            .recv()
            .await
            .unwrap()
            .starts_with("GET http://elsewhere.test/ ")
    );
    assert!(requests.try_recv().is_err());
}

async fn the_guard_checks_hosts_that_are_reached_directly<T: ConfiguredTransport>() {
    let origin = origin().await;
    let (server, mut requests) = http_proxy(9, None).await;
    let client = |no_proxy: &str| {
        let config = TransportConfig::new()
            .with_proxy(proxy(&server))
            .with_no_proxy(list(no_proxy))
            .with_ssrf_guard(SsrfGuard::new().with_resolve_before_proxy(false));
        let names = DnsOverrides::new().with("inside.test", [[127, 0, 0, 1]]);
        T::from_config(config, Arc::new(names)).unwrap()
    };
    let named = format!("http://inside.test:{}/", origin.address.port());
    for url in [origin.url("/"), named.clone()] {
        let error = client("127.0.0.1,inside.test").get(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DestinationDenied, "{url}");
    }
    assert!(requests.try_recv().is_err(), "not through the proxy");
    client("other.test").get(&named).await.unwrap();
    requests.recv().await.unwrap();
}

async fn the_proxies_of_the_variables_are_used<T: ConfiguredTransport>() {
    let origin = origin().await;
    let (server, mut requests) = http_proxy(9, None).await;
    let address = server.address.to_string();
    let variables = [
        ("HTTP_PROXY", format!("bob:secret@{address}")),
        ("NO_PROXY", "127.0.0.0/8".to_owned()),
    ];
    let config = TransportConfig::new().with_proxies_of(variables).unwrap();
    let client: T = transport(config);
    client.get(origin.url("/")).await.unwrap();
    client.get("http://elsewhere.test/").await.unwrap();
    let head = requests.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get http://elsewhere.test/ "), "{head}");
    assert!(head.contains("proxy-authorization: basic ym9ionnly3jlda=="), "{head}");
    assert!(!format!("{client:?}").contains("secret"), "{client:?}");
}

#[test]
fn a_configured_proxy_comes_before_the_variables() {
    let configured = TransportConfig::new()
        .with_https_proxy(closed())
        .with_no_proxy(list("a.test"));
    let variables = [("ALL_PROXY", "http://other.test"), ("NO_PROXY", "b.test")];
    let read = configured.clone().with_proxies_of(variables).unwrap();
    assert_eq!(read, configured);
    let read = TransportConfig::new()
        .with_no_proxy(list("a.test"))
        .with_proxies_of(variables)
        .unwrap();
    assert_eq!(read.proxy.unwrap().url.as_str(), "http://other.test/");
    assert_eq!(read.no_proxy, list("a.test,b.test"));
}

#[test]
fn a_wrong_proxy_names_its_field() {
    let wrong = || ProxyConfig::new("ftp://proxy.test".parse().unwrap());
    for (config, field) in [
        (TransportConfig::new().with_proxy(wrong()), "proxy.url"),
        (TransportConfig::new().with_http_proxy(wrong()), "http_proxy.url"),
        (TransportConfig::new().with_https_proxy(wrong()), "https_proxy.url"),
    ] {
        let error = HyperTransport::new(config.clone()).unwrap_err();
        assert_eq!(error.field(), Some(field));
        let error = ReqwestTransport::new(config).unwrap_err();
        assert_eq!(error.field(), Some(field));
    }
    let error = HttpClientBuilder::new().no_proxy("10.0.0.0/40").build().unwrap_err();
    assert_eq!(error.field(), Some("no_proxy"));
}

#[test]
fn credentials_that_a_proxy_cannot_read_are_refused() {
    for (url, field) in [
        ("http://us%3Aer:p@h:3128", "proxy.url"),
        ("http://u:p%0d%0aX@h:3128", "proxy.url"),
        ("http://u:%ff@h:3128", "proxy.url"),
        ("socks5://u:%ff@h:1080", "proxy.url"),
    ] {
        let config = TransportConfig::new().with_proxy(ProxyConfig::new(url.parse().unwrap()));
        let error = config.validate().unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some(field)),
            "{url}"
        );
    }
    let long = "x".repeat(256);
    for (scheme, username, password, wrong) in [
        ("http", "us:er", "p", Some("proxy.username")),
        ("http", "u", "p\nX", Some("proxy.password")),
        ("socks5", "u", &long, Some("proxy.password")),
        ("socks5", "us:er", "p\nX", None),
        ("http", "u", &long, None),
    ] {
        let proxy = ProxyConfig::new(format!("{scheme}://h:1").parse().unwrap()).with_credentials(username, password);
        let found = TransportConfig::new().with_proxy(proxy).validate().err();
        assert_eq!(
            found.as_ref().and_then(|error| error.field()),
            wrong,
            "{scheme} {username}"
        );
    }
}

#[test]
fn the_environment_of_the_process_is_read() {
    run_child(
        "client::proxies::child_with_proxies",
        &[
            ("http_proxy", "bob:hunter2@127.0.0.1:1"),
            ("https_proxy", "http://bob:hunter2@127.0.0.1:1"),
            ("no_proxy", "127.0.0.1"),
        ],
    );
    run_child(
        "client::proxies::child_with_a_wrong_proxy",
        &[
            ("http_proxy", ""),
            ("https_proxy", "http://bob:hunter2@127.0.0.1:99999"),
        ],
    );
}

#[tokio::test]
#[ignore = "run by the_environment_of_the_process_is_read, with its environment"]
async fn child_with_proxies() {
    let origin = origin().await;
    let client = HttpClientBuilder::new().proxy_from_env().build().unwrap();
    assert_eq!(client.get(origin.url("/")).await.unwrap().status, 204);
    for url in ["http://origin.test/", "https://origin.test/"] {
        let error = client.get(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy, "{error:?}");
        assert!(
            !format!("{error} {error:?} {client:?}").contains("hunter2"),
            "{error:?}"
        );
    }
    let reqwest = ReqwestTransport::new(TransportConfig::new().with_proxy_from_env(true)).unwrap();
    let error = reqwest.get("http://origin.test/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Proxy, "{error:?}");
    // By default, no variable has an effect.
    let names = DnsOverrides::new().with("origin.test", [[127, 0, 0, 1]]);
    let plain = HyperTransport::with_resolver(TransportConfig::new(), Arc::new(names)).unwrap();
    let url = format!("http://origin.test:{}/", origin.address.port());
    assert_eq!(plain.get(&url).await.unwrap().status, 204);
}

#[test]
#[ignore = "run by the_environment_of_the_process_is_read, with its environment"]
fn child_with_a_wrong_proxy() {
    for error in [
        HttpClientBuilder::new().proxy_from_env().build().unwrap_err(),
        HttpClientBuilder::reqwest().proxy_from_env().build().unwrap_err(),
        HyperTransport::new(TransportConfig::new().with_proxy_from_env(true)).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("https_proxy"))
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn certificates_of_the_builder_are_used() {
    let pki = Pki::new();
    let origin = pki.origin().await;
    let url = format!("https://localhost:{}/", origin.address.port());
    for certificate in [pki.pem.clone().into_bytes(), pki.der.clone()] {
        let client = HttpClientBuilder::new().root_certificate(certificate).build().unwrap();
        assert_eq!(client.get(&url).await.unwrap().status, 204);
    }
    let client = HttpClientBuilder::new().verify_tls(false).build().unwrap();
    assert_eq!(client.get(&url).await.unwrap().status, 204);
    let client = HttpClientBuilder::new().build().unwrap();
    assert_eq!(client.get(&url).await.unwrap_err().kind(), ErrorKind::Tls);
    for wrong in [&b"neither"[..], b"", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\n"] {
        let error = HttpClientBuilder::new().root_certificate(wrong).build().unwrap_err();
        assert_eq!(error.field(), Some("root_certificate"), "{wrong:?}");
    }
}
