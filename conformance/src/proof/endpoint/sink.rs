//! A model of a sink, and saboteurs.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use tokio::sync::watch;

use super::{decoded, locked, rewritten, trimmed, without_parameters, without_repeated};
use crate::endpoint::Content;
use crate::endpoint::sink::{Received, SinkHarness, SinkPeer, SinkProfile, SinkSubject};
use crate::kit::{CaseRuntime, Harness};

const TARGETS: [&str; 2] = ["events", "others"];

/// A credential of the model.
const SECRET: &str = "hunter2-of-the-sink";

crate::saboteurs! {
    domain "endpoint";

    /// A sink with one mistake.
    pub enum Saboteur {
        /// The protocol is another one after the start.
        ChangesProtocol => ["sink_lifecycle::the_protocol_is_stable"],
        /// Deliveries before the start succeed and are lost.
        LosesBeforeStart => ["sink_lifecycle::delivering_before_start_is_not_lost"],
        /// After a second start, deliveries fail.
        BreaksAtSecondStart => ["sink_lifecycle::a_second_start_changes_nothing"],
        /// The health is `up`, always.
        IsAlwaysUp => [
            "sink_lifecycle::health_follows_the_life_of_the_sink",
            "sink_failure::health_reports_an_unavailable_peer",
        ],
        /// The health does not notice an unavailable peer.
        StaysUp => ["sink_failure::health_reports_an_unavailable_peer"],
        /// The health does not notice that the peer is back.
        StaysDown => ["sink_failure::health_reports_an_unavailable_peer"],
        /// `health` waits until no delivery is in progress.
        BlocksHealth => ["sink_lifecycle::health_answers_during_deliveries"],
        /// Errors show the configuration's credentials.
        ShowsSecretsInErrors => ["sink_lifecycle::debug_shows_no_secret"],
        /// `Debug` shows the configuration's credentials.
        ShowsSecrets => ["sink_lifecycle::debug_shows_no_secret"],
        /// `Debug` shows the latest message.
        ShowsMessages => ["sink_lifecycle::debug_shows_no_secret"],
        /// A second stop fails.
        FailsSecondStop => ["sink_lifecycle::stopping_twice_succeeds"],
        /// A stopped sink starts again.
        StartsAgain => ["sink_lifecycle::a_stopped_sink_cannot_start"],
        /// Deliveries after the stop succeed.
        DeliversAfterStop => ["sink_lifecycle::a_stopped_sink_delivers_nothing"],
        /// A stop does not wait for deliveries.
        StopsAtOnce => ["sink_lifecycle::stopping_waits_for_deliveries"],
        /// A stop cancels deliveries.
        CancelsAtStop => ["sink_lifecycle::stopping_waits_for_deliveries"],
        /// White space around payloads is removed.
        TrimsPayloads => ["sink_content::payloads_arrive_byte_for_byte"],
        /// Payloads are read as UTF-8.
        DecodesPayloads => ["sink_content::payloads_arrive_byte_for_byte"],
        /// Payloads of JSON are parsed and written again.
        RewritesJson => ["sink_content::payloads_arrive_byte_for_byte"],
        /// Empty payloads are not sent.
        SkipsEmptyPayloads => ["sink_content::payloads_arrive_byte_for_byte"],
        /// Payloads end after 64 KiB.
        CutsPayloads => ["sink_content::payloads_arrive_byte_for_byte"],
        /// Empty keys are no keys.
        DropsEmptyKeys => ["sink_content::keys_arrive_byte_for_byte"],
        /// Of repeated header fields, only the last is sent.
        LosesRepeatedHeaders => ["sink_content::header_fields_arrive_byte_for_byte"],
        /// Values of header fields are read as UTF-8.
        DecodesHeaders => ["sink_content::header_fields_arrive_byte_for_byte"],
        /// Parameters of content types are removed.
        StripsParameters => ["sink_content::content_types_arrive"],
        /// Messages get other ids.
        ReplacesIds => ["sink_content::ids_arrive"],
        /// All messages are delivered to one target.
        IgnoresTargets => [
            "sink_deliver::messages_reach_their_target",
            "sink_failure::an_invalid_target_is_a_permanent_failure",
        ],
        /// The twelfth message overtakes the eleventh.
        Overtakes => ["sink_deliver::messages_keep_their_order"],
        /// Of concurrent deliveries, one is sent.
        LosesConcurrent => ["sink_deliver::concurrent_deliveries_arrive_once"],
        /// Concurrent deliveries are sent twice.
        RepeatsConcurrent => ["sink_deliver::concurrent_deliveries_arrive_once"],
        /// Positions are not returned.
        LosesPositions => ["sink_deliver::positions_are_those_of_the_peer"],
        /// Positions are counted by the sink, from 1.
        CountsPositions => ["sink_deliver::positions_are_those_of_the_peer"],
        /// Deliveries do not wait for the peer's acknowledgement.
        DoesNotWait => [
            "sink_lifecycle::stopping_waits_for_deliveries",
            "sink_deliver::the_acknowledgement_of_the_peer_is_awaited",
            "sink_deliver::a_cancelled_delivery_leaves_the_sink_usable",
        ],
        /// A cancelled delivery counts as in progress forever.
        CountsCancelled => ["sink_deliver::a_cancelled_delivery_leaves_the_sink_usable"],
        /// An unavailable peer is a permanent failure.
        GivesUp => ["sink_failure::an_unavailable_peer_is_transient"],
        /// A delivery to an unavailable peer succeeds.
        HidesFailures => [
            "sink_failure::an_unavailable_peer_is_transient",
            "sink_failure::health_reports_an_unavailable_peer",
        ],
        /// A refusal is a transient failure.
        RetriesRefusals => ["sink_failure::a_refused_message_is_a_permanent_failure"],
        /// A refusal is a success.
        HidesRefusals => ["sink_failure::a_refused_message_is_a_permanent_failure"],
        /// An invalid target is a transient failure.
        RetriesInvalidTargets => ["sink_failure::an_invalid_target_is_a_permanent_failure"],
    }
}

/// Makes model sinks.
#[derive(Debug, Clone, Default)]
pub struct ModelSinkHarness {
    saboteur: Option<Saboteur>,
}

impl ModelSinkHarness {
    /// Correct sinks.
    pub const fn new() -> Self {
        Self { saboteur: None }
    }

    /// Sinks with the mistake of this saboteur.
    pub const fn broken(saboteur: Saboteur) -> Self {
        Self {
            saboteur: Some(saboteur),
        }
    }
}

impl Harness for ModelSinkHarness {
    fn backend(&self) -> &'static str {
        "model_sink"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl SinkHarness for ModelSinkHarness {
    fn profile(&self) -> SinkProfile {
        SinkProfile::new(BridgeProtocol::Memory, Content::all(), TARGETS[0])
            .with_other_target(TARGETS[1])
            .with_invalid_target("unknown")
            .with_positions()
            .with_unavailable_peer()
            .with_held_acknowledgements()
            .with_refusals()
            .with_secret(SECRET)
    }

    async fn sink(&self) -> Result<SinkSubject> {
        let shared = Arc::new(Shared {
            saboteur: self.saboteur,
            state: Mutex::default(),
            held: watch::Sender::new(false),
            running: watch::Sender::new(0),
        });
        Ok(SinkSubject::new(
            Arc::new(ModelSink(Arc::clone(&shared))),
            Arc::new(ModelPeer(shared)),
        ))
    }
}

/// What the sink and its peer share.
struct Shared {
    saboteur: Option<Saboteur>,
    state: Mutex<State>,
    /// Whether the peer withholds acknowledgements.
    held: watch::Sender<bool>,
    /// The number of deliveries in progress.
    running: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    received: Vec<(String, Received)>,
    unavailable: bool,
    refuses: bool,
    /// Whether the latest delivery failed.
    failed: bool,
    starts: usize,
    stops: usize,
}

impl Shared {
    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == Some(saboteur)
    }

    /// The message as the sink sends it.
    fn written(&self, mut message: BridgeMessage) -> BridgeMessage {
        match self.saboteur {
            Some(Saboteur::TrimsPayloads) => message.payload = trimmed(&message.payload),
            Some(Saboteur::DecodesPayloads) => message.payload = decoded(&message.payload),
            Some(Saboteur::RewritesJson) => message.payload = rewritten(&message.payload),
            Some(Saboteur::CutsPayloads) => message.payload.truncate(64 << 10),
            Some(Saboteur::DropsEmptyKeys) => message.key = message.key.filter(|key| !key.is_empty()),
            Some(Saboteur::LosesRepeatedHeaders) => message.headers = without_repeated(message.headers),
            Some(Saboteur::DecodesHeaders) => {
                for (_, value) in &mut message.headers {
                    *value = decoded(value);
                }
            }
            Some(Saboteur::StripsParameters) => {
                message.content_type = message.content_type.as_deref().map(without_parameters);
            }
            Some(Saboteur::ReplacesIds) => message.id.push('!'),
            _ => {}
        }
        message
    }

    /// Sends a message to the peer, which answers at once.
    fn send(&self, target: &str, message: BridgeMessage, concurrent: bool) -> Result<Option<String>> {
        let mut state = locked(&self.state);
        let failure = |kind, message: &'static str| NetworkError::new(kind, "model.deliver", message);
        if state.unavailable {
            let error = failure(ErrorKind::ConnectionRefused, "the peer is unavailable");
            return match self.saboteur {
                Some(Saboteur::HidesFailures) => Ok(None),
                Some(Saboteur::ShowsSecretsInErrors) => Err(error.with_source(std::io::Error::other(SECRET))),
                Some(Saboteur::GivesUp) => Err(error.with_retryability(Retryability::Never)),
                _ => Err(error.with_retryability(Retryability::Now)),
            };
        }
        if std::mem::take(&mut state.refuses) {
            let error = failure(ErrorKind::Remote, "the peer refuses the message");
            return match self.saboteur {
                Some(Saboteur::HidesRefusals) => Ok(None),
                Some(Saboteur::RetriesRefusals) => Err(error.with_retryability(Retryability::Now)),
                _ => Err(error.with_retryability(Retryability::Never)),
            };
        }
        let target = if self.is(Saboteur::IgnoresTargets) {
            TARGETS[0]
        } else {
            target
        };
        if !TARGETS.contains(&target) {
            let error = failure(ErrorKind::NotFound, "the peer has no such target");
            return Err(if self.is(Saboteur::RetriesInvalidTargets) {
                error.with_retryability(Retryability::Now)
            } else {
                error.with_retryability(Retryability::Never)
            });
        }
        if self.is(Saboteur::LosesConcurrent) && concurrent
            || self.is(Saboteur::SkipsEmptyPayloads) && message.payload.is_empty()
        {
            return Ok(None);
        }
        let position = state.received.len().to_string();
        let received = Received::new(self.written(message)).with_position(position.clone());
        let copies = if self.is(Saboteur::RepeatsConcurrent) && concurrent {
            2
        } else {
            1
        };
        for _ in 0..copies {
            state.received.push((target.to_owned(), received.clone()));
        }
        let messages = state.received.len();
        if messages == 12 && self.is(Saboteur::Overtakes) {
            state.received.swap(10, 11);
        }
        Ok(match self.saboteur {
            Some(Saboteur::LosesPositions) => None,
            Some(Saboteur::CountsPositions) => Some(messages.to_string()),
            _ => Some(position),
        })
    }
}

struct ModelSink(Arc<Shared>);

#[async_trait]
impl BridgeSink for ModelSink {
    fn protocol(&self) -> BridgeProtocol {
        if self.0.is(Saboteur::ChangesProtocol) && locked(&self.0.state).starts > 0 {
            return BridgeProtocol::Tcp;
        }
        BridgeProtocol::Memory
    }

    fn delivery_limit(&self) -> Option<Duration> {
        None
    }

    async fn start(&self) -> Result<()> {
        let mut state = locked(&self.0.state);
        if state.stops > 0 && !self.0.is(Saboteur::StartsAgain) {
            return Err(NetworkError::closed("model.start", "the sink"));
        }
        state.starts += 1;
        Ok(())
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let shared = &self.0;
        let (starts, stops) = {
            let state = locked(&shared.state);
            (state.starts, state.stops)
        };
        if starts == 0 && shared.is(Saboteur::LosesBeforeStart) {
            return Ok(None);
        }
        let broken = starts > 1 && shared.is(Saboteur::BreaksAtSecondStart);
        if starts == 0 || broken || stops > 0 && !shared.is(Saboteur::DeliversAfterStop) {
            return Err(NetworkError::closed("model.deliver", "the sink"));
        }
        let running = Running::begin(shared);
        // Lets other deliveries begin.
        tokio::task::yield_now().await;
        let concurrent = *shared.running.borrow() > 1;
        if !shared.is(Saboteur::DoesNotWait) {
            let mut held = shared.held.subscribe();
            // `shared` holds the sender, so this cannot fail.
            let _ = held.wait_for(|held| !held).await;
        }
        if shared.is(Saboteur::CancelsAtStop) && locked(&shared.state).stops > 0 {
            return Err(NetworkError::new(
                ErrorKind::Cancelled,
                "model.deliver",
                "the sink stopped",
            ));
        }
        let sent = shared.send(target, message, concurrent);
        let mut state = locked(&shared.state);
        let was_failed = state.failed;
        state.failed = sent.is_err() || was_failed && shared.is(Saboteur::StaysDown);
        drop(state);
        drop(running);
        sent
    }

    async fn stop(&self) -> Result<()> {
        let stops = {
            let mut state = locked(&self.0.state);
            state.stops += 1;
            state.stops
        };
        if stops > 1 && self.0.is(Saboteur::FailsSecondStop) {
            return Err(NetworkError::closed("model.stop", "the sink"));
        }
        if !self.0.is(Saboteur::StopsAtOnce) {
            let mut running = self.0.running.subscribe();
            // `self` holds the sender, so this cannot fail.
            let _ = running.wait_for(|running| *running == 0).await;
        }
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        if self.0.is(Saboteur::BlocksHealth) {
            let mut running = self.0.running.subscribe();
            // `self` holds the sender, so this cannot fail.
            let _ = running.wait_for(|running| *running == 0).await;
        }
        let state = locked(&self.0.state);
        EndpointHealth::new(if self.0.is(Saboteur::IsAlwaysUp) {
            HealthState::Up
        } else if state.starts == 0 || state.stops > 0 {
            HealthState::Down
        } else if state.failed && !self.0.is(Saboteur::StaysUp) {
            HealthState::Degraded
        } else {
            HealthState::Up
        })
    }
}

impl fmt::Debug for ModelSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ModelSink");
        if self.0.is(Saboteur::ShowsSecrets) {
            shown.field("secret", &SECRET);
        }
        if self.0.is(Saboteur::ShowsMessages) {
            let state = locked(&self.0.state);
            let latest = state.received.last();
            shown.field("latest", &latest.map(|(_, received)| &received.message.payload));
        }
        shown.finish_non_exhaustive()
    }
}

/// Counts a delivery as in progress until it is dropped.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.running.send_modify(|running| *running += 1);
        Self(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.is(Saboteur::CountsCancelled) && *self.0.held.borrow() {
            return;
        }
        self.0.running.send_modify(|running| *running -= 1);
    }
}

struct ModelPeer(Arc<Shared>);

#[async_trait]
impl SinkPeer for ModelPeer {
    async fn received(&self, target: &str) -> Vec<Received> {
        let state = locked(&self.0.state);
        let of_target = state.received.iter().filter(|(received, _)| received == target);
        of_target.map(|(_, received)| received.clone()).collect()
    }

    async fn set_available(&self, available: bool) -> Result<()> {
        locked(&self.0.state).unavailable = !available;
        Ok(())
    }

    async fn set_held(&self, held: bool) -> Result<()> {
        self.0.held.send_replace(held);
        Ok(())
    }

    async fn refuse_next(&self) -> Result<()> {
        locked(&self.0.state).refuses = true;
        Ok(())
    }
}
