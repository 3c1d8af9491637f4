//! Many requests to a server that misbehaves in every way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_conformance::http::hostile::{BODY_LIMIT, Behaviour, HostileServer, Plan, Verdict};
use networking_spi::http::{HttpClient, HttpClientExt, RetryPolicy};
use networking_spi::{ErrorKind, Phase, Result};
use tokio::task::JoinSet;

use crate::errors::backend::{Backend, ConnectSettings};

const SEED: u64 = 20;
const REQUESTS: u64 = 300;

/// Every request returns the correct body, or an error of the expected kind. Timeouts pass immediately.
pub(crate) async fn is_classified(backend: &Backend) {
    let server = HostileServer::start(SEED).await.unwrap();
    let client = || {
        backend.client_with(ConnectSettings::default(), |builder| {
            builder
                .retry(RetryPolicy::disabled())
                .total_timeout(Duration::from_secs(20))
                .max_response_size(Some(BODY_LIMIT))
        })
    };
    let plans = (0..REQUESTS).map(|number| (server.url(number), Plan::new(SEED, number)));
    let (endless, others): (Vec<_>, Vec<_>) = plans.partition(|(_, plan)| plan.behaviour.is_endless());

    let patient = client();
    let left_hanging = endless.len();
    let mut hanging: JoinSet<_> = endless
        .into_iter()
        .map(|(url, plan)| {
            let client = Arc::clone(&patient);
            async move { (read(&*client, &url).await, plan) }
        })
        .collect();

    let pooling = &client();
    let ended = stream::iter(&others)
        .map(|(url, plan)| async move { (read(&**pooling, url).await, plan) })
        .buffer_unordered(32)
        .collect::<Vec<_>>();
    let mut as_expected = HashSet::new();
    for (result, plan) in ended.await {
        let verdict = plan.judge(&result);
        assert!(
            matches!(verdict, Verdict::Correct | Verdict::Classified),
            "{verdict:?}: {plan:?} became {result:?}"
        );
        if result.err().map(|error| error.kind()) == plan.behaviour.error() {
            as_expected.insert(plan.behaviour);
        }
    }

    // Only the requests that time out are left.
    server.stalled(left_hanging).await;
    tokio::time::pause();
    while let Some(ended) = hanging.join_next().await {
        let (result, plan) = ended.unwrap();
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout, Some(Phase::Total)),
            "{plan:?}"
        );
        as_expected.insert(plan.behaviour);
    }
    let missing: Vec<_> = Behaviour::ALL
        .iter()
        .filter(|behaviour| !as_expected.contains(behaviour))
        .collect();
    assert!(missing.is_empty(), "never classified as expected: {missing:?}");
}

async fn read(client: &dyn HttpClient, url: &str) -> Result<Bytes> {
    client.get(url).await?.bytes().await
}
