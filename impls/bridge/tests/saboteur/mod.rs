//! Saboteurs: the in-process bridge, deliberately broken. Each saboteur changes configurations, messages between the bridge
//! and its endpoints, or results.

mod ends;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::ends::{SaboteurSink, SaboteurSource};
use async_trait::async_trait;
use networking_bridge::InProcessBridge;
use networking_spi::bridge::{
    BridgeCapabilities, BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMessage, BridgeMetrics, BridgeReceipt,
    BridgeSink, BridgeSource, BridgeState, BridgeStatus, CommunicationBridge, Disposition, ErrorAction, HealthState,
    RouteAction, RouteRule, RoutingConfig,
};
use networking_spi::{ErrorKind, NetworkError, Result};

macro_rules! saboteurs {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What the bridge does wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Saboteur {
            $($(#[$doc])* $name),+
        }

        impl Saboteur {
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

saboteurs! {
    /// Acknowledges each message to the source after 50 ms, whether or not the sink has it.
    AcknowledgesEarly,
    /// Acknowledges messages that were rejected.
    HidesRejections,
    /// Neither acknowledges nor rejects one message in eight.
    LosesResults,
    /// Trims payloads.
    TrimsPayloads,
    /// Parses payloads of JSON, and writes them again.
    RewritesJson,
    /// Delivers only the first header field of each name.
    LosesRepeatedHeaders,
    /// Delivers messages without their keys.
    LosesKeys,
    /// Omits the position from receipts.
    LosesPositions,
    /// Omits the rule from receipts.
    LosesRules,
    /// Reports one attempt in all receipts.
    MiscountsAttempts,
    /// Does not limit the messages in flight.
    IgnoresMaxInFlight,
    /// Delivers one message at a time.
    DeliversOneAtATime,
    /// Processes all messages in order, as if they had the same key.
    PutsAllInOneLane,
    /// Does not keep the order of messages of the same key.
    IgnoresKeys,
    /// Does not limit the time of an attempt.
    IgnoresDeliveryTimeout,
    /// Makes one attempt.
    NeverRetries,
    /// Makes 100 attempts.
    RetriesTooOften,
    /// Retries errors that are not retryable.
    RetriesEverything,
    /// Ignores the delay that the sink requests.
    IgnoresRetryAfter,
    /// Waits and retries when the sink requests a longer delay than the configured maximum.
    ShortensLongWaits,
    /// Does not dead-letter.
    IgnoresTheDeadLetterTarget,
    /// Omits the reason from dead letters.
    OmitsDeadLetterReasons,
    /// Keeps the reasons of an earlier dead-lettering.
    KeepsOldReasons,
    /// Removes the header fields of the message from dead letters.
    StripsDeadLetters,
    /// Accepts payloads of any size.
    IgnoresMaxPayloadSize,
    /// Uses the last rule that matches.
    LastMatchDecides,
    /// Does not use the default target.
    IgnoresTheDefaultTarget,
    /// Delivers messages that a rule drops.
    DeliversDropped,
    /// Delivers messages that a rule dead-letters.
    DeliversDeadLetters,
    /// Hides the headers from conditions.
    HidesHeadersFromConditions,
    /// Shows conditions another content type.
    HidesTheContentType,
    /// Makes arithmetic in conditions fail.
    BreaksArithmetic,
    /// Swaps the two actions for conditions that cannot be evaluated.
    SwapsOnError,
    /// Does not count errors of conditions.
    HidesConditionErrors,
    /// Treats a result that is not a boolean as true.
    TakesAnythingAsTrue,
    /// Treats a payload that is not JSON as an empty object.
    MakesObjectsOfInvalidJson,
    /// Ignores new routing.
    KeepsOldRouting,
    /// Drops the default target with the rules.
    DropsTheDefaultTarget,
    /// Accepts and ignores invalid routing.
    AcceptsInvalidRouting,
    /// Drops the previous routing when the new one is invalid.
    DropsTheFormerRouting,
    /// Omits the field from errors of routing.
    OmitsTheField,
    /// Rejects conditions that are too large or too deep with an internal error.
    RejectsHostileAsInternal,
    /// Reports the bridge as paused, but does not pause it.
    OnlyReportsPaused,
    /// Reports the bridge as running, but does not resume it.
    OnlyReportsRunning,
    /// Returns an error when a paused bridge is paused.
    FailsToPauseTwice,
    /// Stops the source when it resumes.
    ResumesByRestart,
    /// Sends messages of the application to the default target.
    SendsAroundTheRules,
    /// Returns `Remote` errors of messages of the application as `Internal`.
    HidesSendErrors,
    /// Delivers messages of the application while the bridge is paused.
    SendsThroughPaused,
    /// Does not validate messages of the application.
    SendsUnchecked,
    /// Does not count messages of the application as in flight.
    SendsWithoutLimit,
    /// Rejects the messages in flight immediately when it is destroyed.
    DestroysWithoutDraining,
    /// Does not take the messages that the source holds when it is destroyed.
    LeavesMessagesOfTheSource,
    /// Drains without a time limit.
    DrainsForever,
    /// Does not stop the sink.
    LeavesTheSinkRunning,
    /// Does not stop the source.
    LeavesTheSourceRunning,
    /// Keeps a destroyed bridge.
    KeepsDestroyedBridges,
    /// Accepts a name that is in use.
    AllowsDuplicateNames,
    /// Starts the source twice.
    StartsTwice,
    /// Ignores errors of starting an endpoint.
    IgnoresStartErrors,
    /// Corrects invalid configurations instead of rejecting them.
    CorrectsInvalidConfigurations,
    /// Reports success when an unknown bridge is destroyed.
    DestroysUnknownIds,
    /// Lists bridges in the order of their ids.
    ListsById,
    /// Lists all bridges as stopped.
    ListsWrongStates,
    /// Ends the bridge on a transient error of the source.
    FailsOnEveryError,
    /// Does not end the bridge on an error of the source that is not retryable.
    NeverFails,
    /// Reports a bridge whose source ended as failed.
    FailsWhenTheSourceEnds,
    /// Acknowledges a message when the sink panics.
    SwallowsPanics,
    /// Hangs when the sink panics.
    HangsOnPanic,
    /// Counts received messages twice.
    CountsTwice,
    /// Does not count by target.
    OmitsTargetsFromMetrics,
    /// Reports no messages in flight.
    HidesMessagesInFlight,
    /// Omits the latest error.
    HidesTheLatestError,
    /// Always reports the bridge as up.
    AlwaysReportsUp,
    /// Reports the health of the source as that of the bridge.
    ReportsTheSourceHealthOnly,
    /// Reports an error share of 0.
    HidesTheErrorShare,
    /// Pauses, although neither it nor its author declares that.
    PausesUndeclared,
    /// Does not declare that it can pause.
    ForgetsACapability,
}

/// The in-process bridge with one saboteur.
#[derive(Debug)]
pub(super) struct SaboteurBridge {
    bridge: InProcessBridge,
    saboteur: Saboteur,
    names: AtomicU64,
    /// The latest bridge.
    latest: std::sync::Mutex<Option<Latest>>,
}

#[derive(Debug, Clone)]
struct Latest {
    source: Arc<SaboteurSource>,
    sink: Arc<dyn BridgeSink>,
    default_target: String,
}

impl SaboteurBridge {
    pub(super) fn new(saboteur: Saboteur) -> Self {
        Self {
            bridge: InProcessBridge::builder().jitter_seed(1).build(),
            saboteur,
            names: AtomicU64::new(0),
            latest: std::sync::Mutex::new(None),
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    fn latest(&self) -> Latest {
        self.latest.lock().unwrap().clone().expect("a bridge was created")
    }

    fn routing(&self, mut routing: RoutingConfig) -> RoutingConfig {
        match self.saboteur {
            Saboteur::LastMatchDecides => routing.rules.reverse(),
            Saboteur::IgnoresTheDefaultTarget if !routing.rules.is_empty() => routing.default_target = None,
            _ => {}
        }
        for rule in &mut routing.rules {
            self.rule(rule);
        }
        routing
    }

    fn rule(&self, rule: &mut RouteRule) {
        let replaced = match (self.saboteur, &rule.action) {
            (Saboteur::DeliversDropped, RouteAction::Drop)
            | (Saboteur::DeliversDeadLetters, RouteAction::DeadLetter) => {
                rule.action = RouteAction::Deliver {
                    target: "events".to_owned(),
                };
                None
            }
            (Saboteur::HidesHeadersFromConditions, _) => {
                Some(rule.condition.replace("headers[", "{}[").replace("in headers", "in []"))
            }
            (Saboteur::HidesTheContentType, _) => Some(rule.condition.replace("content_type", "'text/plain'")),
            (Saboteur::BreaksArithmetic, _) => Some(rule.condition.replace(" + 1", " + 1u").replace(" * 2", " * 2u")),
            (Saboteur::TakesAnythingAsTrue, _) if rule.condition == "payload.n" => Some("true".to_owned()),
            (Saboteur::MakesObjectsOfInvalidJson, _) => {
                Some(rule.condition.replace("payload == null", "has(payload.n)"))
            }
            _ => None,
        };
        if let Some(condition) = replaced {
            rule.condition = condition;
        }
    }

    fn config(&self, mut config: BridgeConfig) -> BridgeConfig {
        config.routing = self.routing(config.routing);
        match self.saboteur {
            Saboteur::IgnoresMaxInFlight => config.max_in_flight = config.max_in_flight.max(1000),
            Saboteur::DeliversOneAtATime => config.max_in_flight = config.max_in_flight.min(1),
            Saboteur::IgnoresDeliveryTimeout => config.delivery_timeout = Duration::from_secs(86_400),
            Saboteur::NeverRetries => config.retry.max_attempts = 1,
            Saboteur::RetriesTooOften => config.retry.max_attempts = 100,
            Saboteur::IgnoresTheDeadLetterTarget => config.dead_letter_target = None,
            Saboteur::IgnoresMaxPayloadSize => config.max_payload_size = 1 << 30,
            Saboteur::DestroysWithoutDraining => config.drain_timeout = Duration::from_nanos(1),
            Saboteur::DrainsForever => config.drain_timeout = Duration::from_secs(86_400),
            Saboteur::SwapsOnError if config.dead_letter_target.is_some() => {
                config.routing.on_error = match config.routing.on_error {
                    ErrorAction::NoMatch => ErrorAction::DeadLetter,
                    ErrorAction::DeadLetter => ErrorAction::NoMatch,
                }
            }
            Saboteur::CorrectsInvalidConfigurations => config.max_in_flight = config.max_in_flight.max(1),
            Saboteur::ShortensLongWaits => {
                config.retry.backoff.maximum = config.retry.backoff.maximum.max(Duration::from_secs(7200));
            }
            _ => {}
        }
        config
    }

    fn receipt(&self, mut receipt: BridgeReceipt) -> BridgeReceipt {
        ends::sabotage_receipt(self.saboteur, &mut receipt);
        receipt
    }
}

#[async_trait]
impl CommunicationBridge for SaboteurBridge {
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
        let source = Arc::new(SaboteurSource::new(self.saboteur, source));
        let sink: Arc<dyn BridgeSink> = Arc::new(SaboteurSink::new(
            self.saboteur,
            target,
            config.dead_letter_target.clone(),
        ));
        *self.latest.lock().unwrap() = Some(Latest {
            source: Arc::clone(&source),
            sink: Arc::clone(&sink),
            default_target,
        });
        let name = match self.saboteur {
            Saboteur::AllowsDuplicateNames => format!("{name}#{}", self.names.fetch_add(1, Ordering::Relaxed)),
            _ => name.to_owned(),
        };
        self.bridge.create_bridge(&name, source, sink, config).await
    }

    async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<()> {
        match self.saboteur {
            Saboteur::KeepsDestroyedBridges => {
                self.bridge.bridge_status(bridge).await?;
                self.latest().source.finish();
                Ok(())
            }
            Saboteur::DestroysUnknownIds => self.bridge.destroy_bridge(bridge).await.or(Ok(())),
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
        let around = |message: BridgeMessage| async {
            let latest = self.latest();
            let id = message.id.clone();
            latest.sink.deliver(&latest.default_target, message).await?;
            Ok(BridgeReceipt::new(id, Disposition::Delivered, latest.default_target))
        };
        let state = self.bridge.bridge_status(bridge).await.map(|status| status.state);
        match (self.saboteur, state) {
            (Saboteur::SendsAroundTheRules, Ok(BridgeState::Running))
                if message.payload.len() < 5 || message.payload.starts_with(b"{\"event") =>
            {
                around(message).await
            }
            (Saboteur::HidesSendErrors, Ok(BridgeState::Running)) => {
                send(message).await.map_err(|error| match error.kind() {
                    ErrorKind::Remote => NetworkError::new(ErrorKind::Internal, "send", "something went wrong"),
                    _ => error,
                })
            }
            (Saboteur::SendsThroughPaused, Ok(BridgeState::Paused)) => around(message).await,
            (Saboteur::SendsUnchecked, Ok(BridgeState::Running))
                if message.payload.len() > 4 || message.id.trim().is_empty() =>
            {
                match self.bridge.bridge_metrics(bridge).await?.received {
                    0 => around(message).await,
                    _ => send(message).await,
                }
            }
            (Saboteur::SendsWithoutLimit, Ok(BridgeState::Running)) if message.payload == "3" => around(message).await,
            _ => send(message).await,
        }
    }

    async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus> {
        let mut status = self.bridge.bridge_status(bridge).await?;
        match self.saboteur {
            Saboteur::HidesMessagesInFlight => status.in_flight = 0,
            Saboteur::HidesTheLatestError => status.last_error = None,
            Saboteur::OnlyReportsPaused if self.latest().source.is_paused() && status.state == BridgeState::Running => {
                status.state = BridgeState::Paused;
            }
            Saboteur::OnlyReportsRunning
                if self.latest().source.is_resumed() && status.state == BridgeState::Paused =>
            {
                status.state = BridgeState::Running;
            }
            Saboteur::AllowsDuplicateNames => status.name = original_name(&status.name),
            Saboteur::FailsWhenTheSourceEnds if status.state == BridgeState::Stopped => {
                status.state = BridgeState::Failed;
            }
            _ => {}
        }
        Ok(status)
    }

    async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics> {
        let mut metrics = self.bridge.bridge_metrics(bridge).await?;
        match self.saboteur {
            Saboteur::CountsTwice => metrics.received *= 2,
            Saboteur::OmitsTargetsFromMetrics => metrics.by_target.clear(),
            Saboteur::HidesConditionErrors => {
                metrics.condition_errors = 0;
                metrics.by_rule.values_mut().for_each(|rule| rule.errors = 0);
            }
            _ => {}
        }
        Ok(metrics)
    }

    async fn configure_bridge_rules(&self, bridge: &BridgeId, rules: Vec<RouteRule>) -> Result<()> {
        let routing = rules.into_iter().fold(RoutingConfig::new(), RoutingConfig::with_rule);
        match self.saboteur {
            Saboteur::DropsTheDefaultTarget => self.bridge.configure_bridge_routing(bridge, routing).await,
            _ => self.bridge.configure_bridge_rules(bridge, routing.rules).await,
        }
    }

    async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()> {
        if self.is(Saboteur::KeepsOldRouting) {
            self.bridge.bridge_status(bridge).await?;
            networking_spi::validate::Validate::validate(&routing)?;
            return Ok(());
        }
        let configured = self
            .bridge
            .configure_bridge_routing(bridge, self.routing(routing))
            .await;
        match (self.saboteur, configured) {
            (Saboteur::AcceptsInvalidRouting, Err(error)) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            (Saboteur::DropsTheFormerRouting, Err(error)) if error.kind() == ErrorKind::InvalidInput => {
                self.bridge
                    .configure_bridge_routing(bridge, RoutingConfig::new())
                    .await?;
                Err(error)
            }
            (Saboteur::OmitsTheField, Err(error)) if error.kind() == ErrorKind::InvalidInput => Err(NetworkError::new(
                ErrorKind::InvalidInput,
                "configure",
                "something is wrong",
            )),
            (Saboteur::RejectsHostileAsInternal, Err(error))
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
        match self.saboteur {
            Saboteur::ListsById => all.sort_by(|a, b| b.id.cmp(&a.id)),
            Saboteur::ListsWrongStates => all.iter_mut().for_each(|info| info.state = BridgeState::Stopped),
            Saboteur::AllowsDuplicateNames => all.iter_mut().for_each(|info| info.name = original_name(&info.name)),
            _ => {}
        }
        Ok(all)
    }

    async fn monitor_bridge_health(&self, bridge: &BridgeId) -> Result<BridgeHealth> {
        let mut health = self.bridge.monitor_bridge_health(bridge).await?;
        match self.saboteur {
            Saboteur::AlwaysReportsUp => health.state = HealthState::Up,
            Saboteur::ReportsTheSourceHealthOnly if health.state != HealthState::Up => {
                health.state = health.source.state;
            }
            Saboteur::HidesTheErrorShare => health.error_percent = 0,
            _ => {}
        }
        Ok(health)
    }

    async fn pause_bridge(&self, bridge: &BridgeId) -> Result<()> {
        let state = self.bridge.bridge_status(bridge).await?.state;
        match self.saboteur {
            Saboteur::OnlyReportsPaused if state == BridgeState::Running => {
                self.latest().source.pause(true);
                Ok(())
            }
            Saboteur::FailsToPauseTwice if state == BridgeState::Paused => {
                Err(NetworkError::closed("pause", "the bridge"))
            }
            Saboteur::OnlyReportsRunning => {
                self.latest().source.resume(false);
                self.bridge.pause_bridge(bridge).await
            }
            _ => self.bridge.pause_bridge(bridge).await,
        }
    }

    async fn resume_bridge(&self, bridge: &BridgeId) -> Result<()> {
        let state = self.bridge.bridge_status(bridge).await?.state;
        match self.saboteur {
            Saboteur::OnlyReportsPaused => {
                self.latest().source.pause(false);
                self.bridge.resume_bridge(bridge).await
            }
            Saboteur::OnlyReportsRunning if state == BridgeState::Paused => {
                self.latest().source.resume(true);
                Ok(())
            }
            Saboteur::ResumesByRestart if state == BridgeState::Paused => {
                self.latest().source.stop_inner().await;
                self.bridge.resume_bridge(bridge).await
            }
            _ => self.bridge.resume_bridge(bridge).await,
        }
    }

    fn capabilities(&self) -> BridgeCapabilities {
        let mut capabilities = self.bridge.capabilities();
        capabilities.pause = !self.is(Saboteur::PausesUndeclared) && !self.is(Saboteur::ForgetsACapability);
        capabilities
    }
}

fn original_name(name: &str) -> String {
    name.split('#').next().unwrap_or_default().to_owned()
}
