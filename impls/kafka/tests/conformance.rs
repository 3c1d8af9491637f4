//! Runs the Kafka suite against `MemoryKafka`, against `MemoryKafka` behind pointers, against one without capabilities, through the toolkit, and over librdkafka against its mock
//! cluster. If the environment variable `KAFKA_BOOTSTRAP` names brokers, it runs only over librdkafka against their cluster.

mod memory_harness;
mod mock_cluster;
mod rdkafka_harness;

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::kafka::{KafkaHarness, suite};
use networking_conformance::runner::Runner;
use networking_conformance::{kafka_admin, kafka_extended, kafka_reading, kafka_transactions};
use networking_spi::kafka::KafkaCapabilities;

use self::memory_harness::MemoryHarness;
use self::rdkafka_harness::{Mock, RealCluster};

fn main() -> ExitCode {
    // Cases spend their time waiting for brokers, and each case has its own topics and groups.
    let runner = Runner::new().threads(12);
    match std::env::var("KAFKA_BOOTSTRAP") {
        Ok(bootstrap) => {
            let (extended, new_protocol) = (bootstrap.clone(), bootstrap.clone());
            let (transactions, new_transactions) = (bootstrap.clone(), bootstrap.clone());
            let (admin, new_admin) = (bootstrap.clone(), bootstrap.clone());
            let (reading, new_reading) = (bootstrap.clone(), bootstrap.clone());
            runner
                .add(suite(), move || {
                    Arc::new(RealCluster::new(&bootstrap, false)) as Arc<dyn KafkaHarness>
                })
                .add(suite(), move || {
                    Arc::new(RealCluster::new(&new_protocol, true)) as Arc<dyn KafkaHarness>
                })
                .add(kafka_extended::suite(), move || {
                    Arc::new(RealCluster::new(&extended, false))
                })
                .add(kafka_transactions::suite(), move || {
                    Arc::new(RealCluster::new(&transactions, false))
                })
                .add(kafka_transactions::suite(), move || {
                    Arc::new(RealCluster::new(&new_transactions, true))
                })
                .add(kafka_admin::suite(), move || Arc::new(RealCluster::new(&admin, false)))
                .add(kafka_admin::suite(), move || {
                    Arc::new(RealCluster::new(&new_admin, true))
                })
                .add(kafka_reading::suite(), move || {
                    Arc::new(RealCluster::new(&reading, false))
                })
                .add(kafka_reading::suite(), move || {
                    Arc::new(RealCluster::new(&new_reading, true))
                })
                .run()
        }
        Err(_) => runner
            .add(suite(), || Arc::new(MemoryHarness::new(false)))
            .add(suite(), || Arc::new(MemoryHarness::new(true)))
            .add(suite(), || Arc::new(MemoryHarness::limited(KafkaCapabilities::none())))
            .add(suite(), || Arc::new(MemoryHarness::behind_toolkit()))
            .add(kafka_extended::suite(), || Arc::new(MemoryHarness::new(false)))
            .add(kafka_extended::suite(), || Arc::new(MemoryHarness::new(true)))
            .add(kafka_extended::suite(), || {
                Arc::new(MemoryHarness::limited(KafkaCapabilities::none()))
            })
            .add(kafka_transactions::suite(), || Arc::new(MemoryHarness::new(false)))
            .add(kafka_transactions::suite(), || Arc::new(MemoryHarness::new(true)))
            .add(kafka_transactions::suite(), || {
                Arc::new(MemoryHarness::limited(KafkaCapabilities::none()))
            })
            .add(kafka_admin::suite(), || Arc::new(MemoryHarness::new(false)))
            .add(kafka_admin::suite(), || Arc::new(MemoryHarness::new(true)))
            .add(kafka_admin::suite(), || {
                Arc::new(MemoryHarness::limited(KafkaCapabilities::none()))
            })
            .add(kafka_reading::suite(), || Arc::new(MemoryHarness::new(false)))
            .add(kafka_reading::suite(), || Arc::new(MemoryHarness::new(true)))
            .add(kafka_reading::suite(), || {
                Arc::new(MemoryHarness::limited(KafkaCapabilities::none()))
            })
            .add(suite(), || Arc::new(Mock::start()) as Arc<dyn KafkaHarness>)
            .add(kafka_extended::suite(), || Arc::new(Mock::start()))
            .add(kafka_transactions::suite(), || Arc::new(Mock::start()))
            .add(kafka_reading::suite(), || Arc::new(Mock::start()))
            .run(),
    }
}
