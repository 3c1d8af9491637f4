//! Capabilities.

use std::sync::Arc;

use super::Dyn;
use super::scenario::config;
use crate::check_eq;
use crate::kit::CaseResult;

pub(super) async fn breaker_and_harness_agree(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    let (says, states) = (breaker.capabilities(), harness.capabilities());
    let differing: Vec<&str> = says
        .entries()
        .zip(states.entries())
        .filter(|(says, states)| says != states)
        .map(|((name, _), _)| name)
        .collect();
    check_eq!(
        differing,
        [""; 0],
        "capabilities that the breaker declares and the harness does not state, or the reverse"
    );
    Ok(())
}
