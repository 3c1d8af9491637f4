//! One run at a time of what many callers wait for.

use std::fmt;

use futures_core::future::BoxFuture;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Shares one run of some work between all callers that ask while it lasts: of a hundred requests that need a new token, one
/// fetches it.
///
/// The run is a task. A caller that stops waiting does not stop it.
///
/// ```
/// use networking_runtime::single_flight::SingleFlight;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// let flight = SingleFlight::new();
/// let fetch = || flight.join(|| None, || Box::pin(async { Ok("token") }));
/// let (one, other) = tokio::join!(fetch(), fetch());
/// assert_eq!((one?, other?), ("token", "token"));
/// # Ok(()) }
/// ```
pub struct SingleFlight<T>(Mutex<Option<watch::Receiver<Option<Outcome<T>>>>>);

type Outcome<T> = Result<T>;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Nothing runs yet.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Waits for the run in progress. Without one, returns what `ready` finds, or else starts `run` and waits for it.
    ///
    /// `ready` is called while no run can start or end, so that work which has just ended is not started again.
    ///
    /// Cancel safety: dropping the future leaves the run and its other callers alone.
    ///
    /// # Errors
    /// That of the run, for each caller; [`Internal`](ErrorKind::Internal) if the run panicked or its runtime is gone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn join(
        &self,
        ready: impl FnOnce() -> Option<T>,
        run: impl FnOnce() -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let mut outcome = {
            let mut current = self.0.lock();
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
                "http.request",
                "a shared request ended without a result",
            )),
        }
    }

    /// Starts `run` unless one is in progress, and does not wait for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_unless_running(&self, run: impl FnOnce() -> BoxFuture<'static, Result<T>>) {
        let mut current = self.0.lock();
        if !current.as_ref().is_some_and(is_running) {
            *current = Some(start(run()));
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Default for SingleFlight<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

fn start<T: Send + Sync + 'static>(run: BoxFuture<'static, Result<T>>) -> watch::Receiver<Option<Outcome<T>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let outcome = run.await;
        sender.send_replace(Some(outcome));
    });
    receiver
}

/// A run that ended has a value; one that panicked, or whose runtime is gone, has lost its sender.
fn is_running<T>(running: &watch::Receiver<Option<T>>) -> bool {
    running.borrow().is_none() && running.has_changed().is_ok()
}
