//! Counters, status and health.

use std::sync::Arc;

use networking_spi::bridge::{BridgeState, HealthState, RouteAction, RouteRule, RoutingConfig};

use super::Dyn;
use super::scene::{DEAD_LETTERS, Scene, TARGET, config, fatal, settle};
use super::sink::Step;
use crate::{CaseResult, check, check_eq};

/// A bridge that has delivered, retried, dead-lettered, dropped and failed messages.
async fn busy(harness: &Arc<Dyn>) -> Result<Scene, crate::Failure> {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::new("noise", "payload.noise == true", RouteAction::Drop))
        .with_rule(RouteRule::to("small", "payload.n < 10", "small"))
        .with_default_target(TARGET);
    let scene = Scene::routed(harness, routing).await?;
    for n in [1, 2, 30] {
        scene
            .push(&format!("{{\"noise\": false, \"n\": {n}}}"))
            .receipt()
            .await?;
    }
    scene.fail(1);
    scene.push("{\"noise\": false, \"n\": 4}").receipt().await?;
    scene.push("{\"noise\": true}").receipt().await?;
    scene.fail(2);
    scene.push("{\"noise\": false, \"n\": 50}").receipt().await?;
    scene.sink.next(Step::Fail(fatal()));
    scene.sink.next(Step::Fail(fatal()));
    scene.push("{\"noise\": false, \"n\": 60}").rejection().await?;
    Ok(scene)
}

pub(super) async fn counters_add_up(harness: Arc<Dyn>) -> CaseResult {
    let scene = busy(&harness).await?;
    let metrics = scene.metrics().await?;
    let fates = (
        metrics.delivered,
        metrics.dead_lettered,
        metrics.dropped,
        metrics.failed,
    );
    check_eq!(fates, (4, 1, 1, 1), "delivered, dead-lettered, dropped, failed");
    check_eq!(metrics.received, 7, "received");
    check_eq!(metrics.retries, 2, "retries");
    let bytes: usize = scene
        .sink
        .delivered()
        .iter()
        .filter(|attempt| attempt.target != DEAD_LETTERS)
        .map(|attempt| attempt.message.payload.len())
        .sum();
    check_eq!(metrics.bytes_delivered, bytes as u64, "bytes delivered");
    check!(
        metrics.max_latency >= metrics.mean_latency,
        "the longest latency is shorter than the mean"
    );
    Ok(())
}

pub(super) async fn counters_by_target_and_rule(harness: Arc<Dyn>) -> CaseResult {
    let scene = busy(&harness).await?;
    let metrics = scene.metrics().await?;
    for (target, count) in [("small", 3), (TARGET, 1), (DEAD_LETTERS, 1)] {
        check_eq!(
            metrics.by_target.get(target).copied(),
            Some(count),
            "messages of target {target}"
        );
    }
    for (rule, matched) in [("noise", 1), ("small", 3)] {
        check_eq!(
            metrics.by_rule.get(rule).map(|rule| rule.matched),
            Some(matched),
            "matches of rule {rule}"
        );
    }
    Ok(())
}

pub(super) async fn status_counts_messages_in_flight(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.close();
    let pending = [scene.push("1"), scene.push("2")];
    scene.sink.wait_for_attempts(2).await?;
    settle().await;
    check_eq!(scene.status().await?.in_flight, 2, "messages in flight");
    scene.sink.open();
    for pending in pending {
        pending.receipt().await?;
    }
    check_eq!(
        scene.status().await?.in_flight,
        0,
        "messages in flight after all were settled"
    );
    Ok(())
}

pub(super) async fn status_shows_the_latest_error(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.next(Step::Fail(fatal()));
    scene.push("1").rejection().await?;
    let shown = scene.status().await?.last_error.unwrap_or_default();
    check!(shown.contains("the peer refuses it"), "the latest error is {shown:?}");
    Ok(())
}

pub(super) async fn health_is_the_worse_of_both_ends(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    for (source, sink, expected) in [
        (HealthState::Up, HealthState::Up, HealthState::Up),
        (HealthState::Up, HealthState::Down, HealthState::Down),
        (HealthState::Down, HealthState::Up, HealthState::Down),
        (HealthState::Degraded, HealthState::Up, HealthState::Degraded),
        (HealthState::Degraded, HealthState::Down, HealthState::Down),
    ] {
        scene.source.set_health(source);
        scene.sink.set_health(sink);
        let health = scene.bridge.monitor_bridge_health(&scene.id).await?;
        check_eq!(
            (health.source.state, health.sink.state),
            (source, sink),
            "the health of the endpoints"
        );
        check_eq!(
            health.state,
            expected,
            "health with a source {source} and a sink {sink}"
        );
    }
    Ok(())
}

pub(super) async fn health_reports_failures(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.push("1").receipt().await?;
    let health = scene.bridge.monitor_bridge_health(&scene.id).await?;
    check_eq!(
        (health.state, health.error_percent),
        (HealthState::Up, 0),
        "health without failures"
    );
    for n in 0..3 {
        scene.sink.next(Step::Fail(fatal()));
        scene.push(&n.to_string()).rejection().await?;
    }
    let health = scene.bridge.monitor_bridge_health(&scene.id).await?;
    check_eq!(health.error_percent, 75, "the percentage of failures");
    scene.source.fail(fatal());
    scene.wait_for(BridgeState::Failed).await?;
    let health = scene.bridge.monitor_bridge_health(&scene.id).await?;
    check_eq!(health.state, HealthState::Down, "health of a failed bridge");
    Ok(())
}
