//! A typed API client with OAuth 2 tokens that are renewed automatically, retries that wait for `Retry-After`, and errors in
//! terms of the application. The server runs in this process, on loopback. It issues tokens, and is overloaded at first.
//!
//! ```sh
//! cargo run -p networking-examples --features oauth2 --bin api_client
//! ```
//!
//! It needs the feature `oauth2`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use networking_examples::orders::{NewOrder, Order, OrdersApi, OrdersError};
use networking_impls::http::HttpClientBuilder;
use networking_impls::http::layer::Credentials;
use networking_impls::http::oauth2::OAuth2Credentials;
use networking_spi::ErrorKind;
use networking_spi::http::{OAuth2Request, RetryPolicy};
use networking_spi::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open().await?;
    let base = format!("http://{}", shop.address);

    // The settings for sending requests are here, outside of `OrdersApi`.
    let token = OAuth2Request::client_credentials(format!("{base}/token").parse()?, "shop-client", "s3cr3t")
        .with_scope("orders");
    let http = HttpClientBuilder::new()
        .base_url(format!("{base}/v1"))
        .credentials(Credentials::oauth2(OAuth2Credentials::new(token))?)
        .timeout(Duration::from_secs(5))
        .total_timeout(Duration::from_secs(30))
        .retry(RetryPolicy::new(4).with_delays(Duration::from_millis(100), Duration::from_secs(5)))
        .build()?;
    let http: Arc<dyn HttpClient> = Arc::new(http);
    let orders = OrdersApi::new(Arc::clone(&http));

    let new = NewOrder {
        item: "lamp",
        quantity: 2,
    };
    let placed = orders.place(&new, "key-1").await?;
    println!("placed: {placed:?}");
    let found = orders.order(placed.id).await?;
    println!("found:  {found:?}");
    let missing = orders.order(404).await.unwrap_err();
    println!("order 404: {missing}");
    let none = NewOrder {
        item: "lamp",
        quantity: 0,
    };
    let refused = orders.place(&none, "key-2").await.unwrap_err();
    println!("0 lamps: {refused}");

    let metrics = http.client_metrics()?;
    println!(
        "{} calls, {} retries, {} tokens",
        metrics.requests,
        metrics.retries,
        shop.tokens.load(SeqCst)
    );

    // Checks the results that this program demonstrates.
    assert_eq!(found, placed);
    assert_eq!((placed.item.as_str(), placed.quantity), ("lamp", 2));
    assert!(matches!(missing, OrdersError::NotFound(404)));
    assert!(matches!(refused, OrdersError::Refused(why) if why == "quantity must be at least 1"));
    assert_eq!(
        (metrics.requests, metrics.retries),
        (4, 2),
        "one retry after 429, one after 503"
    );
    assert_eq!(shop.tokens.load(SeqCst), 1, "all requests share one token");
    assert_eq!(
        shop.placed.load(SeqCst),
        1,
        "one order, although it was sent three times"
    );
    let unauthenticated = HttpClientBuilder::new().base_url(format!("{base}/v1")).build()?;
    match OrdersApi::new(Arc::new(unauthenticated)).order(1).await {
        Err(OrdersError::Http(error)) => assert_eq!(error.kind(), ErrorKind::Authentication),
        other => panic!("without a token: {other:?}"),
    }
    Ok(())
}

/// A server with the part of HTTP/1.1 that this program needs.
struct Shop {
    address: SocketAddr,
    tokens: Arc<AtomicUsize>,
    placed: Arc<AtomicUsize>,
}

impl Shop {
    async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shop = Self {
            address: listener.local_addr()?,
            tokens: Arc::default(),
            placed: Arc::default(),
        };
        let (tokens, placed) = (Arc::clone(&shop.tokens), Arc::clone(&shop.placed));
        tokio::spawn(async move {
            let busy = AtomicUsize::new(0);
            while let Ok((stream, _)) = listener.accept().await {
                // One connection at a time is enough. Errors of a connection are ignored.
                let _ = serve(stream, &busy, &tokens, &placed).await;
            }
        });
        Ok(shop)
    }
}

async fn serve(
    stream: TcpStream,
    busy: &AtomicUsize,
    tokens: &AtomicUsize,
    placed: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let length: usize = header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length.min(64 << 10)];
    stream.read_exact(&mut body).await?;
    let authorization = header("authorization").unwrap_or_default();
    let target = head.split(" HTTP/").next().unwrap_or_default();

    let order = |item: &str, quantity: u32| {
        let order = Order {
            id: 1,
            item: item.to_owned(),
            quantity,
        };
        serde_json::to_string(&order).unwrap_or_default()
    };
    let (status, extra, answer) = match target {
        "POST /token" if authorization.starts_with("Basic ") => {
            tokens.fetch_add(1, SeqCst);
            let token = r#"{"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 3600}"#;
            ("200 OK", "", token.to_owned())
        }
        _ if authorization != "Bearer t0k3n" => ("401 Unauthorized", "", String::new()),
        // The first two requests are refused as overloaded, the first one with a delay.
        "POST /v1/orders" if header("idempotency-key") == Some("key-1") => match busy.fetch_add(1, SeqCst) {
            0 => ("429 Too Many Requests", "retry-after: 1\r\n", String::new()),
            1 => ("503 Service Unavailable", "", String::new()),
            _ => {
                placed.fetch_add(1, SeqCst);
                ("201 Created", "", order("lamp", 2))
            }
        },
        "POST /v1/orders" => (
            "422 Unprocessable Content",
            "",
            r#"{"detail": "quantity must be at least 1"}"#.to_owned(),
        ),
        "GET /v1/orders/1" => ("200 OK", "", order("lamp", 2)),
        _ => ("404 Not Found", "", String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\n{extra}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.get_mut().write_all(answer.as_bytes()).await?;
    stream.get_mut().shutdown().await
}
