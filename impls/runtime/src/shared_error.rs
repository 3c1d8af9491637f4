//! The same error for several callers.

use std::sync::Arc;

use networking_spi::NetworkError;

/// A copy of the error for another caller. Its source displays the source of the original and is not the same object.
pub fn copy(error: &Arc<NetworkError>) -> NetworkError {
    let mut copied = NetworkError::new(error.kind(), error.operation().to_owned(), error.message().to_owned())
        .with_retryability(error.retryability())
        .with_send_state(error.send_state())
        .with_attempts(error.attempts());
    if let Some(phase) = error.phase() {
        copied = copied.with_phase(phase);
    }
    if let Some(status) = error.status() {
        copied = copied.with_status(status);
    }
    for (key, value) in error.context() {
        copied = copied.with_context(key.to_owned(), value);
    }
    match std::error::Error::source(&**error) {
        Some(_) => copied.with_source(Cause(Arc::clone(error))),
        None => copied,
    }
}

/// The source of a copied error. It refers to the source of the original.
struct Cause(Arc<NetworkError>);

impl Cause {
    fn get(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().map_or(Ok(()), |cause| std::fmt::Display::fmt(cause, f))
    }
}

impl std::fmt::Debug for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().map_or(Ok(()), |cause| std::fmt::Debug::fmt(cause, f))
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.get()?.source()
    }
}
