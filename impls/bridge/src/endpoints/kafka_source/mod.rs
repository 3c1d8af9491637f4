//! Reads Kafka records as messages.

mod driver;
mod partitions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeProtocol, BridgeSource, Delivery, DeliveryRetry, EndpointHealth, HealthState};
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{ConsumerConfig, KafkaClient};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use driver::Driver;
use networking_runtime::clock::TokioClock;

/// A source that reads topics as a member of a consumer group, over any [`KafkaClient`].
///
/// # Offsets
///
/// The offset of a record is committed only after the bridge has acknowledged its message and the messages of all records
/// before it in the partition. No record is skipped: after a restart the source continues with the first record that was not
/// acknowledged.
///
/// When the group rebalances, the source keeps what it has of the partitions that it keeps, also if a commit is refused
/// meanwhile, and commits again. It drops only what it has of partitions that it has lost, as
/// [`consumer_assignment`](KafkaClient::consumer_assignment) shows. Their records are delivered again, by this source or by
/// another member.
///
/// A rejected message is redelivered from memory, with exponential backoff. (The contract has no seek, and seeking would also
/// redeliver the records after it.) When a message was rejected [`max_attempts`](DeliveryRetry::max_attempts) times, the
/// source fails with the last error, and so does the bridge: this record and those after it remain uncommitted. With a
/// dead-letter target this happens only if dead-lettering fails.
///
/// # Order
///
/// Messages of a partition are delivered in order, with at most `window` messages in flight per partition
/// ([`with_window`](Self::with_window)). A redelivered message follows the messages of its partition that were in flight.
/// With a window of 1 the order is strict.
///
/// # Messages
///
/// The id is `topic/partition@offset`, the origin is the topic, the content type is the header `content-type`. Headers keep
/// their order; their names become lower case. A record without a value (a tombstone) becomes a message with an empty payload
/// and the header `bridge-tombstone`.
pub struct KafkaSource {
    client: Arc<dyn KafkaClient>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    _stop_on_drop: DropGuard,
    started: AtomicBool,
    ready: tokio::sync::Mutex<mpsc::Receiver<Delivery>>,
    /// `None` once the driver has started.
    sender: Mutex<Option<mpsc::Sender<Delivery>>>,
    failures: Arc<Failures>,
}

#[derive(Debug, Clone)]
struct Settings {
    consumer: ConsumerConfig,
    window: usize,
    max_outstanding: usize,
    redelivery: DeliveryRetry,
}

/// Errors that `receive` returns next, and the error that the health check reports.
#[derive(Default)]
struct Failures {
    latest: Mutex<Option<NetworkError>>,
    arrived: tokio::sync::Notify,
    degraded: Mutex<Option<String>>,
}

impl Failures {
    /// Reports an error. It does not replace an earlier error that ends the source.
    fn report(&self, error: NetworkError) {
        *self.degraded.lock() = Some(error.to_string());
        let mut latest = self.latest.lock();
        if latest
            .as_ref()
            .is_none_or(|earlier| earlier.retryability().is_retryable())
        {
            *latest = Some(error);
        }
        drop(latest);
        self.arrived.notify_one();
    }

    /// Makes the health check report an error, without ending a call to `receive`.
    fn degrade(&self, error: &NetworkError) {
        *self.degraded.lock() = Some(error.to_string());
    }

    fn recovered(&self) {
        *self.degraded.lock() = None;
    }
}

impl KafkaSource {
    /// A source of the records that `consumer` reads. The defaults: 64 messages in flight per partition and 512 in total; 10
    /// attempts for a rejected message, with waits from 500 ms to 30 s.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(client: Arc<dyn KafkaClient>, consumer: ConsumerConfig) -> Result<Self> {
        consumer.validate().in_field("consumer")?;
        let settings = Settings {
            consumer,
            window: 64,
            max_outstanding: 512,
            redelivery: DeliveryRetry::new(10, Duration::from_millis(500), Duration::from_secs(30)),
        };
        let (sender, ready) = mpsc::channel(settings.max_outstanding);
        let stopping = CancellationToken::new();
        Ok(Self {
            client,
            settings,
            clock: Arc::new(TokioClock::new()),
            _stop_on_drop: stopping.clone().drop_guard(),
            stopping,
            started: AtomicBool::new(false),
            ready: tokio::sync::Mutex::new(ready),
            sender: Mutex::new(Some(sender)),
            failures: Arc::default(),
        })
    }

    /// Sets the maximum number of messages in flight per partition. With 1 they stay in order even when they are redelivered.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for zero, or for more than 512.
    pub fn with_window(mut self, messages: usize) -> Result<Self> {
        let most = 1..=self.settings.max_outstanding;
        validate::ensure(
            most.contains(&messages),
            "window",
            "must be between 1 and the maximum of messages in flight",
        )?;
        self.settings.window = messages;
        Ok(self)
    }

    /// Sets the number of attempts for a rejected message, and the waits between them.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn with_redelivery(mut self, redelivery: DeliveryRetry) -> Result<Self> {
        validate::ensure(
            redelivery.max_attempts > 0,
            "redelivery.max_attempts",
            "must be at least 1",
        )?;
        self.settings.redelivery = redelivery;
        Ok(self)
    }

    /// Sets the clock for [`received_at`](networking_spi::bridge::BridgeMessage::received_at). Waits use tokio's clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

#[async_trait]
impl BridgeSource for KafkaSource {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Kafka
    }

    async fn start(&self) -> Result<()> {
        if self.stopping.is_cancelled() {
            return Err(NetworkError::closed("kafka_source.start", "the source"));
        }
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(NetworkError::new(
                ErrorKind::Conflict,
                "kafka_source.start",
                "the source is already started",
            ));
        }
        let consumer = match self.client.create_consumer(self.settings.consumer.clone()).await {
            Ok(consumer) => consumer,
            Err(error) => {
                self.started.store(false, Ordering::Release);
                return Err(error);
            }
        };
        if let Some(sender) = self.sender.lock().take() {
            let client = Arc::clone(&self.client);
            let failures = Arc::clone(&self.failures);
            let driver = Driver::new(
                client,
                consumer,
                self.settings.clone(),
                Arc::clone(&self.clock),
                sender,
                failures,
            );
            tokio::spawn(driver.run(self.stopping.clone()));
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        let mut ready = self.ready.lock().await;
        loop {
            if let Some(error) = self.failures.latest.lock().take() {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.failures.arrived.notified() => {}
                delivery = ready.recv() => match delivery {
                    Some(delivery) => return Ok(Some(delivery)),
                    None => return self.failures.latest.lock().take().map_or(Ok(None), Err),
                },
            }
        }
    }

    async fn stop(&self) -> Result<()> {
        self.stopping.cancel();
        if !self.started.load(Ordering::Acquire) {
            self.sender.lock().take();
        }
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        if !self.started.load(Ordering::Acquire) || self.stopping.is_cancelled() {
            return EndpointHealth::new(HealthState::Down).with_detail("the source is not consuming");
        }
        match &*self.failures.degraded.lock() {
            Some(error) => EndpointHealth::new(HealthState::Degraded).with_detail(error.clone()),
            None => EndpointHealth::new(HealthState::Up),
        }
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("client", &self.client)
            .field("group", &self.settings.consumer.group)
            .field("topics", &self.settings.consumer.topics)
            .finish_non_exhaustive()
    }
}
