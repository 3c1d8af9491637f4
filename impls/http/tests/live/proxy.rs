//! tinyproxy: forwarded requests, and tunnels.

use std::sync::Arc;
use std::time::Duration;

use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_spi::http::{
    HttpClientExt, HttpExtended, HttpResponse, ProxyConfig, RequestOptions, RetryPolicy, Version, header,
};
use networking_spi::websocket::{WebSocketConnectionExt, WebSocketMessage, WebSocketRequest};
use networking_spi::{ErrorKind, Result};
use serde_json::Value;

use super::backend::{Client, Live};

pub(crate) async fn requests_go_through_it(live: Arc<Live>) -> CaseResult {
    // tinyproxy closes a connection after a response without announcing it. A request may then fail on the closed connection;
    // requests that can be repeated are retried.
    let client = live
        .builder_of(live.config().with_proxy(open(&live)))?
        .retry(RetryPolicy::new(3).with_delays(Duration::from_millis(1), Duration::from_millis(10)))
        .build()?;
    let target = live.servers().httpbin.join("/anything?a=1").expect("a path");
    for number in 0..20 {
        let response = client.put(target.as_str()).body(format!("{number}")).await?;
        check!(is_from_proxy(&response), "not from the proxy: {response:?}");
        let echo: Value = response.json().await?;
        check_eq!(echo["data"], number.to_string(), "the body");
        check_eq!(echo["args"]["a"], "1", "the query");
        check!(
            echo["headers"]["Proxy-Authorization"].is_null(),
            "the credentials of the proxy were forwarded"
        );
    }
    Ok(())
}

pub(crate) async fn a_request_can_have_one_of_its_own(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let options = RequestOptions::new().with_proxy(open(&live));
    check!(
        is_from_proxy(&client.get("/get").options(options).await?),
        "the request did not go through its proxy"
    );
    check!(
        !is_from_proxy(&client.get("/get").await?),
        "the next request went through the proxy, too"
    );
    Ok(())
}

pub(crate) async fn tls_goes_through_a_tunnel(live: Arc<Live>) -> CaseResult {
    let client = through(&live, open(&live))?;
    let target = live.servers().nginx.join("/headers").expect("a path");
    let response = client.get(target.as_str()).await?;
    check_eq!(response.version, Version::HTTP_2, "ALPN inside the tunnel");
    check!(
        !is_from_proxy(&response),
        "the response in the tunnel is from the proxy"
    );
    let echo: Value = response.json().await?;
    check!(
        echo["headers"]["Proxy-Authorization"].is_null(),
        "the credentials of the proxy were forwarded"
    );
    Ok(())
}

pub(crate) async fn large_bodies_go_through_a_tunnel(live: Arc<Live>) -> CaseResult {
    let client = through(&live, open(&live))?;
    let target = live.servers().nghttpd.join("/echo").expect("a path");
    let body: Vec<u8> = (0..2_000_000_u32).map(|index| (index % 251) as u8).collect();
    let back = client.post(target.as_str()).body(body.clone()).await?.bytes().await?;
    check!(back == body, "{} bytes came back, and not those sent", back.len());
    Ok(())
}

pub(crate) async fn credentials_are_sent(live: Arc<Live>) -> CaseResult {
    let client = through(&live, guarded(&live, &live.servers().password))?;
    let plain = client.get(live.servers().httpbin.as_str()).await?;
    check_eq!(plain.status, 200, "http");
    check!(is_from_proxy(&plain), "http");
    check_eq!(client.get(live.servers().nginx.as_str()).await?.status, 200, "https");
    Ok(())
}

pub(crate) async fn wrong_credentials_are_a_proxy_error(live: Arc<Live>) -> CaseResult {
    let wrong = guarded(&live, "wrong");
    let none = ProxyConfig::new(live.servers().proxy_auth.clone());
    let (httpbin, nginx) = (&live.servers().httpbin, &live.servers().nginx);
    for (proxy, target) in [(&none, httpbin), (&none, nginx), (&wrong, nginx)] {
        let client = through(&live, proxy.clone())?;
        let error = check_error!(client.get(target.as_str()).await, ErrorKind::Proxy, "{target}");
        check!(
            proxy.username.is_some() || !error.retryability().is_retryable(),
            "missing credentials are retryable: {error}"
        );
        check!(!format!("{error:?}").contains("wrong"), "the password is in {error:?}");
    }
    // Without a tunnel, tinyproxy responds to a wrong password with 401 like an origin, not with 407.
    let refused = through(&live, wrong)?.get(httpbin.as_str()).await?;
    check_eq!(refused.status, 401, "the status of tinyproxy");
    Ok(())
}

pub(crate) async fn a_refused_tunnel_is_a_proxy_error(live: Arc<Live>) -> CaseResult {
    // A port that the proxy does not allow.
    let target = format!(
        "https://127.0.0.1:{}/",
        live.servers().oauth2.port().unwrap_or_default()
    );
    let client = through(&live, open(&live))?;
    check_error!(client.get(&target).await, ErrorKind::Proxy, "CONNECT is forbidden");
    Ok(())
}

pub(crate) async fn a_proxy_that_is_not_there_is_a_proxy_error(live: Arc<Live>) -> CaseResult {
    let client = through(&live, ProxyConfig::new(live.servers().closed.clone()))?;
    for target in [&live.servers().httpbin, &live.servers().nginx] {
        check_error!(client.get(target.as_str()).await, ErrorKind::Proxy, "{target}");
    }
    Ok(())
}

pub(crate) async fn websockets_go_through_a_tunnel(live: Arc<Live>) -> CaseResult {
    for proxy in [open(&live), guarded(&live, &live.servers().password)] {
        let client = through(&live, proxy)?;
        let connection = client
            .websocket_connect(WebSocketRequest::new(live.servers().websocket.as_str())?)
            .await?;
        connection.send_text("through").await?;
        check_eq!(
            connection.next().await?,
            Some(WebSocketMessage::text("through")),
            "the echo"
        );
    }
    let client = through(&live, guarded(&live, "wrong"))?;
    let refused = client
        .websocket_connect(WebSocketRequest::new(live.servers().websocket.as_str())?)
        .await;
    check_error!(refused, ErrorKind::Proxy, "wrong credentials");
    Ok(())
}

fn open(live: &Live) -> ProxyConfig {
    ProxyConfig::new(live.servers().proxy.clone())
}

fn guarded(live: &Live, password: &str) -> ProxyConfig {
    ProxyConfig::new(live.servers().proxy_auth.clone()).with_credentials(live.servers().user.clone(), password)
}

fn through(live: &Live, proxy: ProxyConfig) -> Result<Client> {
    live.builder_of(live.config().with_proxy(proxy))?.build()
}

/// Whether the response has the `Via` header that the proxy adds to responses that it forwards.
fn is_from_proxy(response: &HttpResponse) -> bool {
    response
        .headers
        .get(header::VIA)
        .is_some_and(|via| via.to_str().is_ok_and(|via| via.contains("tinyproxy")))
}
