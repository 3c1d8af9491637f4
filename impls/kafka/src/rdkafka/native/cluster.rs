//! The cluster and its brokers.

use std::borrow::Cow;
use std::time::Duration;

use networking_spi::kafka::{BrokerInfo, ClusterDescription};
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};

use c::rd_kafka_admin_op_t as Operation;

use super::object::{elements, text};
use super::refusal::Result;
use super::request::{request, result};

/// The id, the controller and the brokers of the cluster.
pub(in crate::rdkafka) fn describe_cluster<C: ClientContext>(
    client: &Client<C>,
    limit: Duration,
) -> Result<ClusterDescription> {
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call.
        unsafe { c::rd_kafka_DescribeCluster(to.client, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_DescribeCluster_result)?;
        let id = text(c::rd_kafka_DescribeCluster_result_cluster_id(result)).map(Cow::into_owned);
        let controller = broker(c::rd_kafka_DescribeCluster_result_controller(result));
        let nodes = c::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let brokers = elements(nodes, count).iter().filter_map(|node| broker(*node));
        Ok(ClusterDescription::new(
            id,
            controller.map(|broker| broker.id),
            brokers.collect(),
        ))
    }
}

/// # Safety
/// `node` must be null or point to a node.
pub(super) unsafe fn broker(node: *const c::rd_kafka_Node_t) -> Option<BrokerInfo> {
    if node.is_null() {
        return None;
    }
    // SAFETY: of the caller. The strings live as long as the node.
    unsafe {
        let host = text(c::rd_kafka_Node_host(node)).unwrap_or_default();
        let rack = text(c::rd_kafka_Node_rack(node)).map(Cow::into_owned);
        let id = c::rd_kafka_Node_id(node);
        let broker = BrokerInfo::new(id, host, c::rd_kafka_Node_port(node)).with_rack(rack);
        (id >= 0).then_some(broker)
    }
}
