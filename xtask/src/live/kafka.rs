//! Apache Kafka from Maven Central: one combined broker and controller on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Server, free_ports};
use crate::{Result, workspace};

/// Starts Kafka, runs the client suites of both workspaces and the quickstart against it, and stops it.
pub(crate) fn run(hold: bool, input: Option<&Path>) -> Result<()> {
    let Broker { server, bootstrap, .. } = Broker::start()?;
    let result = if hold {
        println!("{bootstrap}");
        super::hold()
    } else {
        run_suite(&bootstrap)
            .and_then(|()| run_backend(&bootstrap))
            .and_then(|()| run_ignored(&bootstrap, "networking-kafka", None, "integration"))
            .and_then(|()| {
                run_ignored(
                    &bootstrap,
                    "networking-impls",
                    Some("bridge,kafka-rdkafka"),
                    "kafka_rebalance",
                )
            })
            .and_then(|()| run_quickstart(&bootstrap, input))
    };
    drop(server);
    result
}

/// A broker that runs until it is dropped.
pub(crate) struct Broker {
    server: Server,
    pub(crate) bootstrap: String,
    /// The directory of Kafka's classes.
    pub(crate) libraries: PathBuf,
}

impl Broker {
    /// Starts an empty broker.
    pub(crate) fn start() -> Result<Self> {
        let directory = workspace::target_directory()?.join("live").join("kafka");
        let libraries = fetch(&directory)?;
        let (server, bootstrap) = start(&directory, &libraries)?;
        eprintln!("Apache Kafka listens on {bootstrap}");
        Ok(Self {
            server,
            bootstrap,
            libraries,
        })
    }
}

/// Downloads Kafka's libraries, unless this version is present. Returns their directory.
fn fetch(directory: &Path) -> Result<PathBuf> {
    let services = workspace::root().join("conformance/services/kafka");
    let libraries = directory.join("libs");
    let pom = services.join("pom.xml");
    let fetched = directory.join("pom.xml");
    // The copy of the pom is written after the download, so it identifies the libraries that are present.
    if fs::read(&fetched).ok() == fs::read(&pom).ok() && libraries.is_dir() {
        return Ok(libraries);
    }
    if libraries.exists() {
        fs::remove_dir_all(&libraries)
            .map_err(|error| format!("{} cannot be removed: {error}", libraries.display()))?;
    }
    fs::create_dir_all(directory).map_err(|error| format!("{} cannot be created: {error}", directory.display()))?;
    eprintln!("fetching Apache Kafka");
    let mut maven = Command::new("mvn");
    maven
        .args([
            "-q",
            "-B",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(format!("-DoutputDirectory={}", libraries.display()))
        .arg("-f")
        .arg(&pom)
        .stdout(std::io::stderr());
    workspace::run(&mut maven, "mvn dependency:copy-dependencies")?;
    fs::copy(&pom, &fetched).map_err(|error| format!("{} cannot be written: {error}", fetched.display()))?;
    Ok(libraries)
}

fn start(directory: &Path, libraries: &Path) -> Result<(Server, String)> {
    let services = workspace::root().join("conformance/services/kafka");
    let [broker, controller] = free_ports()?;
    let run = directory.join("run");
    if run.exists() {
        fs::remove_dir_all(&run).map_err(|error| format!("{} cannot be removed: {error}", run.display()))?;
    }
    fs::create_dir_all(&run).map_err(|error| format!("{} cannot be created: {error}", run.display()))?;

    let template = services.join("server.properties");
    let properties = fs::read_to_string(&template)
        .map_err(|error| format!("{} cannot be read: {error}", template.display()))?
        .replace("{broker_port}", &broker.to_string())
        .replace("{controller_port}", &controller.to_string())
        .replace("{data}", &run.join("data").display().to_string());
    let properties_file = run.join("server.properties");
    fs::write(&properties_file, properties).map_err(|error| error.to_string())?;

    let java = |main: &str| {
        let mut command = Command::new("java");
        command
            .args(["-Xms256m", "-Xmx512m", "-XX:+UseG1GC"])
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                services.join("log4j2.properties").display()
            ))
            .arg("-cp")
            .arg(libraries.join("*"))
            .arg(main)
            .current_dir(&run);
        command
    };
    let id = java("kafka.tools.StorageTool")
        .arg("random-uuid")
        .output()
        .map_err(|error| format!("java cannot be run: {error}"))?;
    let id = String::from_utf8_lossy(&id.stdout);
    let id = id
        .lines()
        .last()
        .ok_or("Kafka's storage tool printed no cluster id")?
        .trim()
        .to_owned();
    let mut format = java("kafka.tools.StorageTool");
    format
        .args(["format", "-t", &id, "-c"])
        .arg(&properties_file)
        .stdout(std::io::stderr());
    workspace::run(&mut format, "formatting Kafka's storage")?;

    let server = Server::start(
        "Apache Kafka",
        java("kafka.Kafka").arg(&properties_file),
        &run.join("server.log"),
        broker,
        Duration::from_secs(120),
    )?;
    Ok((server, format!("127.0.0.1:{broker}")))
}

/// Runs the same cases as the deterministic tier.
fn run_suite(bootstrap: &str) -> Result<()> {
    let mut suite = workspace::suite("networking-kafka")?;
    suite.env("KAFKA_BOOTSTRAP", bootstrap);
    workspace::run(&mut suite, "the Kafka suite")?;
    let mut tests = workspace::cargo();
    tests
        .args([
            "test",
            "--quiet",
            "--package",
            "networking-kafka",
            "--test",
            "integration",
            "--",
        ])
        .args(["--ignored", "real_cluster::"])
        .env("KAFKA_BOOTSTRAP", bootstrap);
    workspace::run(&mut tests, "the tests of real clusters")
}

/// Runs the same cases over `rskafka`. Without a broker, this backend runs none.
fn run_backend(bootstrap: &str) -> Result<()> {
    let mut suite = workspace::suite_in("backends/Cargo.toml", "rskafka-backend")?;
    suite.env("KAFKA_BOOTSTRAP", bootstrap);
    workspace::run(&mut suite, "the Kafka suite over rskafka")
}

/// Runs the tests of a binary that need a cluster, all of which are ignored otherwise.
fn run_ignored(bootstrap: &str, package: &str, features: Option<&str>, test: &str) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["test", "--quiet", "--package", package, "--test", test]);
    if let Some(features) = features {
        command.args(["--features", features]);
    }
    // Some of these tests start the others as processes.
    command
        .args(["--", "--ignored", "--nocapture", "--test-threads=1", "live"])
        .env("KAFKA_BOOTSTRAP", bootstrap);
    workspace::run(&mut command, &format!("the live tests of {package}"))
}

/// Runs the quickstart against the real cluster.
fn run_quickstart(bootstrap: &str, input: Option<&Path>) -> Result<()> {
    let mut command = workspace::cargo();
    command
        .args([
            "run",
            "--quiet",
            "--package",
            "networking-examples",
            "--features",
            "kafka",
            "--bin",
            "quickstart",
            "--",
        ])
        .args(["--kafka", bootstrap, "--json"]);
    if let Some(input) = input {
        // A relative path is relative to the caller's directory, but the command runs in the root of the workspace.
        let absolute = std::path::absolute(input).map_err(|error| format!("{}: {error}", input.display()))?;
        command.arg("--input").arg(absolute);
    }
    workspace::run(&mut command, "the quickstart")
}
