//! Measurements that are written to the recorder of the `metrics` facade.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, Method, StatusCode};

/// Every value that was written, by `name{labels}`; gauges have one.
fn read(snapshotter: &Snapshotter) -> BTreeMap<String, Vec<f64>> {
    let entries = snapshotter.snapshot().into_vec().into_iter();
    entries
        .map(|(key, _, _, value)| {
            let labels: Vec<String> = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let values = match value {
                DebugValue::Gauge(value) => vec![value.into_inner()],
                DebugValue::Histogram(values) => values.into_iter().map(f64::from).collect(),
                DebugValue::Counter(count) => panic!("an unexpected counter: {count}"),
            };
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), values)
        })
        .collect()
}

fn memory() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    let ok = Reply::ok().with_body("12345").with_delay(Duration::from_secs(2));
    memory.route(Method::POST, "/x", ok).unwrap();
    memory
        .route(Method::GET, "/missing", Reply::new(StatusCode::NOT_FOUND))
        .unwrap();
    memory
        .route(Method::GET, "/broken", Reply::error(ErrorKind::Tls))
        .unwrap();
    memory.route(Method::GET, "/hang", Reply::hang()).unwrap();
    memory
}

#[tokio::test(start_paused = true)]
async fn calls_are_measured_under_the_names_of_the_conventions() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let client = HttpClientBuilder::over(memory()).recorded().build().unwrap();
    client.post("http://api.test/x").body("123").await.unwrap();
    client.get("http://api.test:8080/missing").await.unwrap();
    client.get("https://api.test/broken").await.unwrap_err();
    let hanging = tokio::time::timeout(Duration::from_secs(1), client.get("http://api.test/hang").into_future());
    hanging.await.unwrap_err();

    let post = "http.request.method=POST,server.address=api.test,server.port=80";
    let missing = "http.request.method=GET,server.address=api.test,server.port=8080";
    let missed = format!("{missing},http.response.status_code=404,error.type=404");
    let broken = "http.request.method=GET,server.address=api.test,server.port=443";
    let hung = "http.request.method=GET,server.address=api.test,server.port=80";
    let expected: BTreeMap<String, Vec<f64>> = [
        (format!("http.client.active_requests{{{post}}}"), 0.0),
        (format!("http.client.active_requests{{{missing}}}"), 0.0),
        (format!("http.client.active_requests{{{broken}}}"), 0.0),
        (format!("http.client.active_requests{{{hung}}}"), 0.0),
        (
            format!("http.client.request.duration{{{post},http.response.status_code=200}}"),
            2.0,
        ),
        (format!("http.client.request.duration{{{missed}}}"), 0.0),
        (format!("http.client.request.duration{{{broken},error.type=tls}}"), 0.0),
        (
            format!("http.client.request.body.size{{{post},http.response.status_code=200}}"),
            3.0,
        ),
        (
            format!("http.client.response.body.size{{{post},http.response.status_code=200}}"),
            5.0,
        ),
        (format!("http.client.request.body.size{{{missed}}}"), 0.0),
        (format!("http.client.response.body.size{{{missed}}}"), 0.0),
    ]
    .into_iter()
    .map(|(name, value)| (name, vec![value]))
    .collect();
    assert_eq!(read(&snapshotter), expected);
}

#[tokio::test(start_paused = true)]
async fn the_numbers_of_methods_and_hosts_are_limited() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let client = HttpClientBuilder::over(memory()).recorded().build().unwrap();
    let odd = Method::from_bytes(b"BREW").unwrap();
    client.build(odd, "http://first.test/x").await.unwrap();
    for host in 0..250 {
        client.get(format!("http://h{host}.test/missing")).await.unwrap();
    }
    let read = read(&snapshotter);
    let active = read
        .keys()
        .filter(|name| name.starts_with("http.client.active_requests"));
    assert_eq!(active.count(), 201, "200 hosts and the others");
    assert!(
        read.keys()
            .any(|name| name.contains("http.request.method=_OTHER,server.address=first.test"))
    );
    assert!(read.keys().any(|name| name.contains("server.address=_other")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_by_default() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let client = HttpClientBuilder::over(memory()).build().unwrap();
    client.get("http://api.test/missing").await.unwrap();
    assert!(read(&snapshotter).is_empty());
}
