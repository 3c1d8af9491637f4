//! Many small requests, 16 at the same time, over HTTP/2 connections that nginx recycles or that end with a worker.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use networking_conformance::{CaseResult, Failure, Harness, check, check_eq};
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::http::{HttpClient, HttpRequest, Method, RetryPolicy, Version};
use url::Url;

use super::super::backend::Live;
use super::processed::Processed;
use super::row::Row;

const REQUESTS: usize = 10_000;
/// In the runs with GET.
const FEWER_REQUESTS: usize = 5_000;
const IN_FLIGHT: usize = 16;

/// The number of requests that nginx serves on a connection by default (`keepalive_requests`).
const PER_CONNECTION: usize = 1_000;

/// Ends a run that lost a request before the time limit of its case.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The requests between two reloads of nginx.
const BETWEEN_RELOADS: usize = 1_000;

pub(crate) async fn posts_on_recycled_connections_are_processed_once(live: Arc<Live>) -> CaseResult {
    recycled(&live, Method::POST, None).await
}

pub(crate) async fn posts_with_a_retry_policy_are_processed_once(live: Arc<Live>) -> CaseResult {
    recycled(&live, Method::POST, Some(RetryPolicy::new(3))).await
}

pub(crate) async fn gets_on_recycled_connections_are_answered(live: Arc<Live>) -> CaseResult {
    recycled(&live, Method::GET, None).await
}

async fn recycled(live: &Arc<Live>, method: Method, retry: Option<RetryPolicy>) -> CaseResult {
    let servers = live.servers();
    let work = format!("{method} on recycled connections{}", policy(retry.as_ref()));
    let mut run = Run::new(live, "nginx", work, &servers.load, method, retry);
    if run.method == Method::GET {
        run.requests = FEWER_REQUESTS;
    }
    let row = run.send(|_| Ok(())).await?;
    let processed = Processed::by_nginx(&servers.load_log, &run.id, run.requests).await?;
    let row = run.finish(row, &processed)?;
    check!(
        row.connections >= Some(run.requests / PER_CONNECTION),
        "nginx recycles connections: {row:?}"
    );
    Ok(())
}

/// nginx starts new workers, and the old ones end when their connections do.
pub(crate) async fn posts_during_reloads_are_processed_once(live: Arc<Live>) -> CaseResult {
    let servers = live.servers();
    let run = Run::new(&live, "nginx", "POST during reloads", &servers.load, Method::POST, None);
    let (program, arguments) = servers
        .load_reload
        .split_first()
        .ok_or_else(|| Failure::new("no command"))?;
    let row = run
        .send(|ended| {
            if ended % BETWEEN_RELOADS != 0 {
                return Ok(());
            }
            let mut reload = Command::new(program)
                .args(arguments)
                .spawn()
                .map_err(|error| Failure::new(format!("{program}: {error}")))?;
            // Waits for it on another thread, because the requests go on.
            tokio::task::spawn_blocking(move || reload.wait());
            Ok(())
        })
        .await?;
    let processed = Processed::by_nginx(&servers.load_log, &run.id, run.requests).await?;
    run.finish(row, &processed).map(|_| ())
}

pub(crate) async fn posts_are_processed_once(live: Arc<Live>) -> CaseResult {
    echoed(&live, None).await
}

pub(crate) async fn posts_with_a_retry_policy_are_echoed_once(live: Arc<Live>) -> CaseResult {
    echoed(&live, Some(RetryPolicy::new(3))).await
}

async fn echoed(live: &Arc<Live>, retry: Option<RetryPolicy>) -> CaseResult {
    let servers = live.servers();
    let work = format!("POST{}", policy(retry.as_ref()));
    let run = Run::new(live, "nghttpd", work, &servers.load_nghttpd, Method::POST, retry);
    let row = run.send(|_| Ok(())).await?;
    let processed = Processed::by_nghttpd(&servers.load_nghttpd_log, &run.id, run.requests).await?;
    run.finish(row, &processed).map(|_| ())
}

fn policy(retry: Option<&RetryPolicy>) -> &'static str {
    if retry.is_some() { ", with a retry policy" } else { "" }
}

/// A number of requests with distinct markers and bodies.
struct Run<'l> {
    live: &'l Arc<Live>,
    server: &'static str,
    work: String,
    /// The first part of the markers.
    id: String,
    url: &'l Url,
    method: Method,
    retry: Option<RetryPolicy>,
    requests: usize,
}

impl<'l> Run<'l> {
    fn new(
        live: &'l Arc<Live>,
        server: &'static str,
        work: impl Into<String>,
        url: &'l Url,
        method: Method,
        retry: Option<RetryPolicy>,
    ) -> Self {
        let work = work.into();
        Self {
            id: format!(
                "{}-{}-{server}-{}",
                std::process::id(),
                live.backend(),
                work.replace([' ', ','], "-")
            ),
            live,
            server,
            work,
            url,
            method,
            retry,
            requests: REQUESTS,
        }
    }

    /// Sends the requests, and calls `after` with the number of requests that have ended.
    async fn send(&self, after: impl Fn(usize) -> Result<(), Failure>) -> Result<Row, Failure> {
        let config = self.live.config().with_read_timeout(READ_TIMEOUT);
        let mut builder = self.live.builder_of(config)?.base_url(self.url);
        if let Some(policy) = &self.retry {
            builder = builder.retry(policy.clone());
        }
        let client = builder.build()?;
        let mut row = Row::new(self.live, self.server, self.work.as_str(), self.requests);
        let clock = SystemClock::new();
        let ended = AtomicUsize::new(0);
        let mut outcomes = stream::iter(0..self.requests)
            .map(|number| self.one(&client, number))
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = outcomes.next().await {
            if let Err(why) = outcome {
                row.fail(why.0);
            }
            after(ended.fetch_add(1, Ordering::Relaxed) + 1)?;
        }
        row.took(clock.elapsed());
        Ok(row)
    }

    async fn one(&self, client: &impl HttpClient, number: usize) -> CaseResult {
        let marker = format!("{}/{number}", self.id);
        let body = if self.method == Method::GET {
            String::new()
        } else {
            format!("body-of-{marker}")
        };
        let request = HttpRequest::new(self.method.clone(), self.url.join("/echo").expect("a path"))
            .with_header("x-marker", &marker)?
            .with_body(body.clone());
        let response = client.request(request).await?;
        check_eq!(response.status, 200, "the status of request {number}");
        check_eq!(response.version, Version::HTTP_2, "the version");
        let expected = if self.server == "nginx" {
            format!("{marker} {body}")
        } else {
            body
        };
        check_eq!(response.text().await?, expected, "the response to request {number}");
        Ok(())
    }

    /// Reports the run. Fails if a request failed, or was not processed exactly once.
    ///
    /// `ReqwestTransport` can lose a request at the end of a connection, as its documentation says: this is only reported.
    fn finish(&self, mut row: Row, processed: &Processed) -> Result<Row, Failure> {
        row.lost = Some(processed.lost(self.requests));
        row.duplicated = Some(processed.duplicated());
        row.connections = Some(processed.connections());
        row.write(self.live)?;
        check!(
            row.failed == 0 || self.live.backend() == "reqwest",
            "{} requests failed: {}",
            row.failed,
            row.note
        );
        check!(
            row.lost <= Some(row.failed),
            "requests with a response were not processed: {row:?}"
        );
        // A GET may be sent again.
        check!(
            self.method == Method::GET || row.duplicated == Some(0),
            "requests were processed more than once: {row:?}"
        );
        Ok(row)
    }
}
