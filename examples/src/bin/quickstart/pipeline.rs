//! The pipeline: HTTP listener, bridge and Kafka.

use std::sync::Arc;

use networking_impls::bridge::{HmacSha256, HttpListenerSource, InProcessBridge, KafkaSink};
use networking_impls::kafka::memory::MemoryKafka;
use networking_spi::ErrorKind;
use networking_spi::bridge::{BridgeConfig, BridgeId, RouteRule, RoutingConfig};
use networking_spi::kafka::NewTopic;
use networking_spi::prelude::*;

use crate::Arguments;

/// The secret that signs deliveries. A real one comes from the environment.
pub(crate) const SECRET: &str = "shared by the sender and the listener";

/// The header with the id of a delivery. The bridge forwards headers, so records have it too.
pub(crate) const DELIVERY_ID: &str = "x-github-delivery";

/// Topics and their conditions. A delivery goes to the first topic whose condition is true.
const ROUTES: &[(&str, &str)] = &[
    (
        "code",
        "headers['x-github-event'] in ['push', 'create', 'delete', 'fork', 'commit_comment']",
    ),
    (
        "issues",
        "headers['x-github-event'].startsWith('issue') || headers['x-github-event'] in ['label', 'milestone']",
    ),
    ("pull-requests", "headers['x-github-event'].startsWith('pull_request')"),
    (
        "checks",
        "headers['x-github-event'].startsWith('check_') || headers['x-github-event'].startsWith('workflow_')",
    ),
    (
        "releases",
        "headers['x-github-event'] in ['release', 'package', 'registry_package', 'deployment', 'deployment_status']",
    ),
    // Conditions can read the payload, too.
    ("bots", "has(payload.sender) && payload.sender.type == 'Bot'"),
];

const DEFAULT_TOPIC: &str = "other";
const DEAD_LETTERS: &str = "dead-letters";
const PARTITIONS: i32 = 3;

/// A running bridge between a listener and Kafka.
pub(crate) struct Pipeline {
    kafka: Arc<dyn KafkaClient>,
    bridge: InProcessBridge,
    id: BridgeId,
    listener: Arc<HttpListenerSource>,
    url: String,
    /// The prefix of topic names: each run on a shared cluster has separate topics.
    prefix: String,
    /// Whether the topics remain after this process unless they are deleted.
    shared_cluster: bool,
}

/// The counters of the listener.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) injected_failures: u64,
}

impl Pipeline {
    /// Starts the pipeline. When this returns, the listener accepts requests.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, NetworkError> {
        let kafka: Arc<dyn KafkaClient> = match &arguments.kafka {
            Some(bootstrap) => connect(bootstrap)?,
            None => Arc::new(MemoryKafka::new()),
        };
        let prefix = match arguments.kafka {
            Some(_) => format!("quickstart-{:08x}.", fastrand::u32(..)),
            None => "github.".to_owned(),
        };
        for name in topic_names() {
            kafka
                .ensure_topic(NewTopic::new(format!("{prefix}{name}"), PARTITIONS))
                .await?;
        }

        let listener = Arc::new(
            HttpListenerSource::builder(([127, 0, 0, 1], 0))
                .path("/webhooks")
                .id_header(DELIVERY_ID)
                .signature(HmacSha256::github(SECRET))
                .fault_injection(arguments.fail_rate, arguments.seed)
                .build()?,
        );
        let mut routing = RoutingConfig::new().with_default_target(format!("{prefix}{DEFAULT_TOPIC}"));
        for (name, condition) in ROUTES {
            routing = routing.with_rule(RouteRule::to(*name, *condition, format!("{prefix}{name}")));
        }
        let config = BridgeConfig::new()
            .with_routing(routing)
            .with_dead_letter_target(format!("{prefix}{DEAD_LETTERS}"));
        let bridge = InProcessBridge::new();
        let sink = Arc::new(KafkaSink::new(Arc::clone(&kafka)));
        let id = bridge
            .create_bridge("webhooks", Arc::clone(&listener) as _, sink, config)
            .await?;
        let address = listener
            .local_addr()
            .ok_or_else(|| NetworkError::new(ErrorKind::Internal, "quickstart", "a started listener has no address"))?;
        Ok(Self {
            url: format!("http://{address}/"),
            shared_cluster: arguments.kafka.is_some(),
            kafka,
            bridge,
            id,
            listener,
            prefix,
        })
    }

    /// The base URL for deliveries.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn kafka(&self) -> &dyn KafkaClient {
        &*self.kafka
    }

    /// Drains the bridge. When this returns, all acknowledged deliveries are in Kafka.
    pub(crate) async fn drain(&self) -> Result<Flow, NetworkError> {
        self.bridge.destroy_bridge(&self.id).await?;
        Ok(Flow {
            injected_failures: self.listener.counters().injected_faults,
        })
    }

    /// Deletes the topics of a shared cluster.
    pub(crate) async fn clean_up(&self) -> Result<(), NetworkError> {
        if self.shared_cluster {
            for topic in self.topics() {
                self.kafka.delete_topic(&topic).await?;
            }
        }
        Ok(())
    }

    /// The name of a topic or group in this run.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn short_name<'n>(&self, topic: &'n str) -> &'n str {
        topic.strip_prefix(self.prefix.as_str()).unwrap_or(topic)
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        topic_names().map(|name| self.topic(name)).collect()
    }

    pub(crate) fn dead_letter_topic(&self) -> String {
        self.topic(DEAD_LETTERS)
    }
}

fn topic_names() -> impl Iterator<Item = &'static str> {
    ROUTES
        .iter()
        .map(|(name, _)| *name)
        .chain([DEFAULT_TOPIC, DEAD_LETTERS])
}

#[cfg(feature = "kafka")]
fn connect(bootstrap: &str) -> Result<Arc<dyn KafkaClient>, NetworkError> {
    Ok(Arc::new(
        networking_impls::kafka::rdkafka::RdKafkaClient::builder(bootstrap).build()?,
    ))
}

#[cfg(not(feature = "kafka"))]
fn connect(_bootstrap: &str) -> Result<Arc<dyn KafkaClient>, NetworkError> {
    Err(NetworkError::unsupported("quickstart", "a real cluster").with_context("feature", "kafka"))
}
