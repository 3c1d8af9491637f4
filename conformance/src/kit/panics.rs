//! Panics in the tasks and blocking calls of a case's runtime.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, Once, PoisonError};

use super::case::{CaseResult, Failure};

/// The panics of the threads of one case, outside of the case's own future.
///
/// A task that panics ends, and its runtime tells only who waits for it. So the panic hook of the process records the panics of
/// threads that are watched, and then calls the hook that was set before.
#[derive(Debug, Clone, Default)]
pub(super) struct Panics(Arc<Mutex<Vec<String>>>);

thread_local! {
    /// Where the panics of this thread are recorded.
    static WATCHED: RefCell<Option<Panics>> = const { RefCell::new(None) };
    /// Whether this thread polls the future of the case. A panic there fails the case, unless the backend catches it.
    static IN_THE_CASE: Cell<bool> = const { Cell::new(false) };
}

impl Panics {
    /// Records the panics of this thread from now on.
    pub(super) fn watch_this_thread(&self) {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                record(info);
                before(info);
            }));
        });
        WATCHED.with(|watched| *watched.borrow_mut() = Some(self.clone()));
    }

    /// Fails if there was a panic.
    pub(super) fn check(&self) -> CaseResult {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).first() {
            Some(first) => Err(Failure::new(format!("a task of the backend panicked: {first}"))),
            None => Ok(()),
        }
    }
}

/// Runs a part of the case's own future.
pub(super) fn in_the_case<T>(poll: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_THE_CASE.set(false);
        }
    }
    IN_THE_CASE.set(true);
    let _leave = Leave;
    poll()
}

/// The message of a panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn record(info: &PanicHookInfo<'_>) {
    // A thread that ends has no thread-local values any more.
    let in_the_case = IN_THE_CASE.try_with(Cell::get).unwrap_or(true);
    let watched = WATCHED.try_with(|watched| watched.try_borrow().ok().and_then(|watched| watched.clone()));
    let (false, Ok(Some(Panics(panics)))) = (in_the_case, watched) else {
        return;
    };
    let place = info
        .location()
        .map(|place| format!(" ({}:{})", place.file(), place.line()));
    let text = format!("{}{}", message(info.payload()), place.unwrap_or_default());
    panics.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}
