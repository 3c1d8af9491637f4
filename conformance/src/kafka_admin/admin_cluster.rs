//! What an administrator declares, and the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{ConfigChange, ConfigResource, OffsetTarget, TopicPartition};

use super::KafkaAdminHarness;
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn describes(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().cluster, "cluster")
}

pub(super) async fn all_instances_declare_the_same_capabilities(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    for _ in 0..2 {
        check_eq!(
            harness.admin().await?.admin_capabilities(),
            *harness.admin_capabilities(),
            "capabilities of an instance, compared with those that the harness states"
        );
    }
    Ok(())
}

pub(super) async fn undeclared_operations_are_unsupported(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let admin = harness.admin().await?;
    let declared = harness.admin_capabilities();
    let topic = harness.topic(1).await?;
    let resource = ConfigResource::topic(topic.as_str());
    let partition = TopicPartition::new(topic.as_str(), 0);
    let kind = ErrorKind::Unsupported;
    if !declared.topics {
        check_error!(admin.list_topics().await, kind, "listing topics");
        check_error!(admin.describe_topics().await, kind, "describing topics");
    }
    if !declared.partitions {
        check_error!(admin.create_partitions(&topic, 2).await, kind, "adding partitions");
    }
    if !declared.configs {
        check_error!(admin.describe_config(resource.clone()).await, kind, "reading settings");
        let changes = vec![ConfigChange::set("retention.ms", "1000000")];
        check_error!(admin.alter_config(resource, changes).await, kind, "changing settings");
    }
    if !declared.delete_records {
        check_error!(
            admin.delete_records(partition.clone(), 0).await,
            kind,
            "deleting records"
        );
    }
    if !declared.groups {
        check_error!(admin.list_groups().await, kind, "listing groups");
        check_error!(admin.describe_group("group").await, kind, "describing a group");
        check_error!(admin.delete_group("group").await, kind, "deleting a group");
    }
    if !declared.group_offsets {
        let reset = admin.reset_group_offsets("group", vec![partition], OffsetTarget::Earliest);
        check_error!(reset.await, kind, "resetting offsets");
    }
    if !declared.cluster {
        check_error!(admin.describe_cluster().await, kind, "describing the cluster");
    }
    Ok(())
}

pub(super) async fn the_cluster_has_its_brokers(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = harness.topic(3).await?;
    let cluster = harness.admin().await?.describe_cluster().await?;
    let again = harness.admin().await?.describe_cluster().await?;
    check_eq!(
        again.cluster_id,
        cluster.cluster_id,
        "the id of the cluster, asked again"
    );
    check!(
        cluster.cluster_id.is_some_and(|id| !id.is_empty()),
        "the cluster has no id"
    );
    let ids: BTreeSet<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
    let listed: Vec<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
    check!(!ids.is_empty(), "the cluster has no brokers");
    check_eq!(
        listed,
        ids.iter().copied().collect::<Vec<_>>(),
        "brokers, in order and once each"
    );
    check!(
        cluster
            .brokers
            .iter()
            .all(|broker| !broker.host.is_empty() && broker.port > 0),
        "a broker without an address: {:?}",
        cluster.brokers
    );
    check!(
        cluster.controller.is_none_or(|controller| ids.contains(&controller)),
        "the controller {:?} is not among the brokers {ids:?}",
        cluster.controller
    );
    if harness.capabilities().leaders {
        let metadata = harness.client().await?.topic_metadata(&topic).await?;
        let leaders = metadata.partitions.iter().filter_map(|partition| partition.leader);
        check!(
            leaders.clone().all(|leader| ids.contains(&leader)),
            "leaders {:?} that are none of the brokers {ids:?}",
            leaders.collect::<Vec<_>>()
        );
    }
    Ok(())
}
