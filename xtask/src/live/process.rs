//! Servers as child processes. They are stopped when the value is dropped or the command is interrupted.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Result;

/// All running processes, for the handler of interrupts, which exits without dropping values.
static RUNNING: Mutex<Vec<Arc<Mutex<Process>>>> = Mutex::new(Vec::new());

/// How long a server that must stop its worker processes may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A child process.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Whether it has worker processes, which it stops before it ends.
    supervises: bool,
}

/// Makes Ctrl-C and termination stop the servers before the command ends.
pub(crate) fn stop_on_interrupt() -> Result<()> {
    ctrlc::set_handler(|| {
        // The lock is held until the exit, so that no other server starts.
        let running = lock(&RUNNING);
        for process in running.iter() {
            stop(&mut lock(process), "a server");
        }
        std::process::exit(130);
    })
    .map_err(|error| format!("interrupts cannot be handled: {error}"))
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    process: Arc<Mutex<Process>>,
    log: PathBuf,
}

impl Server {
    /// Starts a server and waits until it listens on `port`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        port: u16,
        limit: Duration,
    ) -> Result<Self> {
        let server = Self::spawn(name, command, log)?;
        server.wait_until_listening(port, limit)?;
        Ok(server)
    }

    /// Starts a server without waiting until it listens.
    pub(crate) fn spawn(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut running = lock(&RUNNING);
        let child = command
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let process = Arc::new(Mutex::new(Process {
            child,
            supervises: false,
        }));
        running.push(Arc::clone(&process));
        Ok(Self {
            name,
            process,
            log: log.to_owned(),
        })
    }

    /// Lets the server stop its own processes before it ends.
    pub(crate) fn supervises(&self) {
        lock(&self.process).supervises = true;
    }

    /// Waits until the server listens on `port`.
    pub(crate) fn wait_until_listening(&self, port: u16, limit: Duration) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let step = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        while waited < limit {
            let ended = lock(&self.process).child.try_wait();
            if let Ok(Some(status)) = ended {
                return Err(format!(
                    "{} exited ({status}); its last lines of output:\n{}",
                    self.name,
                    self.last_words()
                ));
            }
            if TcpStream::connect_timeout(&address, step).is_ok() {
                return Ok(());
            }
            pause(step);
            waited += step;
        }
        Err(format!(
            "{} does not listen on {address} after {limit:?}:\n{}",
            self.name,
            self.last_words()
        ))
    }

    /// Fails if the server has exited.
    pub(crate) fn check_alive(&self) -> Result<()> {
        match lock(&self.process).child.try_wait() {
            Ok(Some(status)) => Err(format!(
                "{} exited ({status}); its last lines of output:\n{}",
                self.name,
                self.last_words()
            )),
            _ => Ok(()),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut lock(&self.process), self.name);
        lock(&RUNNING).retain(|process| !Arc::ptr_eq(process, &self.process));
    }
}

fn stop(process: &mut Process, name: &str) {
    let child = &mut process.child;
    if process.supervises && terminate(child) {
        return;
    }
    if let Err(error) = child.kill() {
        eprintln!("{name} (pid {}) cannot be stopped: {error}", child.id());
    }
    let _ = child.wait();
}

/// Asks a process to end, and waits for its end. Returns `false` if it still runs.
fn terminate(child: &mut Child) -> bool {
    // The standard library can only kill.
    let asked = Command::new("sh")
        .args(["-c", "kill -TERM \"$0\"", &child.id().to_string()])
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        return false;
    }
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while waited < STOP_LIMIT {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return true;
        }
        pause(step);
        waited += step;
    }
    false
}

/// Ignores poisoning, because servers must be stopped even after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns ports that are free now.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All listeners stay open until the end, so that the ports differ.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"))?;
        *port = listener.local_addr().map_err(|error| error.to_string())?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

#[allow(clippy::disallowed_methods, reason = "a command line tool that waits for a process")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
