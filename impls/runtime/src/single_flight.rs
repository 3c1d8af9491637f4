//! One run of work for all concurrent callers.

use std::fmt;

use futures_core::future::BoxFuture;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Runs work once for all callers that ask for it while it is in progress. For example, when a hundred requests need a new
/// token, one of them fetches it and all get the result.
///
/// The work runs in a tokio task. It continues if callers stop waiting.
///
/// ```
/// use networking_runtime::single_flight::SingleFlight;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// let flight = SingleFlight::new("tokens.fetch");
/// let fetch = || flight.join(|| None, || Box::pin(async { Ok("token") }));
/// let (first, second) = tokio::join!(fetch(), fetch());
/// assert_eq!((first?, second?), ("token", "token"));
/// # Ok(()) }
/// ```
pub struct SingleFlight<T> {
    operation: &'static str,
    run: Mutex<Option<watch::Receiver<Option<Result<T>>>>>,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// A `SingleFlight` with no run in progress. `operation` names the work in errors.
    pub const fn new(operation: &'static str) -> Self {
        Self {
            operation,
            run: Mutex::new(None),
        }
    }

    /// Waits for the run in progress and returns its result. If no run is in progress, returns the value of `ready`. If
    /// `ready` returns `None`, starts `run` and waits for it.
    ///
    /// `ready` and `run` are called under a lock, so that work that has just ended is not started again. They must not use
    /// this `SingleFlight`.
    ///
    /// Cancel safety: dropping the future affects neither the run nor its other callers.
    ///
    /// # Errors
    /// * The error of the run. Every caller gets it.
    /// * [`Internal`](ErrorKind::Internal) if the run panicked or its runtime was shut down.
    ///
    /// # Panics
    /// If called outside of a tokio runtime.
    pub async fn join(
        &self,
        ready: impl FnOnce() -> Option<T>,
        run: impl FnOnce() -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let mut outcome = {
            let mut current = self.run.lock();
            match current.as_ref().filter(|running| is_running(running)) {
                Some(running) => running.clone(),
                None => match ready() {
                    Some(value) => return Ok(value),
                    None => current.insert(start(run())).clone(),
                },
            }
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(value))) => Ok(value.clone()),
            Ok(Some(Err(error))) => Err(error.clone()),
            Ok(None) | Err(_) => Err(NetworkError::new(
                ErrorKind::Internal,
                self.operation,
                "the shared run panicked or was cancelled",
            )),
        }
    }

    /// Starts `run` if no run is in progress. Does not wait for it.
    ///
    /// # Panics
    /// If called outside of a tokio runtime.
    pub fn start_unless_running(&self, run: impl FnOnce() -> BoxFuture<'static, Result<T>>) {
        let mut current = self.run.lock();
        if !current.as_ref().is_some_and(is_running) {
            *current = Some(start(run()));
        }
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

fn start<T: Send + Sync + 'static>(run: BoxFuture<'static, Result<T>>) -> watch::Receiver<Option<Result<T>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let outcome = run.await;
        sender.send_replace(Some(outcome));
    });
    receiver
}

/// A completed run has set its value. A run that panicked or was cancelled has dropped its sender.
fn is_running<T>(running: &watch::Receiver<Option<T>>) -> bool {
    running.borrow().is_none() && running.has_changed().is_ok()
}
