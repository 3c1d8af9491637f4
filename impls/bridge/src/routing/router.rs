//! Compiled rules; the first that matches decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use networking_spi::bridge::{BridgeMessage, ErrorAction, RouteAction, RouteRule, RoutingConfig};
use networking_spi::error::ResultExt;
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};

use super::{Condition, ConditionCompiler, Facts, PayloadFields};

/// Payloads above this size, in bytes, are parsed on the blocking pool, so that they do not block a worker thread.
const BLOCKING_PARSE: usize = 128 << 10;

/// The condition of a rule that matches every message. It needs no compiler.
const ALWAYS: &str = "true";

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Deliver to this target.
    Deliver(Arc<str>),
    /// Acknowledge without delivering.
    Drop,
    /// Deliver to the dead-letter target, because of a rule.
    DeadLetter,
    /// No rule matched, and there is no default target.
    NoRoute,
    /// A condition could not be evaluated, for this reason, and the configuration dead-letters such messages.
    ConditionFailed(String),
}

/// A decision and how it was reached.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) decision: Decision,
    /// The rule that decided.
    pub(crate) rule: Option<Arc<str>>,
    /// Rules whose condition could not be evaluated.
    pub(crate) errors: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    /// `None`: matches every message.
    condition: Option<Arc<dyn Condition>>,
    decision: Decision,
}

/// A compiled routing configuration.
#[derive(Debug)]
pub(crate) struct Router {
    rules: Vec<Rule>,
    default: Decision,
    on_error: ErrorAction,
    /// The fields of the payload that the conditions read.
    read: PayloadFields,
    /// The configuration without its rules.
    config: RoutingConfig,
}

impl Router {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field, and [`Unsupported`](ErrorKind::Unsupported) for a
    /// condition if there is no compiler.
    pub(crate) async fn compile(
        config: &RoutingConfig,
        compiler: Option<&Arc<dyn ConditionCompiler>>,
        has_dead_letters: bool,
    ) -> Result<Self> {
        config.validate()?;
        if !has_dead_letters {
            require_no_dead_letters(config)?;
        }
        let conditions = compile_conditions(config, compiler).await?;
        let mut read = PayloadFields::none();
        let mut rules = Vec::with_capacity(conditions.len());
        for (rule, condition) in config.rules.iter().zip(conditions) {
            if let Some(condition) = &condition {
                read.merge(condition.payload_fields());
            }
            let decision = match &rule.action {
                RouteAction::Deliver { target } => Decision::Deliver(target.as_str().into()),
                RouteAction::Drop => Decision::Drop,
                RouteAction::DeadLetter => Decision::DeadLetter,
                other => {
                    let message = format!("is not an action that this bridge supports: {other:?}");
                    return Err(NetworkError::invalid_input(
                        format!("rules[{}].action", rules.len()),
                        message,
                    ));
                }
            };
            rules.push(Rule {
                name: rule.name.as_str().into(),
                condition,
                decision,
            });
        }
        let default = match &config.default_target {
            Some(target) => Decision::Deliver(target.as_str().into()),
            None => Decision::NoRoute,
        };
        Ok(Self {
            rules,
            default,
            on_error: config.on_error,
            read,
            config: {
                let mut config = config.clone();
                config.rules.clear();
                config
            },
        })
    }

    /// The configuration with other rules.
    pub(crate) fn config_with(&self, rules: Vec<RouteRule>) -> RoutingConfig {
        let mut config = self.config.clone();
        config.rules = rules;
        config
    }

    /// Selects the route of a message. Returns the message unchanged.
    pub(crate) async fn route(self: &Arc<Self>, message: BridgeMessage) -> (BridgeMessage, Route) {
        if self.rules.is_empty() {
            return (message, self.by_default(Vec::new()));
        }
        if !self.read.is_read() || message.payload.len() <= BLOCKING_PARSE {
            let route = self.decide(&message);
            return (message, route);
        }
        let router = Arc::clone(self);
        let kept = message.clone();
        let decided = tokio::task::spawn_blocking(move || router.decide(&message)).await;
        let route = decided.unwrap_or_else(|_| Route {
            decision: Decision::ConditionFailed("the evaluation was stopped".to_owned()),
            rule: None,
            errors: Vec::new(),
        });
        (kept, route)
    }

    fn decide(&self, message: &BridgeMessage) -> Route {
        Facts::with(message, &self.read, |facts| self.first_match(message, facts))
    }

    fn first_match(&self, message: &BridgeMessage, facts: &Facts<'_>) -> Route {
        let mut errors = Vec::new();
        for rule in &self.rules {
            let decision = match rule.matches(facts) {
                Ok(false) => continue,
                Ok(true) => rule.decision.clone(),
                Err(error) => {
                    let reason = error.message();
                    tracing::debug!(rule = %rule.name, message = %message.id, reason, "a condition cannot be evaluated");
                    errors.push(Arc::clone(&rule.name));
                    match self.on_error {
                        ErrorAction::NoMatch => continue,
                        ErrorAction::DeadLetter => Decision::ConditionFailed(reason.to_owned()),
                    }
                }
            };
            return Route {
                decision,
                rule: Some(Arc::clone(&rule.name)),
                errors,
            };
        }
        self.by_default(errors)
    }

    fn by_default(&self, errors: Vec<Arc<str>>) -> Route {
        Route {
            decision: self.default.clone(),
            rule: None,
            errors,
        }
    }
}

impl Rule {
    fn matches(&self, facts: &Facts<'_>) -> Result<bool> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        catch_unwind(AssertUnwindSafe(|| condition.matches(facts))).unwrap_or_else(|_| {
            let message = "the evaluation panicked";
            Err(NetworkError::new(ErrorKind::Internal, "bridge.route", message))
        })
    }
}

/// One condition for each rule, in the order of the rules.
async fn compile_conditions(
    config: &RoutingConfig,
    compiler: Option<&Arc<dyn ConditionCompiler>>,
) -> Result<Vec<Option<Arc<dyn Condition>>>> {
    let Some(conditional) = config.rules.iter().find(|rule| !matches_always(rule)) else {
        return Ok(vec![None; config.rules.len()]);
    };
    let Some(compiler) = compiler.map(Arc::clone) else {
        // A build without CEL has no compiler, unless the bridge is given one.
        let error = NetworkError::not_built("bridge.configure_routing", "routing", "cel");
        return Err(error.with_context("rule", conditional.name.as_str()));
    };
    let rules = config.rules.clone();
    // On the blocking pool, because compiling may take long.
    let conditions = tokio::task::spawn_blocking(move || {
        let one = |(index, rule): (usize, &RouteRule)| {
            if matches_always(rule) {
                return Ok(None);
            }
            let condition = compiler.compile(&rule.condition);
            condition.map(Some).in_field(&format!("rules[{index}]"))
        };
        rules.iter().enumerate().map(one).collect()
    });
    conditions.await.unwrap_or_else(|error| {
        let message = "the condition compiler panicked or was stopped";
        Err(NetworkError::new(ErrorKind::Internal, "bridge.configure_routing", message).with_source(error))
    })
}

fn matches_always(rule: &RouteRule) -> bool {
    rule.condition.trim() == ALWAYS
}

fn require_no_dead_letters(config: &RoutingConfig) -> Result<()> {
    let message = "needs a dead-letter target, and the bridge has none";
    if config.on_error == ErrorAction::DeadLetter {
        return Err(NetworkError::invalid_input("on_error", message));
    }
    let dead_letters = |rule: &RouteRule| rule.action == RouteAction::DeadLetter;
    match config.rules.iter().position(dead_letters) {
        Some(index) => Err(NetworkError::invalid_input(format!("rules[{index}].action"), message)),
        None => Ok(()),
    }
}
