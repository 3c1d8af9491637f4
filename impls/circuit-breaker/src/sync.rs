//! The atomics and the lock of the breaker. Under `cfg(networking_loom)` they are loom's, so that a test can try every
//! interleaving.

#[cfg(not(networking_loom))]
mod imp {
    pub(in super::super) use parking_lot::Mutex;
    pub(in super::super) use std::sync::atomic::{AtomicU32, AtomicU64};
}

#[cfg(networking_loom)]
mod imp {
    pub(in super::super) use loom::sync::atomic::{AtomicU32, AtomicU64};

    /// loom's lock with the methods of `parking_lot`'s.
    #[derive(Debug)]
    pub(in super::super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("no thread panics while it holds the lock")
        }

        pub(in super::super) fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

pub(super) use imp::{AtomicU32, AtomicU64, Mutex};
