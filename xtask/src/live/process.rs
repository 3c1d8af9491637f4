//! Servers as child processes: ready when they listen, gone when the value is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;

/// A running server. Dropping it stops the process, by its own pid.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
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
        let output = File::create(log).map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let mut server = Self {
            name,
            child,
            log: log.to_owned(),
        };
        server.wait_until_listening(port, limit)?;
        Ok(server)
    }

    fn wait_until_listening(&mut self, port: u16, limit: Duration) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let step = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        while waited < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "{} ended ({status}); its last words:\n{}",
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

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill() {
            eprintln!("{} (pid {}) cannot be stopped: {error}", self.name, self.child.id());
        }
        let _ = self.child.wait();
    }
}

/// Ports that are free now.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held at once, so that they differ.
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
