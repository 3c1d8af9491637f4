//! All servers of the live HTTP tier.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, iter};

use serde_json::{Value, json};

use super::certificates::{self, Certificates};
use super::install::{Installed, program, services};
use crate::Result;
use crate::live::process::{Server, free_ports};

/// The credentials of the proxies with authentication. They are not secret: the servers run only during the tests.
const USER: &str = "ada";
const PASSWORD: &str = "l0velace";

/// The file with the results of the runs with many requests, one JSON object per line.
pub(super) const LOAD_ROWS: &str = "load.jsonl";

const START_LIMIT: Duration = Duration::from_secs(30);

/// Running servers. Dropping them stops them.
#[derive(Debug)]
pub(super) struct Servers {
    running: Vec<Server>,
    addresses: Value,
}

impl Servers {
    /// Starts all servers, and waits until each listens.
    pub(super) fn start(directory: &Path, installed: &Installed) -> Result<Self> {
        let run = directory.join("run");
        if run.exists() {
            fs::remove_dir_all(&run).map_err(|error| format!("{} cannot be removed: {error}", run.display()))?;
        }
        fs::create_dir_all(&run).map_err(|error| format!("{} cannot be created: {error}", run.display()))?;
        let [
            httpbin,
            nginx,
            nghttpd,
            nghttpd_clear,
            load,
            load_limited,
            load_limited_clear,
            load_nghttpd,
            proxy,
            proxy_auth,
            socks,
            socks_auth,
            oauth2,
            oidc,
            websocket,
            websocket_tls,
            closed,
        ] = free_ports()?;
        let certificates = certificates::make(&run)?;
        let mut starting = Starting {
            run: &run,
            running: Vec::new(),
        };

        starting.spawn("httpbin", httpbin, gunicorn(installed, httpbin))?;
        starting.spawn("nginx", nginx, self::nginx(&run, nginx, httpbin, &certificates)?)?;
        let load_configuration =
            self::load_configuration(&run, [load, load_limited, load_limited_clear], &certificates)?;
        let nginx_load = nginx_with(&run, &load_configuration)?;
        let reload = words(nginx_with(&run, &load_configuration)?.args(["-s", "reload"]));
        starting.spawn("nginx-load", load, nginx_load)?.supervises();
        let mut nghttpd_load = self::nghttpd(&run, load_nghttpd, Some(&certificates))?;
        // The output then has every field of every request.
        nghttpd_load.arg("--verbose");
        starting.spawn("nghttpd-load", load_nghttpd, nghttpd_load)?;
        starting.spawn("nghttpd", nghttpd, self::nghttpd(&run, nghttpd, Some(&certificates))?)?;
        starting.spawn(
            "nghttpd-clear",
            nghttpd_clear,
            self::nghttpd(&run, nghttpd_clear, None)?,
        )?;
        let tunnels = Tunnels {
            nginx,
            nghttpd,
            websocket,
        };
        starting.spawn("tinyproxy", proxy, tinyproxy(&run, "open", proxy, &tunnels)?)?;
        starting.spawn(
            "tinyproxy-auth",
            proxy_auth,
            tinyproxy(&run, "guarded", proxy_auth, &tunnels)?,
        )?;
        starting.spawn("microsocks", socks, microsocks(socks, false)?)?;
        starting.spawn("microsocks-auth", socks_auth, microsocks(socks_auth, true)?)?;
        starting.spawn("oauth2-mock-server", oauth2, script(installed, "oauth2.mjs", oauth2)?)?;
        starting.spawn("oidc-provider", oidc, script(installed, "oidc.mjs", oidc)?)?;
        starting.spawn("ws", websocket, script(installed, "websocket.mjs", websocket)?)?;
        let mut secure = script(installed, "websocket.mjs", websocket_tls)?;
        secure.arg(&certificates.key).arg(&certificates.certificate);
        starting.spawn("ws-tls", websocket_tls, secure)?;

        let addresses = json!({
            "httpbin": format!("http://127.0.0.1:{httpbin}"),
            "nginx": format!("https://localhost:{nginx}"),
            "nghttpd": format!("https://localhost:{nghttpd}"),
            "nghttpd_clear": format!("http://127.0.0.1:{nghttpd_clear}"),
            "load": format!("https://localhost:{load}"),
            "load_log": run.join("processed.log"),
            "load_reload": reload,
            "load_limited": format!("https://localhost:{load_limited}"),
            "load_limited_clear": format!("http://127.0.0.1:{load_limited_clear}"),
            "load_nghttpd": format!("https://localhost:{load_nghttpd}"),
            "load_nghttpd_log": run.join("nghttpd-load.log"),
            "load_rows": directory.join(LOAD_ROWS),
            "proxy": format!("http://127.0.0.1:{proxy}"),
            "proxy_auth": format!("http://127.0.0.1:{proxy_auth}"),
            "socks": format!("socks5://127.0.0.1:{socks}"),
            "socks_auth": format!("socks5://127.0.0.1:{socks_auth}"),
            "oauth2": format!("http://127.0.0.1:{oauth2}"),
            "oidc": format!("http://127.0.0.1:{oidc}"),
            "websocket": format!("ws://127.0.0.1:{websocket}"),
            "websocket_tls": format!("wss://localhost:{websocket_tls}"),
            // Nothing listens on this port.
            "closed": format!("http://127.0.0.1:{closed}"),
            "user": USER,
            "password": PASSWORD,
            "authority": certificates.authority,
        });
        starting.wait(addresses)
    }

    /// The addresses, in the format that the tests read.
    pub(super) const fn addresses(&self) -> &Value {
        &self.addresses
    }

    /// Fails if a server has exited.
    pub(super) fn check_alive(&self) -> Result<()> {
        self.running.iter().try_for_each(Server::check_alive)
    }
}

/// Servers that were started, but may not listen yet. All are started before the first is waited for, so that they
/// start in parallel.
struct Starting<'r> {
    run: &'r Path,
    running: Vec<(Server, u16)>,
}

impl Starting<'_> {
    fn spawn(&mut self, name: &'static str, port: u16, mut command: Command) -> Result<&Server> {
        let log = self.run.join(format!("{name}.log"));
        let server = Server::spawn(name, command.current_dir(self.run), &log)?;
        self.running.push((server, port));
        Ok(&self.running[self.running.len() - 1].0)
    }

    fn wait(self, addresses: Value) -> Result<Servers> {
        for (server, port) in &self.running {
            server.wait_until_listening(*port, START_LIMIT)?;
        }
        Ok(Servers {
            running: self.running.into_iter().map(|(server, _)| server).collect(),
            addresses,
        })
    }
}

/// The ports to which the proxies allow CONNECT.
struct Tunnels {
    nginx: u16,
    nghttpd: u16,
    websocket: u16,
}

fn gunicorn(installed: &Installed, port: u16) -> Command {
    let mut command = Command::new(installed.python.join("bin/gunicorn"));
    command
        .args(["--worker-class", "gthread", "--threads", "64", "--keep-alive", "5"])
        .arg(format!("--bind=127.0.0.1:{port}"))
        .arg("httpbin:app");
    command
}

fn nginx(run: &Path, port: u16, httpbin: u16, certificates: &Certificates) -> Result<Command> {
    let configuration = fill(
        "nginx.conf",
        run.join("nginx.conf"),
        &[
            ("run", &run.display().to_string()),
            ("nginx_port", &port.to_string()),
            ("httpbin_port", &httpbin.to_string()),
            ("certificate", &certificates.certificate.display().to_string()),
            ("key", &certificates.key.display().to_string()),
        ],
    )?;
    nginx_with(run, &configuration)
}

/// The configuration of nginx for the runs with many requests. `ports`: of the server that responds, and of the one that refuses
/// large bodies, with and without TLS.
fn load_configuration(run: &Path, ports: [u16; 3], certificates: &Certificates) -> Result<PathBuf> {
    let [load, limited, limited_clear] = ports.map(|port| port.to_string());
    fill(
        "load.conf",
        run.join("load.conf"),
        &[
            ("run", &run.display().to_string()),
            ("load_port", &load),
            ("limited_port", &limited),
            ("limited_clear_port", &limited_clear),
            ("certificate", &certificates.certificate.display().to_string()),
            ("key", &certificates.key.display().to_string()),
        ],
    )
}

fn nginx_with(run: &Path, configuration: &Path) -> Result<Command> {
    let mut command = program("nginx")?;
    command
        .args(["-e", "stderr", "-p"])
        .arg(run)
        .arg("-c")
        .arg(configuration);
    Ok(command)
}

/// The program and the arguments of a command.
fn words(command: &Command) -> Vec<String> {
    iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// An HTTP/2 server that echoes uploads, and serves a file of 8 MiB and a small one.
fn nghttpd(run: &Path, port: u16, certificates: Option<&Certificates>) -> Result<Command> {
    let documents = run.join("documents");
    fs::create_dir_all(&documents).map_err(|error| format!("{} cannot be created: {error}", documents.display()))?;
    let content: Vec<u8> = (0..8 << 20).map(|index: u32| (index % 251) as u8).collect();
    let file = documents.join("large.bin");
    fs::write(&file, content).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    fs::write(documents.join("small.txt"), "small").map_err(|error| error.to_string())?;

    let mut command = program("nghttpd")?;
    command
        .args(["--address=127.0.0.1", "--echo-upload", "--htdocs"])
        .arg(&documents);
    match certificates {
        Some(made) => command.arg(port.to_string()).arg(&made.key).arg(&made.certificate),
        None => command.arg("--no-tls").arg(port.to_string()),
    };
    Ok(command)
}

fn tinyproxy(run: &Path, name: &str, port: u16, tunnels: &Tunnels) -> Result<Command> {
    let user = if name == "guarded" {
        format!("BasicAuth {USER} {PASSWORD}")
    } else {
        String::new()
    };
    let configuration = fill(
        "tinyproxy.conf",
        run.join(format!("tinyproxy-{name}.conf")),
        &[
            ("port", &port.to_string()),
            ("name", name),
            ("nginx_port", &tunnels.nginx.to_string()),
            ("nghttpd_port", &tunnels.nghttpd.to_string()),
            ("websocket_port", &tunnels.websocket.to_string()),
            ("user", &user),
        ],
    )?;
    let mut command = program("tinyproxy")?;
    command.arg("-d").arg("-c").arg(configuration);
    Ok(command)
}

fn microsocks(port: u16, guarded: bool) -> Result<Command> {
    let mut command = program("microsocks")?;
    command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    if guarded {
        command.args(["-u", USER, "-P", PASSWORD]);
    }
    Ok(command)
}

fn script(installed: &Installed, name: &str, port: u16) -> Result<Command> {
    let mut command = program("node")?;
    command.arg(installed.node.join(name)).arg(port.to_string());
    Ok(command)
}

/// Writes a configuration file from a template, with its fields filled in. Returns its path.
fn fill(template: &str, to: PathBuf, fields: &[(&str, &str)]) -> Result<PathBuf> {
    let template = services().join(template);
    let mut text =
        fs::read_to_string(&template).map_err(|error| format!("{} cannot be read: {error}", template.display()))?;
    for (name, value) in fields {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    fs::write(&to, text).map_err(|error| format!("{} cannot be written: {error}", to.display()))?;
    Ok(to)
}
