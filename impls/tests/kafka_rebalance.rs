//! Members of a group that join, leave and are killed while records are written: each record must be delivered.
//!
//! It needs a real cluster, because it is about the group protocol of the broker. `cargo xtask live kafka` runs it. Each member
//! is a child process, so that it can be killed: this binary again, with the test `member`.
//!
//! Environment: `KAFKA_BOOTSTRAP`, the brokers; `REBALANCE_CHANGES`, how often a member joins or leaves for each strategy
//! (default 16, a third of the departures are kills); `REBALANCE_RECORDS`, the number of records (default 30 000).

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use networking_impls::bridge::KafkaSource;
use networking_impls::kafka::rdkafka::RdKafkaClient;
use networking_spi::bridge::{BridgeReceipt, BridgeSource, Disposition};
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{ConsumerConfig, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerRecord};

const PARTITIONS: i32 = 6;
const MEMBERS: usize = 4;

/// How long no member may deliver anything before the records that are missing count as lost. Longer than a session.
const QUIET: Duration = Duration::from_secs(40);

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// A member, in a child process. It prints the value of each record, and then acknowledges it.
#[test]
#[ignore = "it is started by the test `live_each_strategy_loses_no_record`"]
fn member() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("it starts").block_on(async {
        let strategy = variable("REBALANCE_STRATEGY");
        let mut config = ConsumerConfig::new(variable("REBALANCE_GROUP"), [variable("REBALANCE_TOPIC")])
            .with_offset_reset(OffsetReset::Earliest);
        config = if strategy == "consumer" {
            config.with_backend_setting("group.protocol", "consumer")
        } else {
            config
                .with_session_timeout(Duration::from_secs(6))
                .with_backend_setting("heartbeat.interval.ms", "500")
                .with_backend_setting("partition.assignment.strategy", &strategy)
        };
        let client = RdKafkaClient::builder(variable("KAFKA_BOOTSTRAP"))
            .build()
            .expect("valid");
        let source = Arc::new(KafkaSource::new(Arc::new(client), config).expect("valid"));
        source.start().await.expect("started");
        let stopping = Arc::clone(&source);
        let runtime = tokio::runtime::Handle::current();
        thread::spawn(move || {
            // The end of standard input asks the member to leave.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            runtime.block_on(stopping.stop()).expect("stopped");
        });
        loop {
            match source.receive().await {
                Ok(Some(delivery)) => {
                    let value = String::from_utf8_lossy(&delivery.message().expect("not taken").payload).into_owned();
                    let mut output = std::io::stdout().lock();
                    writeln!(output, "record {value}").expect("the parent reads");
                    output.flush().expect("the parent reads");
                    drop(output);
                    delivery.acknowledge(BridgeReceipt::new("id", Disposition::Delivered, "out"));
                }
                Ok(None) => break,
                Err(error) if error.retryability().is_retryable() => eprintln!("{error}"),
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}

struct Member(Child);

impl Member {
    fn start(strategy: &str, topic: &str, delivered: mpsc::Sender<usize>) -> Self {
        let mut child = Command::new(env::current_exe().expect("known"))
            .args(["--exact", "member", "--ignored", "--nocapture", "--test-threads=1"])
            .env("REBALANCE_STRATEGY", strategy)
            .env("REBALANCE_GROUP", format!("{topic}-group"))
            .env("REBALANCE_TOPIC", topic)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // A killed member may have printed a part of a line, and the test harness prints others.
                let value = line.split("record ").nth(1).and_then(|value| value.trim().parse().ok());
                if value.is_some_and(|value| delivered.send(value).is_err()) {
                    break;
                }
            }
        });
        Self(child)
    }

    fn leave(mut self) {
        drop(self.0.stdin.take());
        // Not awaited here, so that the departure overlaps with what comes next.
        thread::spawn(move || drop(self.0.wait()));
    }

    fn kill(mut self) {
        self.0.kill().expect("running");
        drop(self.0.wait());
    }
}

async fn write(bootstrap: &str, topic: &str, records: usize, pause: Duration) {
    let client = RdKafkaClient::builder(bootstrap).build().expect("valid");
    let producer = client.create_producer(ProducerConfig::new()).await.expect("created");
    for first in (0..records).step_by(100) {
        let batch = (first..(first + 100).min(records)).map(|number| {
            let partition = i32::try_from(number).expect("small") % PARTITIONS;
            ProducerRecord::new(topic)
                .with_partition(partition)
                .with_value(number.to_string())
        });
        let written = client.produce_messages(&producer, batch.collect()).await.expect("open");
        for result in written {
            result.expect("written");
        }
        tokio::time::sleep(pause).await;
    }
    client.close_producer(&producer).await.expect("written");
}

/// Returns the numbers of lost and of doubled records.
fn run(bootstrap: &str, strategy: &str, changes: usize, records: usize) -> (usize, usize) {
    let since = SystemClock::new().now().duration_since(UNIX_EPOCH).expect("after 1970");
    let topic = format!("rebalance-{strategy}-{}", since.as_millis());
    let runtime = tokio::runtime::Runtime::new().expect("it starts");
    let client = RdKafkaClient::builder(bootstrap).build().expect("valid");
    let new = NewTopic::new(topic.as_str(), PARTITIONS);
    runtime.block_on(client.create_topic(new)).expect("created");

    let (sender, delivered) = mpsc::channel();
    let counts = Arc::new(Mutex::new(HashMap::<usize, usize>::new()));
    let counting = Arc::clone(&counts);
    let counter = thread::spawn(move || {
        loop {
            match delivered.recv_timeout(QUIET) {
                Ok(value) => {
                    let mut counts = counting.lock().expect("no panic");
                    *counts.entry(value).or_default() += 1;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            let done = counting.lock().expect("no panic").len() == records;
            if done {
                return;
            }
        }
    });
    let pace = Duration::from_secs(2);
    let pause = (pace * u32::try_from(changes).expect("small")) / u32::try_from(records / 100 + 1).expect("small");
    let (server, name) = (bootstrap.to_owned(), topic.clone());
    let writing = runtime.spawn(async move { write(&server, &name, records, pause).await });

    let mut members = vec![Member::start(strategy, &topic, sender.clone())];
    let (mut joins, mut leaves, mut kills) = (1, 0, 0);
    for change in 0..changes {
        let pause = pace.mul_f64(0.5 + fastrand::f64());
        runtime.block_on(async { tokio::time::sleep(pause).await });
        if members.len() < 2 || (members.len() < MEMBERS && fastrand::bool()) {
            members.push(Member::start(strategy, &topic, sender.clone()));
            joins += 1;
        } else {
            let member = members.swap_remove(fastrand::usize(0..members.len()));
            if change % 3 == 0 {
                kills += 1;
                member.kill();
            } else {
                leaves += 1;
                member.leave();
            }
        }
    }
    members.push(Member::start(strategy, &topic, sender));
    runtime.block_on(writing).expect("written");
    counter.join().expect("counted");
    for member in members {
        member.leave();
    }

    let counts = counts.lock().expect("no panic");
    let lost: Vec<usize> = (0..records).filter(|value| !counts.contains_key(value)).collect();
    let doubled = counts.values().filter(|count| **count > 1).count();
    eprintln!(
        "{strategy}: {records} records, {joins} joins, {leaves} departures, {kills} kills: {} lost {:?}, {doubled} delivered more than once",
        lost.len(),
        &lost[..lost.len().min(20)],
    );
    if let Err(error) = runtime.block_on(client.delete_topic(&topic)) {
        eprintln!("{topic} remains: {error}");
    }
    (lost.len(), doubled)
}

#[test]
#[ignore = "it needs a Kafka cluster in KAFKA_BOOTSTRAP; `cargo xtask live kafka` runs it"]
fn live_each_strategy_loses_no_record() {
    let bootstrap = variable("KAFKA_BOOTSTRAP");
    let changes = number("REBALANCE_CHANGES", 16);
    let records = number("REBALANCE_RECORDS", 30_000);
    let strategies =
        env::var("REBALANCE_STRATEGIES").unwrap_or_else(|_| "range,cooperative-sticky,consumer".to_owned());
    let mut lost = 0;
    for strategy in strategies.split(',') {
        lost += run(&bootstrap, strategy, changes, records).0;
    }
    assert_eq!(lost, 0, "records were lost");
}
