//! Destroying bridges, and bridges that stop or fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::bridge::BridgeState;
use tokio::time::Instant;

use super::Dyn;
use super::scene::{Scene, config, fatal, message, settle, transient, with_dead_letters};
use super::sink::Step;
use super::source::PATIENCE;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn destroying_finishes_the_work(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.close();
    let mut pending = scene.push("1");
    scene.sink.wait_for_attempts(1).await?;
    let open = async {
        settle().await;
        let early = pending.is_answered();
        scene.sink.open();
        early
    };
    let (destroyed, early) = tokio::join!(scene.bridge.destroy_bridge(&scene.id), open);
    destroyed?;
    check!(
        !early,
        "the message in flight was settled before the sink had acknowledged it"
    );
    check_eq!(scene.sink.delivered().len(), 1, "deliveries");
    check!(
        scene.source.stops.load(Ordering::SeqCst) > 0,
        "the source was not stopped"
    );
    check!(scene.sink.stops.load(Ordering::SeqCst) > 0, "the sink was not stopped");
    check_error!(
        scene.bridge.bridge_status(&scene.id).await,
        ErrorKind::NotFound,
        "a destroyed bridge"
    );
    let mut late = scene.push("2");
    settle().await;
    check!(
        !late.is_answered() && scene.sink.delivered().len() == 1,
        "a destroyed bridge received a message"
    );
    Ok(())
}

pub(super) async fn destroying_delivers_what_the_source_holds(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_in_flight(1)).await?;
    scene.sink.close();
    let pending: Vec<_> = (0..5).map(|n| scene.push(&n.to_string())).collect();
    scene.sink.wait_for_attempts(1).await?;
    let open = async {
        settle().await;
        scene.sink.open();
    };
    let (destroyed, ()) = tokio::join!(scene.bridge.destroy_bridge(&scene.id), open);
    destroyed?;
    for pending in pending {
        pending.receipt().await?;
    }
    Ok(())
}

pub(super) async fn draining_has_a_deadline(harness: Arc<Dyn>) -> CaseResult {
    let limit = Duration::from_millis(500);
    let config = with_dead_letters()
        .with_drain_timeout(limit)
        .with_delivery_timeout(Duration::from_secs(3600));
    let scene = Scene::new(&harness, config).await?;
    scene.sink.next(Step::Hang);
    let pending = scene.push("1");
    scene.sink.wait_for_attempts(1).await?;
    let start = Instant::now();
    let Ok(destroyed) = tokio::time::timeout(PATIENCE, scene.bridge.destroy_bridge(&scene.id)).await else {
        return Err(crate::Failure::new(format!("destroying took longer than {PATIENCE:?}")));
    };
    check_error!(
        destroyed,
        ErrorKind::Timeout,
        "destroying a bridge with a delivery that hangs"
    );
    check!(
        start.elapsed() >= limit,
        "deliveries were cancelled after {:?}",
        start.elapsed()
    );
    check_error!(
        pending.answer().await?,
        ErrorKind::Cancelled,
        "the message whose delivery was cancelled"
    );
    check!(scene.sink.stops.load(Ordering::SeqCst) > 0, "the sink was not stopped");
    check_error!(
        scene.bridge.bridge_status(&scene.id).await,
        ErrorKind::NotFound,
        "a destroyed bridge"
    );
    Ok(())
}

pub(super) async fn transient_source_errors_do_not_stop_the_bridge(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.source.fail(transient());
    scene.push("1").receipt().await?;
    let status = scene.status().await?;
    check_eq!(status.state, BridgeState::Running, "state");
    let shown = status.last_error.unwrap_or_default();
    check!(
        shown.contains("the connection was lost"),
        "the latest error is {shown:?}"
    );
    Ok(())
}

pub(super) async fn a_permanent_source_error_fails_the_bridge(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.close();
    let in_work = scene.push("1");
    scene.sink.wait_for_attempts(1).await?;
    scene.source.fail(fatal());
    scene.wait_for(BridgeState::Failed).await?;
    scene.sink.open();
    in_work.receipt().await?;
    let shown = scene.status().await?.last_error.unwrap_or_default();
    check!(shown.contains("the peer refuses it"), "the latest error is {shown:?}");
    let sent = scene
        .bridge
        .send_message_through_bridge(&scene.id, message("2", "2"))
        .await;
    check_error!(sent, ErrorKind::Closed, "sending through a failed bridge");
    if scene.bridge.capabilities().pause {
        check_error!(
            scene.bridge.resume_bridge(&scene.id).await,
            ErrorKind::Closed,
            "resuming a failed bridge"
        );
    }
    scene.bridge.destroy_bridge(&scene.id).await?;
    check!(
        scene.source.stops.load(Ordering::SeqCst) > 0,
        "the source was not stopped"
    );
    check!(scene.sink.stops.load(Ordering::SeqCst) > 0, "the sink was not stopped");
    Ok(())
}

pub(super) async fn a_source_that_ends_stops_the_bridge(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let pending = scene.push("1");
    scene.source.end();
    pending.receipt().await?;
    scene.wait_for(BridgeState::Stopped).await?;
    check_eq!(scene.status().await?.last_error, None, "the latest error");
    scene.bridge.destroy_bridge(&scene.id).await?;
    Ok(())
}

pub(super) async fn a_panic_of_the_sink_is_an_error(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.next(Step::Panic);
    check_error!(
        scene.push("1").answer().await?,
        ErrorKind::Internal,
        "a message whose delivery panics"
    );
    scene.push("2").receipt().await?;
    check_eq!(scene.status().await?.state, BridgeState::Running, "state");
    Ok(())
}
