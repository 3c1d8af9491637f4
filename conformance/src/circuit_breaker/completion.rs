//! Recording the end of a call.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use networking_spi::circuit_breaker::{CallOutcome, CallRecord, Circuit, OwnedPermit};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, config};
use crate::check;
use crate::completing_circuit::CompletingCircuit;
use crate::kit::CaseResult;

/// Ends a call.
type End = fn(OwnedPermit);

/// How a call can end.
const ENDINGS: [(&str, End); 6] = [
    ("a success", |permit| permit.record(CallOutcome::Success)),
    ("a failure", |permit| permit.record(CallOutcome::Failure)),
    ("an ignored result", |permit| permit.record(CallOutcome::Ignored)),
    ("a failure that asks for the longest delay", |permit| {
        permit.record(CallRecord::new(CallOutcome::Failure).with_retry_after(Duration::MAX));
    }),
    ("a permit that is dropped", drop),
    ("a permit that is dropped in a panic", |permit| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _permit = permit;
            // Unlike `panic!`, without a message on the standard error stream.
            resume_unwind(Box::new("an operation that panics"));
        }));
        drop(panicked);
    }),
];

/// Other clauses say which calls are admitted. Here a call that is rejected is left out.
pub(super) async fn recording_never_panics(harness: Arc<Dyn>) -> CaseResult {
    for (ending, end) in ENDINGS {
        let breaker = harness.breaker(config());
        let watched = Watched::new(breaker.circuit(NAME)?);
        let calls = |count: usize| (0..count).filter_map(|_| watched.permit());

        let late: Vec<OwnedPermit> = calls(1).collect();
        calls(1).for_each(end);
        watched.check(ending, "of a call")?;
        breaker.reset_circuit_breaker(NAME)?;
        late.into_iter().for_each(end);
        watched.check(ending, "of a call that was admitted before a reset")?;

        let late: Vec<OwnedPermit> = calls(1).collect();
        calls(5).for_each(|permit| permit.record(CallOutcome::Failure));
        harness.advance(OPEN_TIME + MARGIN).await;
        calls(1).for_each(end);
        watched.check(ending, "of a probe")?;
        late.into_iter().for_each(end);
        watched.check(ending, "of a call that was admitted before the circuit opened")?;
    }
    Ok(())
}

/// A circuit, and the panic of a call that it completed.
struct Watched {
    circuit: Arc<dyn Circuit>,
    panic: Arc<Mutex<Option<String>>>,
}

impl Watched {
    fn new(inner: Arc<dyn Circuit>) -> Self {
        let panic = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&panic);
        let circuit = CompletingCircuit::over(inner, move |inner, token, record| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| inner.complete(token, record))) {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(message(&*panic));
            }
        });
        Self { circuit, panic }
    }

    fn permit(&self) -> Option<OwnedPermit> {
        OwnedPermit::acquire(&self.circuit).ok()
    }

    fn check(&self, ending: &str, when: &str) -> CaseResult {
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        check!(
            panic.is_none(),
            "`Circuit::complete` panicked after {ending} {when}: {}",
            panic.unwrap_or_default()
        );
        Ok(())
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
