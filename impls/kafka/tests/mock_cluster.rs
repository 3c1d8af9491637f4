//! librdkafka's mock cluster on a dedicated thread, because its handle is not `Send`.

use std::sync::mpsc;
use std::thread;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster. It stops when this handle is dropped.
pub(crate) struct MockBrokers {
    jobs: mpsc::Sender<Job>,
    bootstrap_servers: String,
}

impl MockBrokers {
    /// Starts a cluster with this number of brokers.
    pub(crate) fn start(brokers: i32) -> Self {
        let (jobs, next) = mpsc::channel::<Job>();
        let (started, bootstrap_servers) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(brokers).expect("the mock cluster starts");
            started.send(cluster.bootstrap_servers()).expect("the caller waits");
            for job in next {
                job(&cluster);
            }
        });
        let bootstrap_servers = bootstrap_servers.recv().expect("the mock cluster starts");
        Self {
            jobs,
            bootstrap_servers,
        }
    }

    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Runs `job` with the cluster and waits for its result.
    pub(crate) fn with<T: Send + 'static>(&self, job: impl FnOnce(&Cluster) -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move |cluster: &Cluster| drop(done.send(job(cluster))));
        self.jobs.send(job).expect("the thread of the cluster is running");
        result.recv().expect("the job does not panic")
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let name = name.to_owned();
        self.with(move |cluster| cluster.create_topic(&name, partitions, 1))
            .expect("the topic is new");
    }
}
