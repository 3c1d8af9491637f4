//! Watches the topics of a consumer: whether they were deleted, created again, or have more partitions.
//!
//! librdkafka reports a deleted topic once, continues at the old offset in a topic that was created again, and asks for the
//! number of partitions every five minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use networking_spi::Result;
use networking_spi::kafka::TopicPartition;
use parking_lot::Mutex;
use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::MetadataTopic;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::control::{BlockingCalls, Control};
use super::native::{self, TopicIdentity, from_refusal};
use crate::topic_pattern::TopicPattern;

const OPERATION: &str = "kafka.consume_messages";

/// How often the topics are described while the application consumes, and how often while one of them does not exist.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const MISSING_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a description may take.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(5);

type Description = BTreeMap<String, Option<TopicIdentity>>;

pub(super) struct TopicWatch {
    control: Arc<Control>,
    /// What the names of topics match, if the consumer subscribes by pattern.
    pattern: Option<TopicPattern>,
    /// The names of the topics when the consumer was created.
    first_names: BTreeSet<String>,
    /// The topics when the consumer was created.
    first: BTreeMap<String, TopicIdentity>,
    state: Mutex<State>,
    /// Notified when the consumer has something to do: [`Changes`], or a new partition.
    changed: Notify,
}

struct State {
    names: Vec<String>,
    /// The topics when they were last seen.
    last: BTreeMap<String, TopicIdentity>,
    missing: BTreeSet<String>,
    changes: Changes,
    next_check: Instant,
    checking: bool,
}

/// What the consumer has to adopt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Topics that were deleted and created again.
    pub(super) recreated: BTreeSet<String>,
    /// Whether librdkafka's metadata must be refreshed.
    pub(super) refresh: bool,
    /// The topics that match the pattern, if they are others than before.
    pub(super) subscribe: Option<Vec<String>>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.recreated.is_empty() && !self.refresh && self.subscribe.is_none()
    }
}

impl TopicWatch {
    /// Describes the topics, which become the state that later ones are compared with. If they cannot be described, a topic
    /// counts as known when it is first seen.
    pub(super) async fn start(control: Arc<Control>, names: Vec<String>, pattern: Option<TopicPattern>) -> Arc<Self> {
        let described = describe(&control, names.clone()).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the topics cannot be described");
            Description::new()
        });
        let first = described
            .into_iter()
            .filter_map(|(name, identity)| Some((name, identity?)));
        let first: BTreeMap<_, _> = first.collect();
        let first_names = names.iter().cloned().collect();
        let state = State {
            names,
            last: first.clone(),
            missing: BTreeSet::new(),
            changes: Changes::default(),
            next_check: Instant::now() + CHECK_INTERVAL,
            checking: false,
        };
        Arc::new(Self {
            control,
            pattern,
            first_names,
            first,
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// Whether a partition did not exist when the consumer was created. `latest` must not skip its records.
    pub(super) fn is_new(&self, partition: &TopicPartition) -> bool {
        if self.pattern.is_some() && !self.first_names.contains(partition.topic.as_str()) {
            return true;
        }
        let state = self.state.lock();
        let Some(first) = self.first.get(partition.topic.as_str()) else {
            return false;
        };
        let recreated = state
            .last
            .get(partition.topic.as_str())
            .is_some_and(|last| last.id != first.id);
        recreated || partition.partition >= first.partitions
    }

    /// The first topic that does not exist, when the topics were last described.
    pub(super) fn missing(&self) -> Option<String> {
        if self.pattern.is_some() {
            return None;
        }
        self.state.lock().missing.first().cloned()
    }

    pub(super) fn changes(&self) -> Changes {
        self.state.lock().changes.clone()
    }

    /// Removes changes that the consumer has adopted.
    pub(super) fn adopted(&self, adopted: &Changes) {
        let mut state = self.state.lock();
        state
            .changes
            .recreated
            .retain(|topic| !adopted.recreated.contains(topic));
        state.changes.refresh &= !adopted.refresh;
        if state.changes.subscribe == adopted.subscribe {
            state.changes.subscribe = None;
        }
    }

    /// Ends the current or the next [`wait`](Self::wait).
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Describes the topics soon: librdkafka has reported that one does not exist.
    pub(super) fn check_soon(&self) {
        self.state.lock().next_check = Instant::now();
        self.notify();
    }

    /// Describes the topics whenever it is time, and returns when the consumer has something to do.
    pub(super) async fn wait(self: &Arc<Self>) {
        loop {
            let next = self.check_if_due();
            tokio::select! {
                biased;
                () = self.changed.notified() => return,
                () = sleep_until(next) => {}
            }
        }
    }

    /// Starts a check if it is time. Returns the time of the next one.
    fn check_if_due(self: &Arc<Self>) -> Instant {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.checking || state.next_check > now {
            return state.next_check.max(now + MISSING_CHECK_INTERVAL);
        }
        state.checking = true;
        let watch = Arc::clone(self);
        let mut names = state.names.clone();
        tokio::spawn(async move {
            if let Some(pattern) = &watch.pattern {
                match matching(&watch.control, OPERATION, pattern.clone()).await {
                    Ok(found) => {
                        watch.state.lock().rename(&found);
                        names = found;
                    }
                    Err(error) => tracing::debug!(%error, "the topics cannot be listed"),
                }
            }
            let described = describe(&watch.control, names).await;
            if let Err(error) = &described {
                tracing::debug!(%error, "the topics cannot be described");
            }
            watch.apply(described.unwrap_or_default());
        });
        now + MISSING_CHECK_INTERVAL
    }

    fn apply(&self, described: Description) {
        let mut state = self.state.lock();
        state.checking = false;
        let changed = state.compare(described) || state.changes.subscribe.is_some();
        let interval = if state.missing.is_empty() {
            CHECK_INTERVAL
        } else {
            MISSING_CHECK_INTERVAL
        };
        state.next_check = Instant::now() + interval;
        drop(state);
        if changed {
            self.notify();
        }
    }
}

impl State {
    /// Adopts the names that match the pattern now.
    fn rename(&mut self, names: &[String]) {
        if self.names != names {
            names.clone_into(&mut self.names);
            self.changes.subscribe = Some(names.to_vec());
        }
    }

    /// Compares a description with the last one. Returns whether the consumer has something to do.
    fn compare(&mut self, described: Description) -> bool {
        let before = self.changes.clone();
        for (name, identity) in described {
            let Some(identity) = identity else {
                self.missing.insert(name);
                continue;
            };
            let returned = self.missing.remove(&name);
            if let Some(last) = self.last.insert(name.clone(), identity) {
                let recreated = last.id != identity.id;
                self.changes.refresh |= recreated || returned || identity.partitions > last.partitions;
                if recreated {
                    tracing::warn!(
                        topic = name,
                        "the topic was created again; it is read from its first record"
                    );
                    self.changes.recreated.insert(name);
                }
            }
        }
        self.changes != before
    }
}

/// The names of all topics that match a pattern, in order.
pub(super) async fn matching(control: &Control, operation: &'static str, pattern: TopicPattern) -> Result<Vec<String>> {
    let request = move |calls: &BlockingCalls<'_>| {
        let metadata = calls.metadata(None)?;
        let names = metadata.topics().iter().map(MetadataTopic::name);
        let mut names: Vec<_> = names.filter(|name| pattern.matches(name)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    };
    control.call(operation, request).await
}

async fn describe(control: &Control, names: Vec<String>) -> Result<Description> {
    let request = move |calls: &BlockingCalls<'_>| {
        let Some(first) = names.first() else {
            return Ok(Description::new());
        };
        // The broker that answers is reachable.
        let broker = calls.metadata(Some(first))?.orig_broker_id();
        let topics: Vec<&str> = names.iter().map(String::as_str).collect();
        let limit = calls.limit.min(DESCRIBE_LIMIT);
        native::identify_topics(calls.consumer.client(), &topics, broker, limit)
            .map_err(|refusal| from_refusal(calls.operation, refusal))
    };
    control.call(OPERATION, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: i64, partitions: i32) -> TopicIdentity {
        let id = (id, id);
        TopicIdentity { id, partitions }
    }

    fn described(topic: impl Into<Option<TopicIdentity>>) -> Description {
        BTreeMap::from([("t".to_owned(), topic.into())])
    }

    #[tokio::test]
    async fn topics_that_are_deleted_created_again_or_larger_are_noticed() {
        let mut state = State {
            names: vec!["t".to_owned()],
            last: BTreeMap::from([("t".to_owned(), identity(1, 2))]),
            missing: BTreeSet::new(),
            changes: Changes::default(),
            next_check: Instant::now(),
            checking: false,
        };
        assert!(!state.compare(described(identity(1, 2))));
        assert!(!state.compare(BTreeMap::new()), "nothing is known");
        assert!(state.compare(described(identity(1, 3))));
        assert!(state.changes.refresh && state.changes.recreated.is_empty());
        state.changes = Changes::default();

        assert!(!state.compare(described(None)));
        assert!(state.missing.contains("t"));
        assert!(state.compare(described(identity(2, 1))));
        assert!(state.missing.is_empty());
        assert_eq!(state.changes.recreated, BTreeSet::from(["t".to_owned()]));
        state.changes = Changes::default();
        assert!(!state.compare(described(identity(2, 1))));
        assert!(
            state.compare(described(identity(3, 1))),
            "deleted and created between two checks"
        );
    }
}
