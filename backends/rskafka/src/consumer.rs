//! Consumers. Each reads all partitions of its topics by offset.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerMetrics, KafkaMessage, OffsetReset, TopicPartition,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use rskafka::client::partition::{OffsetAt, PartitionClient};
use rskafka::record::RecordAndOffset;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, timeout_at};

use crate::cluster::{Cluster, within};
use crate::error::{classify, is_out_of_range, is_unknown};
use crate::lock;
use crate::producer::after;

const OPERATION: &str = "kafka.consume_messages";
/// The size of the records that one request returns. A larger batch is returned alone.
const FETCH_BYTES: i32 = 1_048_576;
/// How long a broker waits for records before it responds without any.
const FETCH_WAIT_MS: i32 = 500;
/// How often the consumer looks for new partitions of its topics.
const PARTITIONS_AGE: Duration = Duration::from_secs(60);

/// A consumer. It has no tasks: its requests advance while a call is waiting, and none is lost when the call is dropped.
#[derive(Debug)]
pub(crate) struct Consumer {
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    reading: AsyncMutex<Reading>,
    assignment: Mutex<ConsumerAssignment>,
    counters: Mutex<ConsumerMetrics>,
    closed: watch::Sender<bool>,
}

struct Reading {
    /// The requests that are under way.
    requests: FuturesUnordered<BoxFuture<'static, (Partition, Result<Vec<KafkaMessage>>)>>,
    /// The partitions without a request.
    idle: Vec<Partition>,
    /// What was read and not returned yet.
    ready: VecDeque<KafkaMessage>,
    known: HashSet<TopicPartition>,
    /// When to look for new partitions.
    look: Instant,
}

struct Partition {
    place: TopicPartition,
    leader: PartitionClient,
    reset: OffsetReset,
    /// The next offset to read, if it was determined.
    position: Option<i64>,
}

impl Consumer {
    pub(crate) async fn new(cluster: Arc<Cluster>, config: ConsumerConfig) -> Result<Self> {
        let mut known = HashSet::new();
        for topic in &config.topics {
            known.extend(cluster.places("kafka.create_consumer", topic).await?);
        }
        let reset = config.offset_reset;
        let open = |place| Partition::open(&cluster, place, reset);
        let idle = Cluster::each(known.iter().cloned().collect(), open).await?;
        let assignment = assignment(&known);
        let mut counters = ConsumerMetrics::default();
        counters.assigned_partitions = idle.len() as u64;
        let reading = Reading {
            requests: FuturesUnordered::new(),
            idle,
            ready: VecDeque::new(),
            known,
            look: after(PARTITIONS_AGE),
        };
        Ok(Self {
            cluster,
            config,
            reading: AsyncMutex::new(reading),
            assignment: Mutex::new(assignment),
            counters: Mutex::new(counters),
            closed: watch::Sender::new(false),
        })
    }

    /// Returns the next messages, see [`consume_messages`](networking_spi::kafka::KafkaClient::consume_messages).
    pub(crate) async fn next(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        options.validate()?;
        let mut closed = self.closed.subscribe();
        let messages = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(NetworkError::new(
                ErrorKind::NotFound,
                OPERATION,
                "the consumer was closed",
            )),
            messages = self.read(options.max_messages, after(options.max_wait)) => messages?,
        };
        let mut counters = lock(&self.counters);
        counters.messages += messages.len() as u64;
        counters.bytes += messages.iter().map(size).sum::<u64>();
        Ok(messages)
    }

    async fn read(&self, max: usize, deadline: Instant) -> Result<Vec<KafkaMessage>> {
        let Ok(mut reading) = timeout_at(deadline, self.reading.lock()).await else {
            return Ok(Vec::new());
        };
        if reading.look <= Instant::now() {
            // On a timeout, a later call looks again.
            if let Ok(result) = timeout_at(deadline, self.add_partitions(&mut reading)).await {
                result?;
            }
        }
        while reading.ready.is_empty() {
            reading.request();
            let Ok(Some((partition, result))) = timeout_at(deadline, reading.requests.next()).await else {
                return Ok(Vec::new());
            };
            reading.idle.push(partition);
            reading.ready.extend(result?);
        }
        while reading.ready.len() < max
            && let Some(Some((partition, result))) = reading.requests.next().now_or_never()
        {
            reading.idle.push(partition);
            // An error is reported by the next call, which repeats the request.
            reading.ready.extend(result.unwrap_or_default());
        }
        let count = max.min(reading.ready.len());
        Ok(reading.ready.drain(..count).collect())
    }

    /// Adds partitions that were created after the consumer. They are read from their first record.
    async fn add_partitions(&self, reading: &mut Reading) -> Result<()> {
        for topic in &self.config.topics {
            for place in self.cluster.places(OPERATION, topic).await? {
                if !reading.known.contains(&place) {
                    let reset = match self.config.offset_reset {
                        OffsetReset::Fail => OffsetReset::Fail,
                        OffsetReset::Earliest | OffsetReset::Latest => OffsetReset::Earliest,
                    };
                    let partition = Partition::open(&self.cluster, place.clone(), reset).await?;
                    reading.idle.push(partition);
                    reading.known.insert(place);
                    lock(&self.counters).assigned_partitions += 1;
                    *lock(&self.assignment) = assignment(&reading.known);
                }
            }
        }
        reading.look = after(PARTITIONS_AGE);
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn assignment(&self) -> ConsumerAssignment {
        lock(&self.assignment).clone()
    }

    pub(crate) fn metrics(&self) -> ConsumerMetrics {
        *lock(&self.counters)
    }
}

impl Reading {
    /// Starts a request for each partition that has none. It is called when all messages were returned, so that at most one
    /// response per partition is kept.
    fn request(&mut self) {
        for mut partition in self.idle.drain(..) {
            self.requests.push(Box::pin(async move {
                let result = partition.fetch().await;
                (partition, result)
            }));
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("partitions", &self.known.len())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

impl Partition {
    /// Connects to the leader. The position of `latest` is the end of the partition at this time.
    async fn open(cluster: &Cluster, place: TopicPartition, reset: OffsetReset) -> Result<Self> {
        let leader = cluster.new_leader("kafka.create_consumer", &place).await?;
        let position = match reset {
            OffsetReset::Latest => Some(within("kafka.create_consumer", leader.get_offset(OffsetAt::Latest)).await?),
            OffsetReset::Earliest | OffsetReset::Fail => None,
        };
        Ok(Self {
            place,
            leader,
            reset,
            position,
        })
    }

    /// The next records. None, if none has arrived in time.
    async fn fetch(&mut self) -> Result<Vec<KafkaMessage>> {
        let position = match self.position {
            Some(position) => position,
            None => self.start().await?,
        };
        let (records, end) = match self.request(position).await {
            Err(error) if is_out_of_range(&error) => {
                // The records at the position were removed. The next request starts anew.
                self.position = None;
                return Ok(Vec::new());
            }
            Err(error) if is_unknown(&error) => {
                // The topic was deleted. If it is created again, it is read from its first record.
                self.position = None;
                self.reset = OffsetReset::Earliest;
                return Err(self.is_missing());
            }
            result => result.map_err(|error| classify(OPERATION, error))?,
        };
        let next = match records.last() {
            Some(last) => last.offset + 1,
            None if end > position && self.is_hidden(position).await? => position + 1,
            None => position,
        };
        self.position = Some(next);
        Ok(records.into_iter().map(|record| self.to_message(record)).collect())
    }

    async fn request(
        &self,
        position: i64,
    ) -> std::result::Result<(Vec<RecordAndOffset>, i64), rskafka::client::error::Error> {
        self.leader.fetch_records(position, 1..FETCH_BYTES, FETCH_WAIT_MS).await
    }

    /// Determines the position.
    async fn start(&mut self) -> Result<i64> {
        let at = match self.reset {
            OffsetReset::Earliest => OffsetAt::Earliest,
            OffsetReset::Latest => OffsetAt::Latest,
            OffsetReset::Fail => {
                return Err(NetworkError::not_found(OPERATION, "committed offset", &self.place));
            }
        };
        let position = within(OPERATION, self.leader.get_offset(at))
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => self.is_missing(),
                _ => error,
            })?;
        self.position = Some(position);
        Ok(position)
    }

    /// The topic may be created again, so the error is transient.
    fn is_missing(&self) -> NetworkError {
        NetworkError::not_found(OPERATION, "topic", &self.place.topic).with_retryability(Retryability::Now)
    }

    /// Whether the offset has no record although later ones are readable, because its batch was compacted. `rskafka` returns
    /// nothing then, and does not say where to continue.
    async fn is_hidden(&self, position: i64) -> Result<bool> {
        let end = within(OPERATION, self.leader.get_offset(OffsetAt::Latest)).await?;
        if end <= position {
            return Ok(false);
        }
        // Records that were written before the end was read are in this response.
        let again = self
            .request(position)
            .await
            .map_err(|error| classify(OPERATION, error))?;
        Ok(again.0.is_empty())
    }

    fn to_message(&self, read: RecordAndOffset) -> KafkaMessage {
        let mut message = KafkaMessage::new(self.place.topic.as_str(), self.place.partition, read.offset);
        message.key = read.record.key.map(Into::into);
        message.value = read.record.value.map(Into::into);
        message.headers = read.record.headers.into_iter().collect();
        let millis = u64::try_from(read.record.timestamp.timestamp_millis()).ok();
        message.timestamp = millis.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        message
    }
}

/// No partition is taken from the consumer, so all epochs stay the same.
fn assignment(partitions: &HashSet<TopicPartition>) -> ConsumerAssignment {
    partitions.iter().map(|partition| (partition.clone(), 0)).collect()
}

/// The number of bytes of key, value and headers.
pub(crate) fn size(message: &KafkaMessage) -> u64 {
    let headers = message.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.len() + value.map_or(0, |value| value.len()))
        .sum();
    let key = message.key.as_ref().map_or(0, |key| key.len());
    let value = message.value.as_ref().map_or(0, |value| value.len());
    (key + value + headers) as u64
}
