//! Creating and listing bridges, and requests that are refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use networking_spi::ErrorKind;
use networking_spi::bridge::{BridgeId, BridgeProtocol, BridgeState, RouteRule, RoutingConfig};

use super::Dyn;
use super::scene::{NAME, Scene, TARGET, config, fatal, message};
use super::sink::ScriptedSink;
use super::source::ScriptedSource;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn starts_running(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    check_eq!(scene.source.starts.load(Ordering::SeqCst), 1, "starts of the source");
    check_eq!(scene.sink.starts.load(Ordering::SeqCst), 1, "starts of the sink");
    let status = scene.status().await?;
    check_eq!(status.state, BridgeState::Running, "state");
    check_eq!(status.name, NAME, "name");
    check_eq!(status.id, scene.id, "id");
    check_eq!(status.in_flight, 0, "messages in flight");
    check_eq!(status.last_error, None, "the latest error");
    scene.push("1").receipt().await?;
    Ok(())
}

pub(super) async fn names_are_unique(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let (source, sink) = (ScriptedSource::new(), ScriptedSink::new());
    let second = scene
        .bridge
        .create_bridge(NAME, source.clone(), sink.clone(), config())
        .await;
    check_error!(second, ErrorKind::AlreadyExists, "a second bridge of the same name");
    check_eq!(
        source.starts.load(Ordering::SeqCst),
        0,
        "starts of the refused bridge's source"
    );
    check_eq!(
        sink.starts.load(Ordering::SeqCst),
        0,
        "starts of the refused bridge's sink"
    );
    scene.bridge.destroy_bridge(&scene.id).await?;
    let again = scene.bridge.create_bridge(NAME, source, sink, config()).await?;
    check!(again != scene.id, "the id of a destroyed bridge was used again");
    Ok(())
}

pub(super) async fn wrong_configurations_are_refused(harness: Arc<Dyn>) -> CaseResult {
    let bridge = harness.bridge();
    let rule =
        |condition: &str| config().with_routing(RoutingConfig::new().with_rule(RouteRule::to("r", condition, TARGET)));
    for (name, config, field) in [
        (" ", config(), "name"),
        (NAME, config().with_max_in_flight(0), "max_in_flight"),
        (NAME, rule("payload.a =="), "routing.rules[0].condition"),
        (NAME, rule("unknown == 1"), "routing.rules[0].condition"),
    ] {
        let (source, sink) = (ScriptedSource::new(), ScriptedSink::new());
        let created = bridge.create_bridge(name, source.clone(), sink.clone(), config).await;
        let error = check_error!(
            created,
            ErrorKind::InvalidInput,
            "a configuration with an invalid {field}"
        );
        check_eq!(error.field(), Some(field), "the field that the error names");
        let starts = source.starts.load(Ordering::SeqCst) + sink.starts.load(Ordering::SeqCst);
        check_eq!(starts, 0, "starts of the endpoints of a refused bridge");
    }
    check!(bridge.all_bridges().await?.is_empty(), "a refused bridge is listed");
    Ok(())
}

pub(super) async fn a_failed_start_is_undone(harness: Arc<Dyn>) -> CaseResult {
    let bridge = harness.bridge();
    for fail_source in [true, false] {
        let (source, sink) = (ScriptedSource::new(), ScriptedSink::new());
        if fail_source {
            source.fail_start(fatal());
        } else {
            sink.fail_start(fatal());
        }
        let created = bridge.create_bridge(NAME, source.clone(), sink.clone(), config()).await;
        check_error!(created, ErrorKind::Remote, "an endpoint that cannot be started");
        for (end, starts, stops) in [
            ("source", &source.starts, &source.stops),
            ("sink", &sink.starts, &sink.stops),
        ] {
            let (starts, stops) = (starts.load(Ordering::SeqCst), stops.load(Ordering::SeqCst));
            check!(starts == 0 || stops > 0, "the {end} was started, but not stopped");
        }
        check!(
            bridge.all_bridges().await?.is_empty(),
            "a bridge that could not be started is listed"
        );
    }
    // The name can be used again.
    bridge
        .create_bridge(NAME, ScriptedSource::new(), ScriptedSink::new(), config())
        .await?;
    Ok(())
}

pub(super) async fn unknown_ids_are_not_found(harness: Arc<Dyn>) -> CaseResult {
    let bridge = harness.bridge();
    let other = Scene::new(&harness, config()).await?;
    for id in [BridgeId::new("unknown"), other.id.clone()] {
        check_error!(bridge.destroy_bridge(&id).await, ErrorKind::NotFound, "destroy_bridge");
        let sent = bridge.send_message_through_bridge(&id, message("1", "1")).await;
        check_error!(sent, ErrorKind::NotFound, "send_message_through_bridge");
        check_error!(bridge.bridge_status(&id).await, ErrorKind::NotFound, "bridge_status");
        check_error!(bridge.bridge_metrics(&id).await, ErrorKind::NotFound, "bridge_metrics");
        check_error!(
            bridge.monitor_bridge_health(&id).await,
            ErrorKind::NotFound,
            "monitor_bridge_health"
        );
        let configured = bridge.configure_bridge_routing(&id, RoutingConfig::new()).await;
        check_error!(configured, ErrorKind::NotFound, "configure_bridge_routing");
        if harness.capabilities().pause {
            check_error!(bridge.pause_bridge(&id).await, ErrorKind::NotFound, "pause_bridge");
            check_error!(bridge.resume_bridge(&id).await, ErrorKind::NotFound, "resume_bridge");
        }
    }
    Ok(())
}

pub(super) async fn all_bridges_by_name(harness: Arc<Dyn>) -> CaseResult {
    let bridge = harness.bridge();
    let mut ids = Vec::new();
    for name in ["charlie", "alpha", "bravo"] {
        ids.push(
            bridge
                .create_bridge(name, ScriptedSource::new(), ScriptedSink::new(), config())
                .await?,
        );
    }
    let all = bridge.all_bridges().await?;
    let names: Vec<&str> = all.iter().map(|info| info.name.as_str()).collect();
    check_eq!(names, ["alpha", "bravo", "charlie"], "names");
    check_eq!(all[0].id, ids[1], "the id of the first");
    check!(
        all.iter().all(|info| info.state == BridgeState::Running),
        "states: {all:?}"
    );
    check!(
        all.iter()
            .all(|info| info.source == BridgeProtocol::Memory && info.sink == BridgeProtocol::Tcp),
        "protocols: {all:?}"
    );
    bridge.destroy_bridge(&ids[1]).await?;
    let left: Vec<String> = bridge.all_bridges().await?.into_iter().map(|info| info.name).collect();
    check_eq!(left, ["bravo", "charlie"], "names after one was destroyed");
    Ok(())
}

pub(super) async fn undeclared_is_unsupported(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let declared = harness.capabilities();
    if !declared.pause {
        check_error!(
            scene.bridge.pause_bridge(&scene.id).await,
            ErrorKind::Unsupported,
            "pause_bridge"
        );
        check_error!(
            scene.bridge.resume_bridge(&scene.id).await,
            ErrorKind::Unsupported,
            "resume_bridge"
        );
    }
    if !declared.routing {
        let rule = RoutingConfig::new().with_rule(RouteRule::to("r", "size > 0", TARGET));
        let configured = scene.bridge.configure_bridge_routing(&scene.id, rule).await;
        check_error!(configured, ErrorKind::Unsupported, "a rule");
    }
    if !declared.dead_letters {
        let bridge = harness.bridge();
        let config = super::scene::with_dead_letters();
        let created = bridge
            .create_bridge(NAME, ScriptedSource::new(), ScriptedSink::new(), config)
            .await;
        check_error!(created, ErrorKind::Unsupported, "a dead-letter target");
    }
    Ok(())
}

pub(super) async fn bridge_and_harness_agree(harness: Arc<Dyn>) -> CaseResult {
    for _ in 0..2 {
        check_eq!(
            harness.bridge().capabilities(),
            *harness.capabilities(),
            "capabilities of an instance, compared with those that the harness states"
        );
    }
    Ok(())
}
