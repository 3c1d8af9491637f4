//! The contract `KafkaClient`, and its extension trait.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaCapabilities, KafkaMessage, KafkaMetrics, NewTopic, ProcessOptions, ProducerConfig, ProducerId,
    ProducerRecord, RecordMetadata, TopicMetadata, processing,
};
use crate::error::Result;

/// A client of a Kafka cluster. It creates producers and consumers.
///
/// # Behaviour of every implementation
///
/// * Records of one producer to one partition keep their order.
/// * A record with a key and without a partition is written to the partition that Kafka's Java client chooses:
///   [`partition_of_key`](super::partition_of_key).
/// * Only [`commit_offsets`](Self::commit_offsets) commits offsets.
/// * With the capability `groups`, the partitions of the topics are divided among the members of a group: each partition is
///   assigned to one member. Without it, each consumer reads all partitions, and its group is only a name.
/// * Every field of a configuration is obeyed, or the call fails: with [`Unsupported`](crate::ErrorKind::Unsupported) for
///   what the capabilities do not declare ([`KafkaCapabilities::check_producer`] and its siblings), with
///   [`InvalidInput`](crate::ErrorKind::InvalidInput) for a bad value. The default configurations ask for nothing that a
///   capability must declare.
/// * An operation with the id of a closed producer or consumer, or with an id of another client, fails with
///   [`NotFound`](crate::ErrorKind::NotFound).
/// * Dropping the last clone of a client closes its producers and consumers. Records that are not acknowledged yet may be
///   lost: call [`flush`](Self::flush) first.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait KafkaClient: fmt::Debug + Send + Sync + 'static {
    /// Creates a producer.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a field that needs a capability that is not declared, and for a
    /// compression that the client does not have.
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId>;

    /// Creates a consumer, which joins its group. Partitions are assigned while it consumes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, [`NotFound`](crate::ErrorKind::NotFound) for
    /// a topic that does not exist, if the backend can detect that,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a field that needs a capability that is not declared.
    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId>;

    /// Writes one record, and waits for its acknowledgement.
    ///
    /// Cancel safety: the record may be written although the call was cancelled.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, [`NotFound`](crate::ErrorKind::NotFound) for a
    /// topic, partition or producer that does not exist, [`TooLarge`](crate::ErrorKind::TooLarge),
    /// [`Timeout`](crate::ErrorKind::Timeout) after `delivery_timeout`,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a timestamp or headers that need a capability that is not declared,
    /// [`Exhausted`](crate::ErrorKind::Exhausted) if the queue stays full, and connection errors.
    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata>;

    /// Writes records in order, and waits for all acknowledgements. Returns one result per record, in the order of the
    /// records. If one record fails, the others are still written.
    ///
    /// Cancel safety: any of the records may be written although the call was cancelled.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a producer that does not exist. Other errors are in the results of the
    /// records, see [`produce_message`](Self::produce_message).
    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>>;

    /// Returns the next messages. Waits at most `max_wait` for the first message, and then returns the messages that are
    /// available, at most `max_messages`. The list is empty if no message arrived in time.
    ///
    /// Messages of a partition are returned in the order of their offsets, without gaps. Make one call at a time per
    /// consumer: of several concurrent calls, only one returns each message.
    ///
    /// Partitions are assigned and revoked only during this call. All messages that it returns were read with the epochs that
    /// [`consumer_assignment`](Self::consumer_assignment) returns afterwards.
    ///
    /// A consumer keeps running when one of its topics is deleted. While a topic does not exist, each call that has no message
    /// to return fails. A topic that was deleted and created again is read from its first record.
    ///
    /// Cancel safety: if the future is dropped, no message is lost. A later call returns the messages.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist; for a topic that does not exist any more,
    /// naming it, as a transient error, because the topic may be created again; and for a consumer with
    /// [`OffsetReset::Fail`](super::OffsetReset::Fail) that has no valid position in a partition: then every call fails until
    /// the partition is assigned to another member or an offset is committed and the partition is assigned again,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, [`Conflict`](crate::ErrorKind::Conflict) if
    /// another member with the same instance id has fenced this one, and connection errors.
    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>>;

    /// Commits offsets for the consumer's group. Each offset is the next one to read. A commit does not change the
    /// position of the consumer.
    ///
    /// [`CommitOffsets::Consumed`] commits only partitions that are still assigned to the consumer. Messages of revoked
    /// partitions are delivered again, to the new owner of the partition.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field `offset` for a negative offset,
    /// [`Conflict`](crate::ErrorKind::Conflict) for a partition that is not assigned to this member, and for a member that
    /// was removed from its group, [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `groups`.
    ///
    /// A `Conflict` does not mean that the partitions are lost: the group may only be rebalancing. Consume, and look at
    /// [`consumer_assignment`](Self::consumer_assignment). Partitions with the same epoch as before are kept; their offsets
    /// can be committed again.
    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()>;

    /// Returns the partitions that are assigned to a consumer, with their epochs. They change only during
    /// [`consume_messages`](Self::consume_messages), and this call does not ask the cluster. Without the capability `groups`,
    /// these are all partitions that the consumer reads.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist.
    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment>;

    /// Returns the state, members, committed offsets and lag of a group.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a group that does not exist,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `group_info`.
    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo>;

    /// Creates a topic. When this returns, all its partitions can be written to.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the topic exists,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `topic_admin`.
    async fn create_topic(&self, topic: NewTopic) -> Result<()>;

    /// Deletes a topic and its records.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such topic,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `topic_admin`.
    async fn delete_topic(&self, topic: &str) -> Result<()>;

    /// Returns the partitions and offsets of a topic, and with the capability `leaders` also their leaders and replicas. This
    /// call does not create the topic.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such topic, and connection errors.
    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata>;

    /// Returns a snapshot of the counters.
    ///
    /// # Errors
    /// Connection errors, if the backend has to ask the cluster.
    async fn kafka_metrics(&self) -> Result<KafkaMetrics>;

    /// Waits until all records that were passed to the producer before this call are acknowledged or have failed.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a producer that does not exist,
    /// [`Timeout`](crate::ErrorKind::Timeout) after `timeout`; the remaining records stay queued.
    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()>;

    /// Flushes a producer, for at most its `delivery_timeout`, and closes it. Records that were passed to it before this call
    /// are written.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a producer that does not exist, [`Timeout`](crate::ErrorKind::Timeout)
    /// if not all records were acknowledged in time; the producer is closed anyway.
    async fn close_producer(&self, producer: &ProducerId) -> Result<()>;

    /// Closes a consumer, which leaves its group. Does not commit offsets.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist.
    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()>;

    /// What this client supports.
    fn capabilities(&self) -> KafkaCapabilities;
}

/// Conveniences for every [`KafkaClient`]. Do not implement it.
pub trait KafkaClientExt: KafkaClient {
    /// Consumes until `count` messages have arrived, or until none has arrived for `idle`. Returns all of them.
    ///
    /// Cancel safety: not cancel safe. Messages that were already consumed are discarded.
    ///
    /// # Errors
    /// Same as [`KafkaClient::consume_messages`]. Messages that were consumed before the error are discarded.
    fn consume_exactly(
        &self,
        consumer: &ConsumerId,
        count: usize,
        idle: Duration,
    ) -> impl Future<Output = Result<Vec<KafkaMessage>>> + Send {
        async move {
            let mut all = Vec::with_capacity(count.min(10_000));
            while all.len() < count {
                let options = ConsumeOptions::new()
                    .with_max_messages(count - all.len())
                    .with_max_wait(idle);
                let mut batch = self.consume_messages(consumer, options).await?;
                if batch.is_empty() {
                    break;
                }
                all.append(&mut batch);
            }
            Ok(all)
        }
    }

    /// Creates a topic if it does not exist.
    ///
    /// # Errors
    /// Same as [`KafkaClient::create_topic`], except `AlreadyExists`.
    fn ensure_topic(&self, topic: NewTopic) -> impl Future<Output = Result<()>> + Send {
        async move {
            match self.create_topic(topic).await {
                Err(error) if error.kind() == crate::ErrorKind::AlreadyExists => Ok(()),
                result => result,
            }
        }
    }

    /// A stream of the consumer's messages, as [`message_stream`] describes it, that borrows the client.
    fn messages<'c>(
        &'c self,
        consumer: &'c ConsumerId,
        options: ConsumeOptions,
    ) -> impl Stream<Item = Result<KafkaMessage>> + Send + 'c {
        stream::try_unfold((), move |()| async move {
            let batch = self.consume_messages(consumer, processing::at_rest(options)).await?;
            let batch = stream::iter(batch.into_iter().map(Ok::<_, crate::NetworkError>));
            Ok::<_, crate::NetworkError>(Some((batch, ())))
        })
        .try_flatten()
    }

    /// Processes each message and commits it afterwards, until `shutdown` completes. Returns the number of processed messages.
    ///
    /// * At least once: a message is committed after `handler` has returned `Ok` for it and for all earlier ones of its
    ///   partition. After a crash, messages may be processed again.
    /// * The messages of a partition are processed in order, one at a time; those of up to
    ///   [`concurrency`](ProcessOptions::concurrency) partitions at the same time.
    /// * At most `max_messages` messages are held. The next ones are consumed when these are processed and committed.
    /// * When `shutdown` completes, messages in progress are finished and committed. The others are neither processed nor
    ///   committed.
    /// * Offsets of partitions that were revoked or lost, or that were moved by a seek, are not committed. If the group
    ///   rebalances and the partition is kept, they are committed again afterwards.
    ///
    /// Afterwards, close the consumer: it may have returned messages that were not processed. The next one starts after the
    /// committed messages.
    ///
    /// Cancel safety: dropping the future drops messages in progress, which are not committed.
    ///
    /// ```
    /// use networking_spi::kafka::{ConsumerId, KafkaClient, KafkaClientExt, ProcessOptions};
    ///
    /// # async fn example(kafka: &dyn KafkaClient, consumer: &ConsumerId, stop: tokio::sync::oneshot::Receiver<()>)
    /// #     -> networking_spi::Result<()> {
    /// let stopped = async move { drop(stop.await) };
    /// let processed = kafka
    ///     .for_each_message(consumer, ProcessOptions::new(), stopped, |message| async move {
    ///         println!("{}", message.offset);
    ///         Ok(())
    ///     })
    ///     .await?;
    /// println!("{processed} messages");
    /// kafka.close_consumer(consumer).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first error of `handler`: no message is begun after it, and what was processed before is committed.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `groups`,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, and the errors of
    /// [`consume_messages`](KafkaClient::consume_messages) and [`commit_offsets`](KafkaClient::commit_offsets). A commit that
    /// fails with `Conflict` or a transient error is repeated with the next one, at most 10 times in a row.
    fn for_each_message<F, R>(
        &self,
        consumer: &ConsumerId,
        options: ProcessOptions,
        shutdown: impl Future<Output = ()> + Send,
        handler: F,
    ) -> impl Future<Output = Result<u64>> + Send
    where
        F: Fn(KafkaMessage) -> R + Send + Sync,
        R: Future<Output = Result<()>> + Send,
    {
        async move {
            let stop = AtomicBool::new(false);
            let process = |messages| processing::one_by_one(messages, &handler, &stop);
            processing::run(self, consumer, options, shutdown, &stop, process).await
        }
    }

    /// Like [`for_each_message`](Self::for_each_message), but `handler` gets the consumed messages of a partition together, in
    /// order. They are committed if it returns `Ok`.
    ///
    /// # Errors
    /// Same as [`for_each_message`](Self::for_each_message).
    fn for_each_batch<F, R>(
        &self,
        consumer: &ConsumerId,
        options: ProcessOptions,
        shutdown: impl Future<Output = ()> + Send,
        handler: F,
    ) -> impl Future<Output = Result<u64>> + Send
    where
        F: Fn(Vec<KafkaMessage>) -> R + Send + Sync,
        R: Future<Output = Result<()>> + Send,
    {
        async move {
            let stop = AtomicBool::new(false);
            let process = |messages| processing::together(messages, &handler, &stop);
            processing::run(self, consumer, options, shutdown, &stop, process).await
        }
    }
}

impl<C: KafkaClient + ?Sized> KafkaClientExt for C {}

/// Returns a stream of the consumer's messages. Messages are consumed only while the stream is polled. The stream ends after
/// its first error.
///
/// The stream commits nothing: use [`KafkaClient::commit_offsets`] with [`KafkaMessage::next_offset`]. Do not use
/// [`CommitOffsets::Consumed`], which would also commit messages that the stream has not yielded yet.
///
/// A stream that is dropped discards the messages of its last call that it has not yielded, at most
/// [`max_messages`](ConsumeOptions::max_messages). The consumer does not return them again: close it, and continue with
/// another one, which starts at the committed offsets. Before a commit, compare
/// [`consumer_assignment`](KafkaClient::consumer_assignment) with the assignment at the time of the message.
///
/// A [`max_wait`](ConsumeOptions::max_wait) below 100 ms counts as 100 ms, so that an idle stream does not spin.
pub fn message_stream(
    client: Arc<dyn KafkaClient>,
    consumer: ConsumerId,
    options: ConsumeOptions,
) -> BoxStream<'static, Result<KafkaMessage>> {
    let options = processing::at_rest(options);
    stream::try_unfold((client, consumer), move |(client, consumer)| async move {
        loop {
            let batch = client.consume_messages(&consumer, options).await?;
            if !batch.is_empty() {
                return Ok(Some((stream::iter(batch.into_iter().map(Ok)), (client, consumer))));
            }
        }
    })
    .flat_map(|batch: Result<_>| match batch {
        Ok(messages) => StreamExt::boxed(messages),
        Err(error) => stream::iter([Err(error)]).boxed(),
    })
    .boxed()
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: KafkaClient + ?Sized> KafkaClient for $pointer<C> {
            async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
                (**self).create_producer(config).await
            }

            async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
                (**self).create_consumer(config).await
            }

            async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
                (**self).produce_message(producer, record).await
            }

            async fn produce_messages(
                &self,
                producer: &ProducerId,
                records: Vec<ProducerRecord>,
            ) -> Result<Vec<Result<RecordMetadata>>> {
                (**self).produce_messages(producer, records).await
            }

            async fn consume_messages(
                &self,
                consumer: &ConsumerId,
                options: ConsumeOptions,
            ) -> Result<Vec<KafkaMessage>> {
                (**self).consume_messages(consumer, options).await
            }

            async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
                (**self).commit_offsets(consumer, offsets).await
            }

            async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
                (**self).consumer_assignment(consumer).await
            }

            async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
                (**self).consumer_group_info(group).await
            }

            async fn create_topic(&self, topic: NewTopic) -> Result<()> {
                (**self).create_topic(topic).await
            }

            async fn delete_topic(&self, topic: &str) -> Result<()> {
                (**self).delete_topic(topic).await
            }

            async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
                (**self).topic_metadata(topic).await
            }

            async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
                (**self).kafka_metrics().await
            }

            async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
                (**self).flush(producer, timeout).await
            }

            async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
                (**self).close_producer(producer).await
            }

            async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
                (**self).close_consumer(consumer).await
            }

            fn capabilities(&self) -> KafkaCapabilities {
                (**self).capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, NetworkError};

    fn client(batches: Vec<Result<usize, ErrorKind>>) -> MockKafkaClient {
        let mut client = MockKafkaClient::new();
        let mut batches = batches.into_iter();
        let mut offset = 0;
        client
            .expect_consume_messages()
            .returning(move |_, options| match batches.next() {
                Some(Ok(count)) => {
                    let count = count.min(options.max_messages);
                    let messages = (0..count).map(|_| {
                        offset += 1;
                        KafkaMessage::new("t", 0, offset - 1)
                    });
                    Ok(messages.collect())
                }
                Some(Err(kind)) => Err(NetworkError::new(kind, "test", "failed")),
                None => Ok(Vec::new()),
            });
        client
    }

    #[tokio::test]
    async fn consume_exactly_stops_at_the_count_or_when_nothing_comes() {
        let consumer = ConsumerId::new("c");
        let wait = Duration::from_millis(1);
        let messages = client(vec![Ok(2), Ok(5)])
            .consume_exactly(&consumer, 4, wait)
            .await
            .unwrap();
        assert_eq!(
            messages.iter().map(|message| message.offset).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        let messages = client(vec![Ok(2), Ok(0), Ok(2)])
            .consume_exactly(&consumer, 4, wait)
            .await
            .unwrap();
        assert_eq!(messages.len(), 2);
        let failed = client(vec![Ok(2), Err(ErrorKind::Conflict)])
            .consume_exactly(&consumer, 4, wait)
            .await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn the_stream_goes_on_over_empty_batches_and_ends_with_an_error() {
        let client: Arc<dyn KafkaClient> = Arc::new(client(vec![Ok(1), Ok(0), Ok(2), Err(ErrorKind::Closed), Ok(1)]));
        let mut stream = message_stream(client, ConsumerId::new("c"), ConsumeOptions::new());
        for expected in 0..3 {
            assert_eq!(stream.try_next().await.unwrap().unwrap().offset, expected);
        }
        assert_eq!(stream.try_next().await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(stream.try_next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn ensure_topic_takes_one_that_exists() {
        for (answer, expected) in [
            (ErrorKind::AlreadyExists, None),
            (ErrorKind::Timeout, Some(ErrorKind::Timeout)),
        ] {
            let mut client = MockKafkaClient::new();
            client
                .expect_create_topic()
                .return_once(move |_| Err(NetworkError::new(answer, "test", "failed")));
            let result = client.ensure_topic(NewTopic::new("t", 1)).await;
            assert_eq!(result.err().map(|error| error.kind()), expected);
        }
    }
}
