//! Name resolution, and the guard against denied destinations.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use networking_http::{
    ConfiguredTransport, DnsOverrides, DnsResolver, HttpClientBuilder, SsrfGuard, SystemResolver, TransportConfig,
};
use networking_spi::http::{HttpClientExt, ProxyConfig, RequestOptions, RetryPolicy};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::sync::mpsc;

use crate::raw::{RawServer, closed_port};

super::for_each_transport!(
    names_can_be_overridden,
    errors_of_the_resolver_are_returned,
    a_resolver_that_hangs_is_a_connect_timeout,
    addresses_are_guarded,
    names_are_guarded_after_resolution,
    hosts_and_networks_can_be_allowed,
    redirects_are_guarded,
    a_denied_request_is_not_retried,
    a_proxy_does_not_bypass_the_guard,
    the_proxy_itself_is_not_guarded,
);

const OK: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}

fn overrides() -> DnsOverrides {
    DnsOverrides::over(Arc::new(NoNames))
        .with("Public.test.", [loopback()])
        .with("inside.test", [loopback()])
        .with("nowhere.test", <[IpAddr; 0]>::default())
}

fn client<T: ConfiguredTransport>(guard: Option<SsrfGuard>) -> T {
    let mut config = TransportConfig::new();
    config.ssrf_guard = guard;
    T::from_config(config, Arc::new(overrides())).unwrap()
}

async fn server() -> (RawServer, mpsc::UnboundedReceiver<String>) {
    let (seen, requests) = mpsc::unbounded_channel();
    (RawServer::answering(OK, seen).await, requests)
}

/// A resolver that knows no name.
#[derive(Debug)]
struct NoNames;

#[async_trait]
impl DnsResolver for NoNames {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>> {
        Err(NetworkError::new(ErrorKind::Dns, "test.resolve", "no such name"))
    }
}

/// Resolves to a public address first, and to a private one after that.
#[derive(Debug, Default)]
struct Rebinding(AtomicUsize);

#[async_trait]
impl DnsResolver for Rebinding {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>> {
        match self.0.fetch_add(1, SeqCst) {
            0 => Ok(vec![[8, 8, 8, 8].into()]),
            _ => Ok(vec![loopback()]),
        }
    }
}

#[derive(Debug)]
struct Hanging;

#[async_trait]
impl DnsResolver for Hanging {
    async fn resolve(&self, _host: &str) -> Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

async fn names_can_be_overridden<T: ConfiguredTransport>() {
    let (server, mut requests) = server().await;
    let port = server.address.port();
    let client: T = client(None);
    assert_eq!(
        client.get(format!("http://public.test:{port}/")).await.unwrap().status,
        204
    );
    let head = requests.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("host: public.test:{port}")), "{head}");
}

async fn errors_of_the_resolver_are_returned<T: ConfiguredTransport>() {
    let client: T = client(None);
    for host in ["unknown.test", "nowhere.test"] {
        let error = client.get(format!("http://{host}/")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.send_state()),
            (ErrorKind::Dns, SendState::NotSent),
            "{host}"
        );
        assert!(error.retryability().is_retryable());
    }
}

async fn a_resolver_that_hangs_is_a_connect_timeout<T: ConfiguredTransport>() {
    let config = TransportConfig::new().with_connect_timeout(Duration::from_secs(5));
    let client = T::from_config(config, Arc::new(Hanging)).unwrap();
    tokio::time::pause();
    let error = client.get("http://public.test/").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Some(Phase::Connect))
    );
    assert_eq!(error.send_state(), SendState::NotSent);
}

fn assert_denied(error: &NetworkError) {
    assert_eq!(
        (error.kind(), error.send_state()),
        (ErrorKind::DestinationDenied, SendState::NotSent),
        "{error:?}"
    );
    assert!(!error.retryability().is_retryable(), "{error:?}");
    assert!(!error.is_a(ErrorKind::Connection));
}

async fn addresses_are_guarded<T: ConfiguredTransport>() {
    let (server, mut requests) = server().await;
    let port = server.address.port();
    let client: T = client(Some(SsrfGuard::new()));
    for host in [
        "127.0.0.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "169.254.169.254",
    ] {
        assert_denied(&client.get(format!("http://{host}:{port}/")).await.unwrap_err());
    }
    assert!(requests.try_recv().is_err(), "nothing reached the server");
}

async fn names_are_guarded_after_resolution<T: ConfiguredTransport>() {
    let port = closed_port();
    let guarded: T = client(Some(SsrfGuard::new()));
    assert_denied(&guarded.get(format!("http://inside.test:{port}/")).await.unwrap_err());

    // The addresses that are checked are the ones that are used: a name is resolved once per connection.
    let resolver = Arc::new(Rebinding::default());
    let config = TransportConfig::new()
        .with_connect_timeout(Duration::from_millis(1))
        .with_ssrf_guard(SsrfGuard::new().with_denied_network("8.8.8.8/32".parse().unwrap()));
    let client = T::from_config(config, Arc::clone(&resolver) as _).unwrap();
    for asked in 1..=2 {
        assert_denied(&client.get("http://rebinding.test:9/").await.unwrap_err());
        assert_eq!(resolver.0.load(SeqCst), asked);
    }
}

async fn hosts_and_networks_can_be_allowed<T: ConfiguredTransport>() {
    let (server, _requests) = server().await;
    let port = server.address.port();
    for (guard, inside, address) in [
        (SsrfGuard::new().with_allowed_host("INSIDE.test"), true, false),
        (SsrfGuard::new().with_allowed_host("127.0.0.1"), false, true),
        (
            SsrfGuard::new().with_allowed_network("127.0.0.0/8".parse().unwrap()),
            true,
            true,
        ),
    ] {
        let client: T = client(Some(guard));
        for (host, allowed) in [("inside.test", inside), ("127.0.0.1", address)] {
            match client.get(format!("http://{host}:{port}/")).await {
                Ok(response) => assert!(allowed && response.status == 204, "{host}"),
                Err(error) => {
                    assert!(!allowed, "{host}: {error}");
                    assert_denied(&error);
                }
            }
        }
    }
}

async fn redirects_are_guarded<T: ConfiguredTransport>() {
    let (target, mut reached) = server().await;
    for host in ["127.0.0.1", "inside.test"] {
        let location = format!("http://{host}:{}/", target.address.port());
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let (seen, _requests) = mpsc::unbounded_channel();
        let redirecting = RawServer::answering(answer.leak(), seen).await;
        let guard = SsrfGuard::new().with_allowed_host("public.test");
        let http = HttpClientBuilder::over(client::<T>(Some(guard))).build().unwrap();
        let url = format!("http://public.test:{}/", redirecting.address.port());
        let error = http.get(&url).await.unwrap_err();
        // The redirecting server has received the request.
        assert_eq!(
            (error.kind(), error.send_state()),
            (ErrorKind::DestinationDenied, SendState::Sent),
            "{error:?}"
        );
    }
    assert!(reached.try_recv().is_err());
}

async fn a_denied_request_is_not_retried<T: ConfiguredTransport>() {
    let http = HttpClientBuilder::over(client::<T>(Some(SsrfGuard::new())))
        .retry(RetryPolicy::new(5))
        .build()
        .unwrap();
    let error = http.get("http://inside.test/").await.unwrap_err();
    assert_denied(&error);
    assert_eq!(error.attempts(), 1);
}

async fn a_proxy_does_not_bypass_the_guard<T: ConfiguredTransport>() {
    let (proxy, mut asked) = server().await;
    let through = |options: RequestOptions| {
        options.with_proxy(ProxyConfig::new(
            format!("http://127.0.0.1:{}", proxy.address.port()).parse().unwrap(),
        ))
    };
    let guarded: T = client(Some(SsrfGuard::new()));
    for url in [
        "http://127.0.0.1:9/",
        "https://127.0.0.1:9/",
        "http://inside.test/",
        "https://inside.test/",
    ] {
        assert_denied(
            &guarded
                .get(url)
                .options(through(RequestOptions::new()))
                .await
                .unwrap_err(),
        );
    }
    let error = guarded
        .get("http://unknown.test/")
        .options(through(RequestOptions::new()))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Dns,
        "a name that cannot be checked is not requested"
    );
    assert!(asked.try_recv().is_err());

    let trusting: T = client(Some(SsrfGuard::new().with_resolve_before_proxy(false)));
    trusting
        .get("http://unknown.test/")
        .options(through(RequestOptions::new()))
        .await
        .unwrap();
    assert!(asked.recv().await.unwrap().starts_with("GET http://unknown.test/ "));
    let literal = trusting.get("http://10.0.0.1/").options(through(RequestOptions::new()));
    assert_denied(&literal.await.unwrap_err());
}

async fn the_proxy_itself_is_not_guarded<T: ConfiguredTransport>() {
    let (proxy, mut asked) = server().await;
    let guard = SsrfGuard::new().with_allowed_host("public.test");
    let config = TransportConfig::new()
        .with_ssrf_guard(guard)
        .with_proxy(ProxyConfig::new(
            format!("http://inside.test:{}", proxy.address.port()).parse().unwrap(),
        ));
    let client = T::from_config(config, Arc::new(overrides())).unwrap();
    client.get("http://public.test/").await.unwrap();
    assert!(asked.recv().await.unwrap().starts_with("GET http://public.test/ "));
}

#[tokio::test]
async fn the_builder_takes_resolver_and_guard() {
    let (server, _requests) = server().await;
    let port = server.address.port();
    let url = format!("http://inside.test:{port}/");
    let http = HttpClientBuilder::new()
        .resolver(Arc::new(overrides()))
        .build()
        .unwrap();
    assert_eq!(http.get(&url).await.unwrap().status, 204);
    let http = HttpClientBuilder::new()
        .resolver(Arc::new(overrides()))
        .ssrf_guard(SsrfGuard::new())
        .build()
        .unwrap();
    assert_denied(&http.get(&url).await.unwrap_err());
}

#[tokio::test]
async fn websockets_use_resolver_and_guard() {
    use networking_spi::http::HttpExtended;
    use networking_spi::websocket::WebSocketRequest;

    let (server, mut requests) = server().await;
    let port = server.address.port();
    let ask = |host: &str| WebSocketRequest::new(format!("ws://{host}:{port}/")).unwrap();
    let builder = || HttpClientBuilder::new().resolver(Arc::new(overrides()));
    let guarded = builder().ssrf_guard(SsrfGuard::new()).build().unwrap();
    for host in ["127.0.0.1", "inside.test"] {
        let error = guarded.websocket_connect(ask(host)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DestinationDenied, "{host}: {error}");
    }
    assert!(requests.try_recv().is_err());
    // The server does not support WebSockets, but it receives the request.
    builder()
        .build()
        .unwrap()
        .websocket_connect(ask("inside.test"))
        .await
        .unwrap_err();
    assert!(requests.recv().await.unwrap().starts_with("GET / "));
}

#[tokio::test]
async fn the_system_resolver_resolves_localhost() {
    let addresses = SystemResolver.resolve("localhost").await.unwrap();
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback));
}

#[test]
fn a_guard_survives_serialization() {
    let guard = SsrfGuard::new()
        .with_allowed_host("inside.test")
        .with_allowed_network("10.0.0.0/8".parse().unwrap());
    let config = TransportConfig::new().with_ssrf_guard(guard);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<TransportConfig>(&text).unwrap(), config);
    let error = serde_json::from_str::<SsrfGuard>(r#"{"allowed_networks": ["10.0.0.0/40"]}"#).unwrap_err();
    assert!(error.is_data(), "{error}");
}
