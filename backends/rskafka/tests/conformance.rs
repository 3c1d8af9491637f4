//! The Kafka suite against a backend outside of the reference implementations. It needs a broker, whose address is in the
//! environment variable `KAFKA_BOOTSTRAP`.

use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use networking_conformance::kafka::{self, KafkaHarness};
use networking_conformance::runner::Runner;
use networking_conformance::{Failure, Harness, KnownFailure};
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{KafkaCapabilities, KafkaClient, NewTopic};
use rskafka_backend::RsKafkaClient;

/// A cluster that other programs may use at the same time.
#[derive(Debug)]
struct RsKafkaHarness {
    bootstrap: String,
}

impl Harness for RsKafkaHarness {
    fn backend(&self) -> &'static str {
        "rskafka"
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![KnownFailure::new(
            "kafka::consume::a_recreated_topic_is_read_from_its_first_record",
            "rskafka does not read the ids of topics, so a topic that is created again between two requests looks the same",
        )]
    }
}

#[async_trait]
impl KafkaHarness for RsKafkaHarness {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        Ok(Arc::new(RsKafkaClient::connect([self.bootstrap.as_str()]).await?))
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        const SUPPORTED: KafkaCapabilities = {
            let mut supported = KafkaCapabilities::none();
            supported.topic_admin = true;
            supported.timestamps = true;
            supported
        };
        &SUPPORTED
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        let name = self.unique("topic");
        let client = self.client().await?;
        client.create_topic(NewTopic::new(name.as_str(), partitions)).await?;
        Ok(name)
    }

    fn unique(&self, what: &str) -> String {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        // The process and the time make the name differ from those of other runs.
        let now = SystemClock::new().now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("rskafka-{what}-{}-{}-{number}", process::id(), now.as_secs())
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn main() -> ExitCode {
    let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") else {
        eprintln!("rskafka (kafka): no case was run, because the suite needs a Kafka broker.");
        eprintln!(
            "Set KAFKA_BOOTSTRAP to its address. `cargo xtask live kafka --hold` starts one, and prints its address."
        );
        return ExitCode::SUCCESS;
    };
    let harness = move || {
        Arc::new(RsKafkaHarness {
            bootstrap: bootstrap.clone(),
        }) as Arc<dyn KafkaHarness>
    };
    // Cases spend their time waiting for the broker, and each case has its own topics.
    Runner::new().threads(8).add(kafka::suite(), harness).run()
}
