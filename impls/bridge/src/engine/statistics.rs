//! The counters of a bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use networking_spi::Result;
use networking_spi::bridge::{BridgeMetrics, BridgeReceipt, Disposition};
use parking_lot::Mutex;

use crate::routing::Route;

/// The maximum number of targets, and of rules, that are counted by name. Without it, the number would be unbounded, because
/// routing can be replaced any number of times, with new names each time.
const MAX_NAMES: usize = 4096;

/// The entry that counts further names.
const OTHER: &str = "(other)";

/// The number of latest messages that the error share covers.
const RECENT: u32 = 100;

/// Counters of one bridge.
#[derive(Debug, Default)]
pub(super) struct Statistics(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    metrics: BridgeMetrics,
    total_latency: Duration,
    finished: u32,
    /// One bit per message, set if it failed or was dead-lettered. The lowest bit is the latest message.
    recent: u128,
    recent_length: u32,
}

impl Statistics {
    pub(super) fn received(&self) {
        self.0.lock().metrics.received += 1;
    }

    pub(super) fn retried(&self) {
        self.0.lock().metrics.retries += 1;
    }

    pub(super) fn routed(&self, route: &Route) {
        if route.rule.is_none() && route.errors.is_empty() {
            return;
        }
        let metrics = &mut self.0.lock().metrics;
        metrics.condition_errors += route.errors.len() as u64;
        for rule in &route.errors {
            entry(&mut metrics.by_rule, rule).errors += 1;
        }
        if let Some(rule) = &route.rule {
            entry(&mut metrics.by_rule, rule).matched += 1;
        }
    }

    /// A message was acknowledged or rejected.
    pub(super) fn finished(&self, result: &Result<BridgeReceipt>, payload_size: usize, latency: Duration) {
        let mut counters = self.0.lock();
        let counters = &mut *counters;
        let metrics = &mut counters.metrics;
        let failed = if let Ok(receipt) = result {
            match receipt.disposition {
                Disposition::Delivered => {
                    metrics.delivered += 1;
                    metrics.bytes_delivered += payload_size as u64;
                }
                Disposition::Dropped => metrics.dropped += 1,
                _ => metrics.dead_lettered += 1,
            }
            if !receipt.target.is_empty() {
                *entry(&mut metrics.by_target, &receipt.target) += 1;
            }
            receipt.disposition == Disposition::DeadLettered
        } else {
            metrics.failed += 1;
            true
        };
        metrics.max_latency = metrics.max_latency.max(latency);
        counters.total_latency += latency;
        counters.finished = counters.finished.saturating_add(1);
        counters.recent = counters.recent << 1 | u128::from(failed);
        counters.recent_length = (counters.recent_length + 1).min(RECENT);
    }

    pub(super) fn snapshot(&self) -> BridgeMetrics {
        let counters = self.0.lock();
        let mut metrics = counters.metrics.clone();
        metrics.mean_latency = counters
            .total_latency
            .checked_div(counters.finished)
            .unwrap_or_default();
        metrics
    }

    /// The share of the latest messages that failed or were dead-lettered, in percent, rounded up so that one failure is not 0.
    pub(super) fn error_percent(&self) -> u8 {
        let counters = self.0.lock();
        if counters.recent_length == 0 {
            return 0;
        }
        let failed = (counters.recent & ((1 << counters.recent_length) - 1)).count_ones();
        u8::try_from((failed * 100).div_ceil(counters.recent_length)).unwrap_or(100)
    }
}

fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    let name = if map.len() < MAX_NAMES || map.contains_key(name) {
        name
    } else {
        OTHER
    };
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.get_mut(name).expect("inserted above")
}

#[cfg(test)]
mod tests {
    use networking_spi::NetworkError;

    use super::*;

    fn delivered(target: &str) -> BridgeReceipt {
        BridgeReceipt::new("m", Disposition::Delivered, target)
    }

    #[test]
    fn the_error_share_covers_the_latest_messages_only() {
        let statistics = Statistics::default();
        assert_eq!(statistics.error_percent(), 0);
        let failure = || Err(NetworkError::closed("test", "it"));
        statistics.finished(&failure(), 1, Duration::ZERO);
        assert_eq!(statistics.error_percent(), 100);
        for _ in 0..99 {
            statistics.finished(&Ok(delivered("t")), 1, Duration::ZERO);
        }
        assert_eq!(statistics.error_percent(), 1);
        statistics.finished(&Ok(delivered("t")), 1, Duration::ZERO);
        assert_eq!(statistics.error_percent(), 0);
    }

    #[test]
    fn latency_is_a_mean_and_a_maximum() {
        let statistics = Statistics::default();
        statistics.finished(&Ok(delivered("t")), 3, Duration::from_millis(10));
        statistics.finished(&Ok(delivered("t")), 4, Duration::from_millis(30));
        let metrics = statistics.snapshot();
        assert_eq!(metrics.mean_latency, Duration::from_millis(20));
        assert_eq!(metrics.max_latency, Duration::from_millis(30));
        assert_eq!(metrics.bytes_delivered, 7);
        assert_eq!(metrics.by_target["t"], 2);
    }

    #[test]
    fn names_are_bounded() {
        let statistics = Statistics::default();
        for index in 0..MAX_NAMES + 10 {
            statistics.finished(&Ok(delivered(&format!("t{index}"))), 1, Duration::ZERO);
        }
        let metrics = statistics.snapshot();
        assert_eq!(metrics.by_target.len(), MAX_NAMES + 1);
        assert_eq!(metrics.by_target[OTHER], 10);
        assert_eq!(metrics.by_target.values().sum::<u64>(), metrics.delivered);
    }
}
