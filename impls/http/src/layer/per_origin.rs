//! One value per origin: a scheme, host and port.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use url::Url;

use crate::marks::origin_name;

/// A value that can be removed while it is idle.
pub(super) trait Evictable {
    /// Whether the value behaves like a new one.
    fn is_idle(&self) -> bool;
}

/// One value per origin, up to a limit. When the limit is reached, idle values are removed; if none is idle, further origins
/// share one value.
#[derive(Debug)]
pub(super) struct PerOrigin<V> {
    known: RwLock<HashMap<Box<str>, Arc<V>>>,
    most: usize,
    others: Arc<V>,
}

impl<V: Evictable> PerOrigin<V> {
    /// Keeps at most `most` values. Further origins share `others`.
    pub(super) fn new(most: usize, others: V) -> Self {
        Self {
            known: RwLock::default(),
            most,
            others: Arc::new(others),
        }
    }

    /// The value of the URL's origin, if there is one.
    pub(super) fn find(&self, url: &Url) -> Option<Arc<V>> {
        let known = self.known.read();
        if known.is_empty() {
            return None;
        }
        known.get(&*origin_name(url)).map(Arc::clone)
    }

    /// The value that origins beyond the limit share.
    pub(super) fn others(&self) -> Arc<V> {
        Arc::clone(&self.others)
    }

    /// The value of the URL's origin, made by `make` when it is new.
    pub(super) fn get(&self, url: &Url, make: impl FnOnce() -> V) -> Arc<V> {
        let name = origin_name(url);
        if let Some(value) = self.known.read().get(&*name) {
            return Arc::clone(value);
        }
        let mut known = self.known.write();
        if let Some(value) = known.get(&*name) {
            return Arc::clone(value);
        }
        if known.len() >= self.most {
            // References are cloned only under the lock, so a value with one reference is not in use.
            known.retain(|_, value| Arc::strong_count(value) > 1 || !value.is_idle());
            if known.len() >= self.most {
                return Arc::clone(&self.others);
            }
        }
        let value = Arc::new(make());
        known.insert(name.into(), Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Default)]
    struct Value(AtomicBool);

    impl Evictable for Value {
        fn is_idle(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn idle_values_are_evicted_and_busy_ones_are_not() {
        let values = PerOrigin::new(2, Value::default());
        let get = |text| values.get(&url(text), Value::default);
        let busy = get("http://a.test/");
        busy.0.store(true, Ordering::Relaxed);
        drop(get("http://b.test/"));
        let c = get("http://c.test/");
        assert!(Arc::ptr_eq(&busy, &get("http://a.test/other")), "busy ones stay");
        assert!(Arc::ptr_eq(&c, &get("http://c.test/")), "it has replaced b");
        assert!(Arc::ptr_eq(&values.others, &get("http://d.test/")), "c is in use");
        drop(c);
        assert!(
            !Arc::ptr_eq(&values.others, &get("http://d.test/")),
            "c is idle and unused"
        );
        assert_eq!(values.known.read().len(), 2);
    }
}
