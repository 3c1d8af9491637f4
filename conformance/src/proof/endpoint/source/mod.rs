//! A model of a source, and saboteurs.

mod saboteur;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::bridge::{
    Acknowledge, BridgeMessage, BridgeProtocol, BridgeReceipt, BridgeSource, Delivery, EndpointHealth, HealthState,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use tokio::sync::Notify;

pub use self::saboteur::Saboteur;
use super::{decoded, locked, rewritten, trimmed, without_parameters, without_repeated};
use crate::endpoint::source::{PeerOutcome, PeerOutcomes, SourceHarness, SourcePeer, SourceProfile, SourceSubject};
use crate::endpoint::{Content, Sent};
use crate::kit::{CaseRuntime, Harness};

/// The number of messages that the model holds.
const HOLDS: usize = 8;

/// A credential of the model.
const SECRET: &str = "hunter2-of-the-source";

/// Makes model sources.
#[derive(Debug, Clone)]
pub struct ModelSourceHarness {
    saboteur: Option<Saboteur>,
    outcomes: PeerOutcomes,
}

impl ModelSourceHarness {
    /// Correct sources, whose peer learns this of its messages.
    pub const fn new(outcomes: PeerOutcomes) -> Self {
        Self {
            saboteur: None,
            outcomes,
        }
    }

    /// Sources with the mistake of this saboteur.
    pub const fn broken(saboteur: Saboteur) -> Self {
        Self {
            saboteur: Some(saboteur),
            outcomes: match saboteur {
                Saboteur::ForgetsRejected => PeerOutcomes::Kept,
                _ => PeerOutcomes::Reported,
            },
        }
    }
}

impl Harness for ModelSourceHarness {
    fn backend(&self) -> &'static str {
        "model_source"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl SourceHarness for ModelSourceHarness {
    fn profile(&self) -> SourceProfile {
        SourceProfile::new(BridgeProtocol::Memory, Content::all(), self.outcomes, HOLDS)
            .with_unavailable_peer()
            .with_secret(SECRET)
    }

    async fn source(&self) -> Result<SourceSubject> {
        let shared = Arc::new(Shared {
            saboteur: self.saboteur,
            keeps: self.outcomes == PeerOutcomes::Kept,
            state: Mutex::default(),
            changed: Notify::new(),
            receiving: AtomicBool::new(false),
        });
        Ok(SourceSubject::new(
            Arc::new(ModelSource(Arc::clone(&shared))),
            Arc::new(ModelPeer(shared)),
        ))
    }
}

/// What the source and its peer share.
struct Shared {
    saboteur: Option<Saboteur>,
    /// Whether the peer keeps messages until they are acknowledged.
    keeps: bool,
    state: Mutex<State>,
    changed: Notify,
    /// Whether a call of `receive` is in progress.
    receiving: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Messages that the peer has sent and the source has not taken.
    at_peer: VecDeque<(Sent, BridgeMessage)>,
    queue: VecDeque<(Sent, BridgeMessage)>,
    in_flight: Vec<Sent>,
    /// The latest payload that was received.
    latest: Option<Bytes>,
    outcomes: HashMap<Sent, PeerOutcome>,
    arrived: usize,
    starts: usize,
    stops: usize,
    ended: bool,
    unavailable: bool,
}

impl State {
    fn stopped(&self) -> bool {
        self.stops > 0
    }

    fn refuse(&mut self, sent: Sent, reason: &str) {
        self.outcomes.insert(sent, PeerOutcome::Refused(reason.to_owned()));
    }
}

impl Shared {
    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == Some(saboteur)
    }

    /// Moves messages from the peer to the queue, as far as there is room.
    fn take(&self, state: &mut State) {
        let takes = state.starts > 0 && (!state.stopped() || self.is(Saboteur::TakesAfterStop)) && !state.unavailable;
        while takes && (state.queue.len() < HOLDS || self.is(Saboteur::HoldsEverything)) {
            let Some((sent, message)) = state.at_peer.pop_front() else {
                break;
            };
            state.arrived += 1;
            if self.is(Saboteur::ForgetsAtSecondStart) && state.starts > 1
                || self.is(Saboteur::SkipsEmptyPayloads) && message.payload.is_empty()
            {
                continue;
            }
            state.queue.push_back((sent, message));
        }
    }

    fn settle(&self, sent: Sent, message: BridgeMessage, result: Result<BridgeReceipt>) {
        let mut state = locked(&self.state);
        state.in_flight.retain(|in_flight| *in_flight != sent);
        if !matches!(state.outcomes.get(&sent), None | Some(PeerOutcome::Pending)) {
            return;
        }
        match result {
            Ok(_) if self.is(Saboteur::LosesAcknowledgements) => {}
            Ok(_) => {
                if self.is(Saboteur::AcknowledgesEarlierMessages) {
                    for earlier in 0..sent.0 {
                        state.outcomes.insert(Sent(earlier), PeerOutcome::Acknowledged);
                    }
                }
                state.outcomes.insert(sent, PeerOutcome::Acknowledged);
            }
            Err(error) => {
                let dropped = error.kind() == ErrorKind::Cancelled;
                if self.is(Saboteur::AcknowledgesRejections)
                    || self.is(Saboteur::AcknowledgesDropped) && dropped
                    || self.is(Saboteur::AcknowledgesPermanentRejections) && error.kind() == ErrorKind::Remote
                {
                    state.outcomes.insert(sent, PeerOutcome::Acknowledged);
                } else if !self.keeps {
                    state.refuse(sent, error.message());
                } else if !self.is(Saboteur::ForgetsRejected) {
                    state.queue.push_front((sent, message));
                }
            }
        }
        self.take(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The message as the source reads it.
    fn read(&self, mut message: BridgeMessage) -> BridgeMessage {
        if !self.is(Saboteur::KeepsCapitals) {
            for (name, _) in &mut message.headers {
                name.make_ascii_lowercase();
            }
        }
        match self.saboteur {
            Some(Saboteur::TrimsPayloads) => message.payload = trimmed(&message.payload),
            Some(Saboteur::DecodesPayloads) => message.payload = decoded(&message.payload),
            Some(Saboteur::RewritesJson) => message.payload = rewritten(&message.payload),
            Some(Saboteur::CutsPayloads) => message.payload.truncate(64 << 10),
            Some(Saboteur::DropsEmptyKeys) => message.key = message.key.filter(|key| !key.is_empty()),
            Some(Saboteur::InventsKeys) => message.key = Some(message.key.unwrap_or_default()),
            Some(Saboteur::LosesRepeatedHeaders) => message.headers = without_repeated(message.headers),
            Some(Saboteur::SortsHeaders) => message.headers.sort_by(|(a, _), (b, _)| a.cmp(b)),
            Some(Saboteur::DecodesHeaders) => {
                for (_, value) in &mut message.headers {
                    *value = decoded(value);
                }
            }
            Some(Saboteur::StripsParameters) => {
                message.content_type = message.content_type.as_deref().map(without_parameters);
            }
            Some(Saboteur::GuessesContentTypes) => {
                message
                    .content_type
                    .get_or_insert_with(|| "application/octet-stream".to_owned());
            }
            Some(Saboteur::ReusesIds) => "the-id".clone_into(&mut message.id),
            Some(Saboteur::LosesIds) => message.id.clear(),
            _ => {}
        }
        message
    }

    /// The next result of `receive`; `None` if there is none yet.
    fn next(self: &Arc<Self>) -> Option<Result<Option<Delivery>>> {
        let mut state = locked(&self.state);
        if state.starts == 0 && !state.stopped() {
            return self.is(Saboteur::EndsBeforeStart).then_some(Ok(None));
        }
        if state.unavailable && !state.stopped() {
            let error = NetworkError::new(ErrorKind::ConnectionRefused, "model.receive", "the peer is unavailable");
            return Some(Err(if self.is(Saboteur::EndsWithThePeer) {
                error.with_retryability(Retryability::Never)
            } else {
                error.with_retryability(Retryability::Now)
            }));
        }
        self.take(&mut state);
        let next = if self.is(Saboteur::ReversesOrder) {
            state.queue.pop_back()
        } else {
            state.queue.pop_front()
        };
        if let Some((sent, message)) = next {
            state.in_flight.push(sent);
            state.latest = Some(message.payload.clone());
            if self.is(Saboteur::AcknowledgesEarly) {
                state.outcomes.insert(sent, PeerOutcome::Acknowledged);
            }
            let answer = Answer {
                shared: Arc::clone(self),
                sent,
                message: message.clone(),
            };
            return Some(Ok(Some(Delivery::new(self.read(message), Box::new(answer)))));
        }
        if !state.stopped() {
            return None;
        }
        if std::mem::replace(&mut state.ended, true) && self.is(Saboteur::FailsAfterTheEnd) {
            return Some(Err(NetworkError::closed("model.receive", "the source")));
        }
        Some(Ok(None))
    }
}

struct Answer {
    shared: Arc<Shared>,
    sent: Sent,
    message: BridgeMessage,
}

impl Acknowledge for Answer {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        self.shared.settle(self.sent, self.message, result);
    }
}

struct ModelSource(Arc<Shared>);

#[async_trait]
impl BridgeSource for ModelSource {
    fn protocol(&self) -> BridgeProtocol {
        if self.0.is(Saboteur::ChangesProtocol) && locked(&self.0.state).starts > 0 {
            return BridgeProtocol::Tcp;
        }
        BridgeProtocol::Memory
    }

    async fn start(&self) -> Result<()> {
        let shared = &self.0;
        let mut state = locked(&shared.state);
        if state.stopped() && !shared.is(Saboteur::StartsAgain) {
            return Err(NetworkError::closed("model.start", "the source"));
        }
        state.starts += 1;
        if state.starts > 1 && shared.is(Saboteur::FailsSecondStart) {
            return Err(NetworkError::new(ErrorKind::Internal, "model.start", "started twice"));
        }
        drop(state);
        shared.changed.notify_waiters();
        Ok(())
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        let shared = &self.0;
        let only = Only(shared);
        if shared.receiving.swap(true, Ordering::SeqCst) && shared.is(Saboteur::HasOneReceiver) {
            std::mem::forget(only);
            return Err(NetworkError::new(
                ErrorKind::Conflict,
                "model.receive",
                "another call of `receive` is in progress",
            ));
        }
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // Before the queue is read, so that no change is missed.
            changed.as_mut().enable();
            if let Some(next) = shared.next() {
                if shared.is(Saboteur::LosesOnCancel) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                return next;
            }
            if shared.is(Saboteur::TimesOutWhenIdle) {
                let idle = tokio::time::timeout(Duration::from_millis(20), changed).await;
                if idle.is_err() && locked(&shared.state).starts > 0 {
                    return Err(
                        NetworkError::new(ErrorKind::Timeout, "model.receive", "no message arrived")
                            .with_retryability(Retryability::Now),
                    );
                }
            } else {
                changed.await;
            }
        }
    }

    async fn stop(&self) -> Result<()> {
        let shared = &self.0;
        let mut state = locked(&shared.state);
        state.stops += 1;
        if state.stops > 1 {
            return if shared.is(Saboteur::FailsSecondStop) {
                Err(NetworkError::closed("model.stop", "the source"))
            } else {
                Ok(())
            };
        }
        if shared.is(Saboteur::RefusesAtStop) || shared.is(Saboteur::ForgetsAtStop) {
            let queued = std::mem::take(&mut state.queue);
            for (sent, _) in queued.into_iter().filter(|_| shared.is(Saboteur::RefusesAtStop)) {
                state.refuse(sent, "stopped");
            }
        }
        if shared.is(Saboteur::RefusesInFlightAtStop) {
            for sent in std::mem::take(&mut state.in_flight) {
                state.refuse(sent, "stopped");
            }
        }
        if !shared.keeps {
            for (sent, _) in std::mem::take(&mut state.at_peer) {
                state.refuse(sent, "stopped");
            }
        }
        drop(state);
        match shared.saboteur {
            Some(Saboteur::DoesNotWake) => {}
            Some(Saboteur::WakesOne) => shared.changed.notify_one(),
            _ => shared.changed.notify_waiters(),
        }
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        while self.0.is(Saboteur::BlocksHealth) && self.0.receiving.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let state = locked(&self.0.state);
        EndpointHealth::new(if self.0.is(Saboteur::HasNoHealth) {
            HealthState::Unknown
        } else if self.0.is(Saboteur::IsAlwaysUp) {
            HealthState::Up
        } else if state.starts == 0 || state.stopped() {
            HealthState::Down
        } else if state.unavailable {
            HealthState::Degraded
        } else {
            HealthState::Up
        })
    }
}

impl fmt::Debug for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ModelSource");
        if self.0.is(Saboteur::ShowsSecrets) {
            shown.field("secret", &SECRET);
        }
        if self.0.is(Saboteur::ShowsMessages) {
            shown.field("latest", &locked(&self.0.state).latest);
        }
        shown.finish_non_exhaustive()
    }
}

/// Ends a call of `receive`.
struct Only<'a>(&'a Shared);

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.receiving.store(false, Ordering::SeqCst);
    }
}

struct ModelPeer(Arc<Shared>);

#[async_trait]
impl SourcePeer for ModelPeer {
    async fn send(&self, message: BridgeMessage) -> Result<Sent> {
        let shared = &self.0;
        let mut state = locked(&shared.state);
        if state.stopped() && shared.saboteur.is_none() && !shared.keeps {
            return Err(NetworkError::closed("model.send", "the source"));
        }
        let sent = Sent(state.outcomes.len() as u64);
        state.outcomes.insert(sent, PeerOutcome::Pending);
        state.at_peer.push_back((sent, message));
        if state.stopped() && !shared.keeps && !shared.is(Saboteur::TakesAfterStop) {
            state.at_peer.pop_back();
            if !shared.is(Saboteur::KeepsLatePeersWaiting) {
                state.refuse(sent, "stopped");
            }
        }
        shared.take(&mut state);
        drop(state);
        shared.changed.notify_waiters();
        Ok(sent)
    }

    async fn outcome(&self, sent: Sent) -> PeerOutcome {
        let state = locked(&self.0.state);
        state.outcomes.get(&sent).cloned().unwrap_or(PeerOutcome::Pending)
    }

    fn arrived(&self) -> Option<usize> {
        Some(locked(&self.0.state).arrived)
    }

    async fn set_available(&self, available: bool) -> Result<()> {
        locked(&self.0.state).unavailable = !available;
        self.0.changed.notify_waiters();
        Ok(())
    }
}
