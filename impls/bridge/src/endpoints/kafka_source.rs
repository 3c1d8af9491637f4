//! Kafka records become messages.

mod driver;
mod partitions;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeProtocol, BridgeSource, Delivery, DeliveryRetry, EndpointHealth, HealthState};
use networking_spi::clock::Clock;
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
/// The offset of a record is committed only after the bridge has acknowledged its message and those of every record before it
/// in the partition. Whatever happens, no record is skipped: a restart reads on from the first one that was not dealt with.
///
/// A rejected message is delivered again from memory, after growing waits. The consumer's position cannot be moved back
/// through the contract, and moving it would deliver again what comes after it, too. When a message is rejected
/// [`max_attempts`](DeliveryRetry::max_attempts) times, the source fails for good with the last error, and with it the
/// bridge: its record and those after it remain uncommitted. A bridge with a dead-letter target does not get there.
///
/// # Order
///
/// Messages of a partition are handed over in order, up to a window of messages in work per partition. A message that is
/// delivered again comes after messages of its partition that were in work already. With a window of 1 nothing overtakes.
///
/// # Messages
///
/// The id is `topic/partition@offset`, the origin the topic, the content type the header `content-type`. Headers keep their
/// order; their names are put in lower case. A record without a value (a tombstone) becomes an empty payload with the
/// header `bridge-tombstone`.
pub struct KafkaSource {
    client: Arc<dyn KafkaClient>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    _stop_on_drop: DropGuard,
    started: AtomicBool,
    ready: tokio::sync::Mutex<mpsc::Receiver<Delivery>>,
    /// Taken by the driver when it starts.
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

/// Errors on their way to `receive`.
#[derive(Default)]
struct Failures {
    latest: Mutex<Option<NetworkError>>,
    arrived: tokio::sync::Notify,
    degraded: Mutex<Option<String>>,
}

impl Failures {
    /// Reports an error. One that ends the source is not replaced by one that does not.
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

    fn recovered(&self) {
        *self.degraded.lock() = None;
    }
}

impl KafkaSource {
    /// A source of what `consumer` reads: 64 messages in work per partition, 512 in all, and 10 attempts for a rejected
    /// message, with waits from 500 ms up to 30 s.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(client: Arc<dyn KafkaClient>, consumer: ConsumerConfig) -> Result<Self> {
        consumer.validate().map_err(|error| error.in_field("consumer"))?;
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

    /// Sets how many messages of a partition are in work at once. 1 keeps their order even when they are delivered again.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for zero, or more than are in work in all.
    pub fn with_window(mut self, messages: usize) -> Result<Self> {
        let most = 1..=self.settings.max_outstanding;
        validate::ensure(
            most.contains(&messages),
            "window",
            "must be between 1 and the messages in work in all",
        )?;
        self.settings.window = messages;
        Ok(self)
    }

    /// Sets how often, and after which waits, a rejected message is delivered again.
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

    /// Sets the clock for [`received_at`](networking_spi::bridge::BridgeMessage::received_at). Waits follow tokio's clock.
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
                "the source has started already",
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
            return EndpointHealth::new(HealthState::Down).with_detail("it does not consume");
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
