//! Where a message goes: compiled rules, first match wins.

use std::sync::Arc;

use networking_spi::bridge::{BridgeMessage, ErrorAction, RouteAction, RoutingConfig};
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result};

use super::expression::{self, Condition, Facts, Json, Paths};

/// Payloads above this size, in bytes, are parsed on the blocking pool: other messages go on meanwhile.
const BLOCKING_PARSE: usize = 128 << 10;

/// What happens to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Deliver to this target.
    Deliver(Arc<str>),
    /// Acknowledge without delivering.
    Drop,
    /// Deliver to the dead-letter target, because a rule says so.
    DeadLetter,
    /// No rule matched, and there is no default target.
    NoRoute,
    /// A condition could not be evaluated, and that sends messages to the dead-letter target.
    Unevaluable(&'static str),
}

/// A decision and how it came about.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) decision: Decision,
    /// The rule that decided.
    pub(super) rule: Option<Arc<str>>,
    /// Rules whose condition could not be evaluated.
    pub(super) errors: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    condition: Condition,
    decision: Decision,
}

/// A routing configuration, ready to be used.
#[derive(Debug)]
pub(super) struct Router {
    rules: Vec<Rule>,
    default: Decision,
    on_error: ErrorAction,
    paths: Paths,
}

impl Router {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub(super) async fn compile(config: &RoutingConfig, has_dead_letters: bool) -> Result<Self> {
        config.validate()?;
        if !has_dead_letters {
            require_no_dead_letters(config)?;
        }
        let sources = config.rules.iter().map(|rule| rule.condition.clone()).collect();
        let conditions = expression::compile(sources)
            .await
            .map_err(|(index, message)| NetworkError::invalid_input(format!("rules[{index}].condition"), message))?;
        let mut paths = Paths::default();
        let mut rules = Vec::with_capacity(conditions.len());
        for (rule, condition) in config.rules.iter().zip(conditions) {
            paths.merge(condition.paths());
            let decision = match &rule.action {
                RouteAction::Deliver { target } => Decision::Deliver(target.as_str().into()),
                RouteAction::Drop => Decision::Drop,
                RouteAction::DeadLetter => Decision::DeadLetter,
                other => {
                    let message = format!("is an action that this bridge does not have: {other:?}");
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
            paths,
        })
    }

    /// Decides about a message; hands the message back unchanged.
    pub(super) async fn route(self: &Arc<Self>, message: BridgeMessage) -> (BridgeMessage, Route) {
        if self.rules.is_empty() {
            return (message, self.by_default(Vec::new()));
        }
        if !self.paths.any() || message.payload.len() <= BLOCKING_PARSE {
            let route = self.decide(&message);
            return (message, route);
        }
        let router = Arc::clone(self);
        let kept = message.clone();
        let decided = tokio::task::spawn_blocking(move || router.decide(&message)).await;
        let route = decided.unwrap_or_else(|_| Route {
            decision: Decision::Unevaluable("the evaluation was stopped"),
            rule: None,
            errors: Vec::new(),
        });
        (kept, route)
    }

    fn decide(&self, message: &BridgeMessage) -> Route {
        let json = Json::default();
        let facts = Facts::new(message, &json, &self.paths);
        let mut errors = Vec::new();
        for rule in &self.rules {
            let decision = match rule.condition.holds(&facts) {
                Ok(false) => continue,
                Ok(true) => rule.decision.clone(),
                Err(reason) => {
                    tracing::debug!(rule = %rule.name, message = %message.id, reason, "a condition cannot be evaluated");
                    errors.push(Arc::clone(&rule.name));
                    match self.on_error {
                        ErrorAction::NoMatch => continue,
                        ErrorAction::DeadLetter => Decision::Unevaluable(reason),
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

fn require_no_dead_letters(config: &RoutingConfig) -> Result<()> {
    let message = "needs a dead-letter target, which the bridge does not have";
    if config.on_error == ErrorAction::DeadLetter {
        return Err(NetworkError::invalid_input("on_error", message));
    }
    match config
        .rules
        .iter()
        .position(|rule| rule.action == RouteAction::DeadLetter)
    {
        Some(index) => Err(NetworkError::invalid_input(format!("rules[{index}].action"), message)),
        None => Ok(()),
    }
}
