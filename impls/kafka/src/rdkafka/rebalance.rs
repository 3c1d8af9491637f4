//! The response of a consumer to the rebalances of its group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use networking_spi::kafka::{RebalanceKind, TopicPartition};
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::oneshot;

use super::context::{Callbacks, client_context};
use super::membership::Membership;
use super::topic_watch::TopicWatch;
use crate::counters::ConsumerCounters;

/// How often a response to a rebalance checks whether the consumer has left its group.
const LEAVE_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Completes the receiver of `Consumer::start`.
pub(super) type Leaving = Arc<Mutex<Option<oneshot::Sender<()>>>>;

pub(super) fn report_left(leaving: &Mutex<Option<oneshot::Sender<()>>>) {
    // Fails if `close_consumer` no longer waits.
    leaving.lock().take().map(|left| left.send(()));
}

/// Tracks the assigned partitions. librdkafka calls it on the thread that polls.
pub(super) struct GroupContext {
    pub(super) callbacks: Callbacks,
    pub(super) membership: Arc<Mutex<Membership>>,
    pub(super) counters: Arc<ConsumerCounters>,
    pub(super) watch: Arc<TopicWatch>,
    /// Whether the reset policy is `latest`.
    pub(super) starts_at_end: bool,
    /// Present while the consumer leaves the group.
    pub(super) leaving: Leaving,
}

client_context!(GroupContext);

impl GroupContext {
    /// Runs `response`, which passes the response to a rebalance to librdkafka. If the consumer leaves its group meanwhile,
    /// librdkafka may drop the response and block its caller forever (confluentinc/librdkafka#4884). The thread of that call
    /// and its connections are then lost, but `close_consumer` returns.
    fn while_leaving(&self, consumer: &BaseConsumer<Self>, response: impl FnOnce()) {
        if self.leaving.lock().is_none() {
            return response();
        }
        let responded = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = || {
                while !responded.load(Ordering::Acquire) {
                    if consumer.closed() {
                        report_left(&self.leaving);
                        return;
                    }
                    thread::park_timeout(LEAVE_CHECK_INTERVAL);
                }
            };
            let watcher = thread::Builder::new()
                .name("kafka-watch-leave".to_owned())
                .spawn_scoped(scope, watch);
            response();
            responded.store(true, Ordering::Release);
            if let Ok(watcher) = watcher {
                watcher.thread().unpark();
            }
        });
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Rebalance::Revoke(partitions),
            _ => Rebalance::Error(KafkaError::Rebalance(code.into())),
        };
        self.pre_rebalance(consumer, &rebalance);
        self.while_leaving(consumer, || {
            let incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
            let responded = match &rebalance {
                Rebalance::Assign(partitions) if incremental => consumer.incremental_assign(partitions),
                Rebalance::Assign(partitions) => consumer.assign(partitions),
                Rebalance::Revoke(partitions) if incremental => consumer.incremental_unassign(partitions),
                Rebalance::Revoke(_) | Rebalance::Error(_) => consumer.unassign(),
            };
            if let Err(error) = responded {
                tracing::debug!(%error, "the response to a rebalance failed");
            }
        });
        self.post_rebalance(consumer, &rebalance);
    }

    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(partitions) => {
                let partitions = listed(partitions);
                let kind = if consumer.assignment_lost() {
                    RebalanceKind::Lost
                } else {
                    RebalanceKind::Revoked
                };
                let mut membership = self.membership.lock();
                membership.report(kind, &partitions);
                membership.revoke(partitions);
            }
            // The response is to give up all partitions.
            Rebalance::Error(_) => {
                let mut membership = self.membership.lock();
                let all: Vec<_> = membership
                    .assignment()
                    .iter()
                    .map(|(partition, _)| partition.clone())
                    .collect();
                membership.report(RebalanceKind::Lost, &all);
                membership.revoke_all();
            }
            Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.counters.count_rebalance();
            let pending = |partition: &TopicPartition| self.starts_at_end && self.watch.is_new(partition);
            let partitions = listed(partitions);
            let mut membership = self.membership.lock();
            let any_pending = membership.assign(partitions.clone(), pending);
            membership.report(RebalanceKind::Assigned, &partitions);
            drop(membership);
            if any_pending {
                self.watch.notify();
            }
        }
    }
}

fn listed(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = partitions.elements();
    elements
        .iter()
        .map(|partition| TopicPartition::new(partition.topic(), partition.partition()))
        .collect()
}
