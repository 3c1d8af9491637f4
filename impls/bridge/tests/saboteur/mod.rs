//! The in-process bridge with one fault: in what it is told, in what its ends see, or in what it answers.

mod ends;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::ends::{FaultySink, FaultySource};
use async_trait::async_trait;
use networking_bridge::InProcessBridge;
use networking_spi::bridge::{
    BridgeCapabilities, BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMessage, BridgeMetrics, BridgeReceipt,
    BridgeSink, BridgeSource, BridgeState, BridgeStatus, CommunicationBridge, Disposition, ErrorAction, HealthState,
    RouteAction, RouteRule, RoutingConfig,
};
use networking_spi::{ErrorKind, NetworkError, Result};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Fault {
            $($(#[$doc])* $name),+
        }

        impl Fault {
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

faults! {
    /// The source is acknowledged after a while, whether the sink has the message or not.
    AcknowledgesEarly,
    /// Rejections reach the source as acknowledgements: success for messages that failed.
    HidesRejections,
    /// Every second answer is lost.
    LosesAnswers,
    /// Payloads are trimmed.
    TrimsPayloads,
    /// A header field that comes twice comes once.
    LosesRepeatedHeaders,
    /// Keys do not reach the sink.
    LosesKeys,
    /// The receipt does not say where.
    LosesPositions,
    /// The receipt does not say which rule decided.
    LosesRules,
    /// There is always one attempt in the receipt.
    MiscountsAttempts,
    /// As many deliveries as there are messages.
    IgnoresMaxInFlight,
    /// One delivery at a time.
    OneAtATime,
    /// All messages are in one lane.
    OneLane,
    /// Keys keep no order.
    IgnoresKeys,
    /// Attempts may take for ever.
    IgnoresDeliveryTimeout,
    /// One attempt only.
    NeverRetries,
    /// A hundred attempts.
    RetriesTooOften,
    /// Failures that do not pass are tried again.
    RetriesEverything,
    /// Waits that the sink asks for are not kept.
    IgnoresRetryAfter,
    /// A wait of an hour is cut to what the configuration allows.
    CutsLongWaits,
    /// There are no dead letters.
    IgnoresTheGrave,
    /// Dead letters do not say why.
    SilentDeadLetters,
    /// Dead letters keep what an earlier journey said, first.
    KeepsOldReasons,
    /// Dead letters lose their own header fields.
    StripsDeadLetters,
    /// Payloads of any size.
    IgnoresMaxPayloadSize,
    /// The last rule that matches decides.
    LastMatchDecides,
    /// The default target is not used.
    IgnoresTheDefaultTarget,
    /// Rules that drop deliver.
    DeliversDropped,
    /// Rules that dead-letter deliver.
    DeliversDeadLetters,
    /// Conditions see no headers.
    HidesHeadersFromConditions,
    /// Conditions see another content type.
    HidesTheContentType,
    /// Arithmetic fails.
    BreaksArithmetic,
    /// Evaluation errors are dead-lettered, or not, the other way round.
    SwapsOnError,
    /// Errors of conditions are not counted.
    HidesConditionErrors,
    /// A condition with a result other than a boolean holds.
    TakesAnythingForTrue,
    /// A payload that is not JSON is an empty object.
    MakesObjectsOfGarbage,
    /// Replaced routing has no effect.
    KeepsOldRouting,
    /// Wrong routing is accepted and ignored.
    AcceptsWrongRouting,
    /// Wrong routing makes the former go away.
    ForgetsFormerRouting,
    /// Errors of routing do not name a field.
    NamesNoField,
    /// Conditions are not limited: those that loop long never end.
    RefusesHostileRudely,
    /// Pausing only says so.
    PausesInName,
    /// Resuming only says so.
    ResumesInName,
    /// Pausing twice is an error.
    PausesOnce,
    /// Resuming stops the source first.
    ResumesByRestart,
    /// Messages of the application go straight to the default target.
    SendsPastTheRules,
    /// Errors of messages of the application are all `Internal`.
    HidesSendErrors,
    /// Messages of the application pass a paused bridge.
    SendsThroughPaused,
    /// Messages of the application are not checked.
    SendsUnchecked,
    /// Messages of the application are not counted among those in work.
    SendsUnbounded,
    /// Destroying gives up the work at once.
    DestroysAtOnce,
    /// Destroying leaves what the source holds.
    LeavesTheRest,
    /// Destroying waits for ever.
    DrainsForEver,
    /// Destroying does not stop the sink.
    LeavesTheSinkRunning,
    /// Destroying does not stop the source.
    LeavesTheSourceRunning,
    /// A destroyed bridge is still known.
    RemembersDestroyed,
    /// Names may be used twice.
    SharesNames,
    /// Starting twice.
    StartsTwice,
    /// An end that cannot be started does not matter.
    IgnoresStartErrors,
    /// Wrong configurations become right ones.
    CorrectsConfigurations,
    /// Ids that nobody made are those of an empty bridge.
    KnowsEverybody,
    /// Bridges are listed in the order of their ids.
    ListsById,
    /// Bridges are listed as stopped.
    ListsWrongStates,
    /// A failure of the source that passes ends the bridge.
    FailsOnEveryError,
    /// A failure of the source that does not pass does not end the bridge.
    NeverFails,
    /// A source that ends is a failure.
    FailsAtTheEnd,
    /// A panic of the sink is a success.
    SwallowsPanics,
    /// A panic of the sink hangs.
    HangsOnPanic,
    /// Messages are counted twice.
    CountsTwice,
    /// Targets are not counted.
    ForgetsTargets,
    /// Nothing is in work.
    HidesTheWork,
    /// No error is shown.
    HidesTheLatestError,
    /// All is well.
    AlwaysUp,
    /// Only the source's health counts.
    LooksAtTheSourceOnly,
    /// No message ever failed.
    HidesTheErrorShare,
    /// Says that it cannot pause, and can.
    HidesPause,
}

/// The in-process bridge with one fault.
#[derive(Debug)]
pub(super) struct Saboteur {
    bridge: InProcessBridge,
    fault: Fault,
    names: AtomicU64,
    /// What the fault has to remember of the latest bridge.
    latest: std::sync::Mutex<Option<Latest>>,
}

#[derive(Debug, Clone)]
struct Latest {
    source: Arc<FaultySource>,
    sink: Arc<dyn BridgeSink>,
    default_target: String,
}

impl Saboteur {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            bridge: InProcessBridge::builder().jitter_seed(1).build(),
            fault,
            names: AtomicU64::new(0),
            latest: std::sync::Mutex::new(None),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn latest(&self) -> Latest {
        self.latest.lock().unwrap().clone().expect("there is a bridge")
    }

    fn routing(&self, mut routing: RoutingConfig) -> RoutingConfig {
        match self.fault {
            Fault::LastMatchDecides => routing.rules.reverse(),
            Fault::IgnoresTheDefaultTarget if !routing.rules.is_empty() => routing.default_target = None,
            _ => {}
        }
        for rule in &mut routing.rules {
            self.rule(rule);
        }
        routing
    }

    fn rule(&self, rule: &mut RouteRule) {
        let replaced = match (self.fault, &rule.action) {
            (Fault::DeliversDropped, RouteAction::Drop) | (Fault::DeliversDeadLetters, RouteAction::DeadLetter) => {
                rule.action = RouteAction::Deliver {
                    target: "events".to_owned(),
                };
                None
            }
            (Fault::HidesHeadersFromConditions, _) => {
                Some(rule.condition.replace("headers[", "{}[").replace("in headers", "in []"))
            }
            (Fault::HidesTheContentType, _) => Some(rule.condition.replace("content_type", "'text/plain'")),
            (Fault::BreaksArithmetic, _) => Some(rule.condition.replace(" + 1", " + 1u").replace(" * 2", " * 2u")),
            (Fault::TakesAnythingForTrue, _) if rule.condition == "payload.n" => Some("true".to_owned()),
            (Fault::MakesObjectsOfGarbage, _) => Some(rule.condition.replace("payload == null", "has(payload.n)")),
            _ => None,
        };
        if let Some(condition) = replaced {
            rule.condition = condition;
        }
    }

    fn config(&self, mut config: BridgeConfig) -> BridgeConfig {
        config.routing = self.routing(config.routing);
        match self.fault {
            Fault::IgnoresMaxInFlight => config.max_in_flight = config.max_in_flight.max(1000),
            Fault::OneAtATime => config.max_in_flight = config.max_in_flight.min(1),
            Fault::IgnoresDeliveryTimeout => config.delivery_timeout = Duration::from_secs(86_400),
            Fault::NeverRetries => config.retry.max_attempts = 1,
            Fault::RetriesTooOften => config.retry.max_attempts = 100,
            Fault::IgnoresTheGrave => config.dead_letter_target = None,
            Fault::IgnoresMaxPayloadSize => config.max_payload_size = 1 << 30,
            Fault::DestroysAtOnce => config.drain_timeout = Duration::from_nanos(1),
            Fault::DrainsForEver => config.drain_timeout = Duration::from_secs(86_400),
            Fault::SwapsOnError if config.dead_letter_target.is_some() => {
                config.routing.on_error = match config.routing.on_error {
                    ErrorAction::NoMatch => ErrorAction::DeadLetter,
                    ErrorAction::DeadLetter => ErrorAction::NoMatch,
                }
            }
            Fault::CorrectsConfigurations => config.max_in_flight = config.max_in_flight.max(1),
            Fault::CutsLongWaits => {
                config.retry.backoff.maximum = config.retry.backoff.maximum.max(Duration::from_secs(7200))
            }
            _ => {}
        }
        config
    }

    fn receipt(&self, mut receipt: BridgeReceipt) -> BridgeReceipt {
        ends::spoil_receipt(self.fault, &mut receipt);
        receipt
    }
}

#[async_trait]
impl CommunicationBridge for Saboteur {
    async fn create_bridge(
        &self,
        name: &str,
        source: Arc<dyn BridgeSource>,
        target: Arc<dyn BridgeSink>,
        config: BridgeConfig,
    ) -> Result<BridgeId> {
        let default_target = config
            .routing
            .default_target
            .clone()
            .unwrap_or_else(|| "events".to_owned());
        let config = self.config(config);
        let source = Arc::new(FaultySource::new(self.fault, source));
        let sink: Arc<dyn BridgeSink> =
            Arc::new(FaultySink::new(self.fault, target, config.dead_letter_target.clone()));
        *self.latest.lock().unwrap() = Some(Latest {
            source: Arc::clone(&source),
            sink: Arc::clone(&sink),
            default_target,
        });
        let name = match self.fault {
            Fault::SharesNames => format!("{name}#{}", self.names.fetch_add(1, Ordering::Relaxed)),
            _ => name.to_owned(),
        };
        self.bridge.create_bridge(&name, source, sink, config).await
    }

    async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<()> {
        match self.fault {
            Fault::RemembersDestroyed => {
                self.bridge.bridge_status(bridge).await?;
                self.latest().source.finish();
                Ok(())
            }
            Fault::KnowsEverybody => self.bridge.destroy_bridge(bridge).await.or(Ok(())),
            _ => self.bridge.destroy_bridge(bridge).await,
        }
    }

    async fn send_message_through_bridge(&self, bridge: &BridgeId, message: BridgeMessage) -> Result<BridgeReceipt> {
        let send = |message| async {
            self.bridge
                .send_message_through_bridge(bridge, message)
                .await
                .map(|receipt| self.receipt(receipt))
        };
        let straight = |message: BridgeMessage| async {
            let latest = self.latest();
            let id = message.id.clone();
            latest.sink.deliver(&latest.default_target, message).await?;
            Ok(BridgeReceipt::new(id, Disposition::Delivered, latest.default_target))
        };
        let state = self.bridge.bridge_status(bridge).await.map(|status| status.state);
        match (self.fault, state) {
            (Fault::SendsPastTheRules, Ok(BridgeState::Running))
                if message.payload.len() < 5 || message.payload.starts_with(b"{\"event") =>
            {
                straight(message).await
            }
            (Fault::HidesSendErrors, Ok(BridgeState::Running)) => {
                send(message).await.map_err(|error| match error.kind() {
                    ErrorKind::Remote => NetworkError::new(ErrorKind::Internal, "send", "something went wrong"),
                    _ => error,
                })
            }
            (Fault::SendsThroughPaused, Ok(BridgeState::Paused)) => straight(message).await,
            (Fault::SendsUnchecked, Ok(BridgeState::Running))
                if message.payload.len() > 4 || message.id.trim().is_empty() =>
            {
                match self.bridge.bridge_metrics(bridge).await?.received {
                    0 => straight(message).await,
                    _ => send(message).await,
                }
            }
            (Fault::SendsUnbounded, Ok(BridgeState::Running)) if message.payload == "3" => straight(message).await,
            _ => send(message).await,
        }
    }

    async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus> {
        let mut status = self.bridge.bridge_status(bridge).await?;
        match self.fault {
            Fault::HidesTheWork => status.in_flight = 0,
            Fault::HidesTheLatestError => status.last_error = None,
            Fault::PausesInName if self.latest().source.is_paused() && status.state == BridgeState::Running => {
                status.state = BridgeState::Paused;
            }
            Fault::ResumesInName if self.latest().source.is_resumed() && status.state == BridgeState::Paused => {
                status.state = BridgeState::Running;
            }
            Fault::SharesNames => status.name = unshared(&status.name),
            Fault::FailsAtTheEnd if status.state == BridgeState::Stopped => status.state = BridgeState::Failed,
            _ => {}
        }
        Ok(status)
    }

    async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics> {
        let mut metrics = self.bridge.bridge_metrics(bridge).await?;
        match self.fault {
            Fault::CountsTwice => metrics.received *= 2,
            Fault::ForgetsTargets => metrics.by_target.clear(),
            Fault::HidesConditionErrors => {
                metrics.condition_errors = 0;
                metrics.by_rule.values_mut().for_each(|rule| rule.errors = 0);
            }
            _ => {}
        }
        Ok(metrics)
    }

    async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()> {
        if self.is(Fault::KeepsOldRouting) {
            self.bridge.bridge_status(bridge).await?;
            networking_spi::validate::Validate::validate(&routing)?;
            return Ok(());
        }
        let configured = self
            .bridge
            .configure_bridge_routing(bridge, self.routing(routing))
            .await;
        match (self.fault, configured) {
            (Fault::AcceptsWrongRouting, Err(error)) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            (Fault::ForgetsFormerRouting, Err(error)) if error.kind() == ErrorKind::InvalidInput => {
                self.bridge
                    .configure_bridge_routing(bridge, RoutingConfig::new())
                    .await?;
                Err(error)
            }
            (Fault::NamesNoField, Err(error)) if error.kind() == ErrorKind::InvalidInput => Err(NetworkError::new(
                ErrorKind::InvalidInput,
                "configure",
                "something is wrong",
            )),
            (Fault::RefusesHostileRudely, Err(error))
                if error.message().contains("nest") || error.message().contains("terms") =>
            {
                Err(NetworkError::new(
                    ErrorKind::Internal,
                    "configure",
                    "the compiler crashed",
                ))
            }
            (_, configured) => configured,
        }
    }

    async fn all_bridges(&self) -> Result<Vec<BridgeInfo>> {
        let mut all = self.bridge.all_bridges().await?;
        match self.fault {
            Fault::ListsById => all.sort_by(|a, b| b.id.cmp(&a.id)),
            Fault::ListsWrongStates => all.iter_mut().for_each(|info| info.state = BridgeState::Stopped),
            Fault::SharesNames => all.iter_mut().for_each(|info| info.name = unshared(&info.name)),
            _ => {}
        }
        Ok(all)
    }

    async fn monitor_bridge_health(&self, bridge: &BridgeId) -> Result<BridgeHealth> {
        let mut health = self.bridge.monitor_bridge_health(bridge).await?;
        match self.fault {
            Fault::AlwaysUp => health.state = HealthState::Up,
            Fault::LooksAtTheSourceOnly if health.state != HealthState::Up => health.state = health.source.state,
            Fault::HidesTheErrorShare => health.error_percent = 0,
            _ => {}
        }
        Ok(health)
    }

    async fn pause_bridge(&self, bridge: &BridgeId) -> Result<()> {
        let state = self.bridge.bridge_status(bridge).await?.state;
        match self.fault {
            Fault::PausesInName if state == BridgeState::Running => {
                self.latest().source.pause(true);
                Ok(())
            }
            Fault::PausesOnce if state == BridgeState::Paused => Err(NetworkError::closed("pause", "the bridge")),
            Fault::ResumesInName => {
                self.latest().source.resume(false);
                self.bridge.pause_bridge(bridge).await
            }
            _ => self.bridge.pause_bridge(bridge).await,
        }
    }

    async fn resume_bridge(&self, bridge: &BridgeId) -> Result<()> {
        let state = self.bridge.bridge_status(bridge).await?.state;
        match self.fault {
            Fault::PausesInName => {
                self.latest().source.pause(false);
                self.bridge.resume_bridge(bridge).await
            }
            Fault::ResumesInName if state == BridgeState::Paused => {
                self.latest().source.resume(true);
                Ok(())
            }
            Fault::ResumesByRestart if state == BridgeState::Paused => {
                self.latest().source.count_a_stop().await;
                self.bridge.resume_bridge(bridge).await
            }
            _ => self.bridge.resume_bridge(bridge).await,
        }
    }

    fn capabilities(&self) -> BridgeCapabilities {
        let mut capabilities = self.bridge.capabilities();
        capabilities.pause = !self.is(Fault::HidesPause);
        capabilities
    }
}

fn unshared(name: &str) -> String {
    name.split('#').next().unwrap_or_default().to_owned()
}
