//! The usage examples of the specification for HTTP and WebSocket. The lines between `begin` and `end` are what a program has; the
//! number after `begin` is that of the Python example. Neither counts empty lines and comments.

// begin: the imports of all examples, 12
use networking_impls::prelude::*;

type Result<T = (), E = NetworkError> = std::result::Result<T, E>;
// end

pub(crate) async fn basic_requests(server: &str) -> Result {
    // begin: 000 basic requests, 8
    let client = HttpClientBuilder::new()
        .timeout(Duration::from_secs(10))
        .retries(3)
        .build()?;
    let response = client.get(format!("{server}/data")).await?;
    println!("Status: {}", response.status);
    println!("Data: {}", response.json::<Value>().await?);
    let response = client
        .post(format!("{server}/items"))
        .json(&json!({"name": "item1", "value": 42}))
        .await?;
    // end
    assert_eq!(response.status, StatusCode::CREATED);
    Ok(())
}

pub(crate) async fn default_headers(server: &str) -> Result {
    // begin: 000 custom headers, 7
    let client = HttpClientBuilder::new()
        .default_headers([("authorization", "Bearer token123"), ("user-agent", "Codomyrmex/1.0")])
        .build()?;
    let response = client.get(format!("{server}/protected")).await?;
    // end
    assert_eq!(response.text().await?, "Bearer token123, Codomyrmex/1.0");
    Ok(())
}

pub(crate) async fn error_handling(unreachable: &str) -> Result {
    // begin: 000 error handling, 5
    let client = http_client()?;
    match client.get(unreachable).await {
        Ok(response) => println!("{}", response.status),
        Err(error) => println!("Request failed: {error}"),
    }
    // end
    let error = client.get(unreachable).retries(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

pub(crate) async fn websocket_callbacks(server: &str) -> Result {
    let client = http_client()?;
    let (seen, mut received) = tokio::sync::mpsc::unbounded_channel();
    // begin: 000 WebSocket, 9
    let on_message = move |message: WebSocketMessage| {
        println!("Received: {message:?}");
        seen.send(message).ok();
        async {}
    };
    let socket = client
        .websocket_connect(WebSocketRequest::new(format!("{server}/socket"))?)
        .await?;
    let callbacks = WebSocketCallbacks::new().on_message(on_message);
    let listener = WebSocketListener::start(socket.clone(), Arc::new(callbacks));
    socket.send_text("Hello, Server!").await?;
    // end
    assert_eq!(received.recv().await, Some(WebSocketMessage::text("Hello, Server!")));
    // begin: 000 WebSocket, closing, 1
    socket.close().await?;
    // end
    listener.finished().await
}

pub(crate) async fn quick_start(server: &str, sockets: &str) -> Result {
    // begin: 002 quick start, 7
    let client = HttpClientBuilder::new()
        .timeout(Duration::from_secs(10))
        .retries(3)
        .build()?;
    let response = client.get(format!("{server}/users")).await?.buffered().await?;
    println!("Status: {}, Data: {}", response.status, response.json::<Value>()?);
    let response = client.post(format!("{server}/users")).form([("name", "Alice")]).await?;
    let ws = client
        .websocket_connect(WebSocketRequest::new(format!("{sockets}/events"))?)
        .await?;
    ws.send_json(&json!({"subscribe": "ticker"})).await?;
    // end
    assert_eq!(response.status, StatusCode::CREATED);
    assert_eq!(ws.receive_json::<Value>().await?, Some(json!({"subscribe": "ticker"})));
    ws.close().await
}

pub(crate) async fn configured_client(server: &str) -> Result {
    // begin: 003 basic usage, 28
    let client = HttpClientBuilder::new()
        .base_url(server)
        .default_header("authorization", "Bearer token")
        .timeout(Duration::from_secs(30))
        .retry(RetryPolicy::fixed(3, Duration::from_secs(1)))
        .verify_tls(true)
        .raise_for_status(true)
        .rate_limit(RateLimit::per_second(100))
        .build()?;
    let data: Value = client.get("/users").await?.json().await?;
    let response = client
        .post("/users")
        .json(&json!({"name": "John Doe"}))
        .header("x-custom", "value")
        .await?;
    let text = client.get("/status").await?.text().await?;
    let result: Value = client
        .put("/items/123")
        .json(&json!({"status": "active"}))
        .retries(5)
        .retry_delay(Duration::from_secs(2))
        .await?
        .json()
        .await?;
    // end
    assert_eq!(data, json!([{"id": 1, "name": "Alice"}]));
    assert_eq!(response.status, StatusCode::CREATED);
    assert_eq!(text, "all systems work");
    assert_eq!(result, json!({"status": "active"}), "after one retry");
    Ok(())
}

pub(crate) async fn status_codes(server: &str) -> Result {
    // begin: 003 status code handling, 8
    let client = HttpClientBuilder::new()
        .base_url(server)
        .raise_for_status(true)
        .build()?;
    let error = match client.get("/not-found").await {
        Err(error) => error,
        Ok(response) => panic!("{}", response.status),
    };
    println!("Request failed: {error}");
    // end
    assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(404)));
    Ok(())
}

pub(crate) async fn form_data(server: &str, image: &std::path::Path) -> Result {
    let client = HttpClientBuilder::new().base_url(server).build()?;
    // begin: 003 form data, 5
    let form = Multipart::new()
        .part("file", FileSource::new(image).await?)
        .text("description", "Profile picture");
    let response = client.post("/upload").multipart(form).await?;
    // end
    let received: Value = response.json().await?;
    assert_eq!(received, json!({"file": "image.jpg", "description": "Profile picture"}));
    Ok(())
}

// begin: 003 request interceptors, 14
#[derive(Debug)]
struct LoggingInterceptor;

#[async_trait]
impl Interceptor for LoggingInterceptor {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        println!("Making {} request to {}", request.method, request.target);
        Ok(request.into())
    }

    async fn after(&self, _: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        println!("Got response with status {}", response.status);
        Ok(response)
    }
}
// end

pub(crate) async fn interceptors(server: &str) -> Result {
    // begin: 003 request interceptors, the client, 4
    let client = HttpClientBuilder::new()
        .base_url(server)
        .interceptor(LoggingInterceptor)
        .build()?;
    // end
    assert_eq!(client.get("/status").await?.text().await?, "all systems work");
    Ok(())
}

pub(crate) async fn rate_limiting(server: &str) -> Result {
    let clock = tokio::time::Instant::now();
    // begin: 003 rate limiting, 4
    let client = HttpClientBuilder::new()
        .base_url(server)
        .rate_limit(RateLimit::per_second(100))
        .build()?;
    for _ in 0..200 {
        client.get("/endpoint").await?;
    }
    // end
    let shortest = Duration::from_millis(1_980);
    assert!(clock.elapsed() >= shortest, "199 intervals of 10 ms");
    Ok(())
}

pub(crate) async fn request_retries(server: &str) -> Result {
    let client = HttpClientBuilder::new().base_url(server).build()?;
    let data = json!({"key": "value"});
    // begin: 003 request retries, 6
    let response = client
        .post("/flaky-post")
        .json(&data)
        .idempotent(true)
        .retries(5)
        .retry_delay(Duration::from_secs(2))
        .await?;
    // end
    assert_eq!(response.json::<Value>().await?, data, "after one retry");
    Ok(())
}

pub(crate) async fn overridden_headers(server: &str) -> Result {
    // begin: 003 custom headers, 13
    let client = HttpClientBuilder::new()
        .base_url(server)
        .default_headers([("authorization", "Bearer token"), ("user-agent", "PepperPy/1.0")])
        .build()?;
    let response = client
        .get("/protected")
        .headers([("x-custom", "value"), ("authorization", "Bearer new-token")])
        .await?;
    // end
    assert_eq!(response.text().await?, "Bearer new-token, PepperPy/1.0");
    Ok(())
}

pub(crate) async fn proxy(server: &str) -> Result {
    let client = http_client()?;
    // begin: 003 proxy support, 4
    let response = client.get("http://api.example.com/endpoint").proxy(server).await?;
    // end
    assert_eq!(response.text().await?, "GET http://api.example.com/endpoint");
    Ok(())
}

pub(crate) async fn causes_of_errors(unreachable: &str) -> Result {
    let client = HttpClientBuilder::new().retries(0).build()?;
    // begin: 003 error handling, 7
    if let Err(error) = client.get(unreachable).await {
        println!("Request failed: {error}");
        if let Some(cause) = std::error::Error::source(&error) {
            println!("Caused by: {cause}");
        }
    }
    // end
    Ok(())
}

// begin: 003 API client, 14
struct ApiClient {
    client: Arc<dyn HttpClient>,
}

impl ApiClient {
    fn new(base_url: &str, api_key: &str) -> Result<Self> {
        let client = HttpClientBuilder::new()
            .base_url(base_url)
            .credentials(Credentials::bearer(api_key)?)
            .raise_for_status(true)
            .interceptor(LoggingInterceptor)
            .build()?;
        Ok(Self {
            client: Arc::new(client),
        })
    }

    async fn user(&self, id: u64) -> Result<Value> {
        self.client.get(format!("users/{id}")).await?.json().await
    }

    async fn create_user(&self, user: &Value) -> Result<Value> {
        self.client.post("users").json(user).await?.json().await
    }
}
// end

pub(crate) async fn api_client(server: &str) -> Result {
    let api = ApiClient::new(server, "token")?;
    let created = api.create_user(&json!({"name": "Alice"})).await?;
    assert_eq!(created["id"], 1);
    assert_eq!(api.user(1).await?, json!({"id": 1, "name": "Alice"}));
    Ok(())
}

// begin: 003 batch operations, 4
async fn batch_process(urls: &[String]) -> Result<Vec<Value>> {
    let requests = urls.iter().map(|url| HttpRequest::new(Method::GET, url));
    Batch::new(&http_client()?, 16)?
        .try_run(requests, HttpResponse::json)
        .await
}
// end

pub(crate) async fn batch_operations(server: &str) -> Result {
    let urls: Vec<String> = (0..10).map(|number| format!("{server}/data?n={number}")).collect();
    assert_eq!(batch_process(&urls).await?, vec![json!({"items": []}); 10]);
    Ok(())
}

// begin: 003 error retry, 7
async fn retried(client: &dyn HttpClient) -> Result<Value> {
    let request = client.get("/flaky").retries(5).retry_delay(Duration::from_secs(2));
    request.raise_for_status(true).await?.json().await
}
// end

pub(crate) async fn error_retry(server: &str) -> Result {
    let client = HttpClientBuilder::new().base_url(server).build()?;
    assert_eq!(retried(&client).await?, json!({"tries": 2}));
    Ok(())
}

// begin: 003 file upload, 4
async fn upload(client: &dyn HttpClient, path: &std::path::Path) -> Result<Value> {
    let form = Multipart::new().part("file", FileSource::new(path).await?);
    client.post("/upload").multipart(form).await?.json().await
}
// end

pub(crate) async fn file_upload(server: &str, image: &std::path::Path) -> Result {
    let client = HttpClientBuilder::new().base_url(server).build()?;
    assert_eq!(upload(&client, image).await?, json!({"file": "image.jpg"}));
    Ok(())
}

// begin: 003 authentication, 9
#[derive(Debug)]
struct AuthInterceptor {
    token: Secret,
}

#[async_trait]
impl Interceptor for AuthInterceptor {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        Ok(request.with_bearer(self.token.expose())?.into())
    }
}
// end

pub(crate) async fn authentication(server: &str) -> Result {
    // begin: 003 authentication, the client, 4
    let auth = AuthInterceptor { token: "secret".into() };
    let client = HttpClientBuilder::new().base_url(server).interceptor(auth).build()?;
    // end
    let response = client.get("/protected").header("user-agent", "me").await?;
    assert_eq!(response.text().await?, "Bearer secret, me");
    Ok(())
}

pub(crate) async fn client_operations(server: &str) -> Result {
    // begin: 004 HTTP client operations, 22
    let http_client = http_client()?;
    let response = http_client
        .get(format!("{server}/users"))
        .bearer("token123")
        .query([("page", 1), ("limit", 10)])
        .timeout(Duration::from_secs(30))
        .await?
        .buffered()
        .await?;
    println!("Status: {}", response.status);
    println!("Data: {}", response.json::<Value>()?);
    let response = http_client
        .post(format!("{server}/users"))
        .json(&json!({"name": "John Doe", "email": "john@example.com"}))
        .timeout(Duration::from_secs(30))
        .await?;
    let policy = RetryPolicy::default()
        .with_retries(3)
        .with_multiplier(2.0)
        .with_statuses([500, 502, 503, 504]);
    http_client.configure_retry_policy(policy)?;
    // end
    assert_eq!(response.status, StatusCode::CREATED);
    Ok(())
}

pub(crate) async fn extended_operations(server: &str, sockets: &str) -> Result {
    // begin: 004 HTTP extended operations, 21
    let http_extended = http_client()?;
    let mut stream = http_extended
        .stream_request(HttpRequest::new(Method::GET, format!("{server}/large")), 4096)
        .await?;
    let mut length = 0;
    while let Some(chunk) = stream.chunk().await? {
        println!("Received chunk: {} bytes", chunk.len());
        length += chunk.len();
    }
    let request = WebSocketRequest::new(format!("{sockets}/ws"))?.with_header("authorization", "Bearer token123")?;
    let websocket = http_extended.websocket_connect(request).await?;
    websocket.send_text("Hello WebSocket!").await?;
    let message = websocket.receive().await?;
    println!("Received: {message:?}");
    let token_url = Url::parse(&format!("{server}/oauth/token"))?;
    let request = OAuth2Request::client_credentials(token_url, "client_id", "client_secret").with_scope("read write");
    let token = http_extended.authenticate_oauth2(request).await?;
    println!("Access token: {}", token.access_token.expose());
    // end
    assert_eq!(length, 10_000);
    assert_eq!(message, Some(WebSocketMessage::text("Hello WebSocket!")));
    assert_eq!(token.access_token.expose(), "t0k3n");
    websocket.close().await
}

pub(crate) async fn patterns(server: &str) -> Result {
    let http_client = http_client()?;
    // begin: 004 HTTP client patterns, 13
    let policy = RetryPolicy::default()
        .with_retries(3)
        .with_multiplier(2.0)
        .with_statuses([500, 502, 503, 504]);
    http_client.configure_retry_policy(policy)?;
    let config = CircuitBreakerConfig::default()
        .with_trip(TripPolicy::consecutive(5))
        .with_open(OpenPolicy::fixed(Duration::from_secs(60)));
    let breaker = SlidingWindowCircuitBreaker::builder().default_config(config).build()?;
    http_client.configure_circuit_breaker(Arc::new(breaker), HttpCircuitOptions::new())?;
    // end
    for _ in 0..5 {
        assert_eq!(
            http_client.get(format!("{server}/broken")).retries(0).await?.status,
            500
        );
    }
    let error = http_client.get(format!("{server}/broken")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    Ok(())
}
