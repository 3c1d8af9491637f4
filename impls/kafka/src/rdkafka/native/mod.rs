//! What rdkafka does not offer, over the C functions of librdkafka: most administrative requests, the reason of a broker for
//! refusing one, header names that are not UTF-8, and bounds of partitions without a request. Only this module calls C functions.

#![allow(unsafe_code, reason = "calls C functions; each block says why it is sound")]

mod cluster;
mod configs;
mod groups;
mod message;
mod object;
mod offsets;
mod refusal;
mod request;
mod topics;

pub(super) use cluster::describe_cluster;
pub(super) use configs::{alter_config, describe_config};
pub(super) use groups::{alter_offsets, committed_offsets, delete_group, describe_group, list_groups};
pub(super) use message::{cached_bounds, headers};
pub(super) use refusal::{Refusal, from_refusal, from_refused_topic, mentions};
pub(super) use topics::{
    TopicIdentity, create_partitions, create_topic, delete_records, identify_topics, internal_topics,
};

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use networking_spi::kafka::{ConfigChange, ConfigResource, PartitionOffset, TopicPartition};
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(1);

    /// Every request to a broker that is not there fails, and frees what it has made.
    #[test]
    fn each_request_fails_without_a_broker() {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:1")
            .create()
            .expect("valid");
        let client = client.client();
        let topic = ConfigResource::topic("t");
        let offset = PartitionOffset::new(TopicPartition::new("t", 0), 1);
        assert!(create_partitions(client, "t", 2, LIMIT).is_err());
        assert!(describe_config(client, &topic, LIMIT).is_err());
        let changes = [
            ConfigChange::set("retention.ms", "1"),
            ConfigChange::delete("segment.ms"),
        ];
        assert!(alter_config(client, &topic, &changes, LIMIT).is_err());
        assert!(delete_records(client, &offset, LIMIT).is_err());
        assert!(list_groups(client, LIMIT).is_err());
        assert!(describe_group(client, "g", LIMIT).is_err());
        assert!(delete_group(client, "g", LIMIT).is_err());
        assert!(alter_offsets(client, "g", &[offset], LIMIT).is_err());
        assert!(describe_cluster(client, LIMIT).is_err());
        assert!(internal_topics(client, &["t"], LIMIT).is_err());
        assert_eq!(
            internal_topics(client, &[], LIMIT).expect("no request"),
            Vec::<String>::new()
        );
        for bad in ["nul\0", ""] {
            assert!(create_partitions(client, bad, 2, LIMIT).is_err(), "{bad:?}");
            assert!(
                alter_config(client, &topic, &[ConfigChange::set(bad, "1")], LIMIT).is_err(),
                "{bad:?}"
            );
        }
    }
}
