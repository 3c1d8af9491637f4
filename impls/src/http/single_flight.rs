//! One run at a time of what many callers wait for.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::shared_error::copy;

/// Shares one run between all who ask while it lasts. The run is a task of its own: a caller that stops waiting does not
/// stop it.
pub(super) struct SingleFlight<T>(Mutex<Option<watch::Receiver<Option<Outcome<T>>>>>);

type Outcome<T> = std::result::Result<T, Arc<NetworkError>>;

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Waits for the run that is under way. Without one, takes what `ready` finds, and otherwise starts `run`.
    ///
    /// `ready` is asked while no run can start or end, so a run that has just ended is not started again in vain.
    pub(super) async fn join(
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
            Ok(Some(Err(error))) => Err(copy(error)),
            Ok(None) | Err(_) => Err(NetworkError::new(
                ErrorKind::Internal,
                "http.request",
                "a shared request ended without a result",
            )),
        }
    }

    /// Starts `run` unless one is under way, and does not wait for it.
    #[cfg(feature = "oauth2")]
    pub(super) fn start_unless_running(&self, run: impl FnOnce() -> BoxFuture<'static, Result<T>>) {
        let mut current = self.0.lock();
        if !current.as_ref().is_some_and(is_running) {
            *current = Some(start(run()));
        }
    }
}

fn start<T: Send + Sync + 'static>(run: BoxFuture<'static, Result<T>>) -> watch::Receiver<Option<Outcome<T>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let outcome = run.await.map_err(Arc::new);
        sender.send_replace(Some(outcome));
    });
    receiver
}

/// A run that ended has a value; one that panicked, or whose runtime is gone, has lost its sender.
fn is_running<T>(running: &watch::Receiver<Option<T>>) -> bool {
    running.borrow().is_none() && running.has_changed().is_ok()
}
