//! Installation of the servers: system programs, a Python environment, and Node packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, workspace};

/// System programs, and the Debian packages that contain them.
const PROGRAMS: [(&str, &str); 8] = [
    ("python3", "python3-venv"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("nginx", "nginx-light"),
    ("nghttpd", "nghttp2-server"),
    ("tinyproxy", "tinyproxy"),
    ("microsocks", "microsocks"),
];

/// Directories that may contain servers but are not in every `PATH`.
const FURTHER_PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The directories of the installed packages.
#[derive(Debug)]
pub(super) struct Installed {
    /// The Python environment, with `bin/gunicorn`.
    pub(super) python: PathBuf,
    /// The directory with the scripts and `node_modules`.
    pub(super) node: PathBuf,
}

/// Installs the packages below `directory`. Fails with a list if system programs are missing.
pub(super) fn all(directory: &Path) -> Result<Installed> {
    let missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(program, package)| format!("{program} (Debian: apt-get install {package})"))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "these programs are missing for the live HTTP tier:\n  {}",
            missing.join("\n  ")
        ));
    }
    fs::create_dir_all(directory).map_err(|error| format!("{} cannot be created: {error}", directory.display()))?;
    Ok(Installed {
        python: python(directory)?,
        node: node(directory)?,
    })
}

/// The directory with the configuration of the servers.
pub(super) fn services() -> PathBuf {
    workspace::root().join("conformance/services/http")
}

/// A command that starts a system program.
pub(super) fn program(name: &str) -> Result<Command> {
    find(name).map(Command::new).ok_or_else(|| format!("{name} is missing"))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(FURTHER_PLACES.iter().map(PathBuf::from))
        .map(|place| place.join(program))
        .find(|file| file.is_file())
}

/// Installs httpbin and gunicorn in a Python environment.
fn python(directory: &Path) -> Result<PathBuf> {
    let environment = directory.join("python");
    let requirements = services().join("requirements.txt");
    if is_current(&requirements, &environment) {
        return Ok(environment);
    }
    eprintln!("installing httpbin");
    remove(&environment)?;
    workspace::run(
        program("python3")?.args(["-m", "venv"]).arg(&environment),
        "python3 -m venv (Debian: apt-get install python3-venv)",
    )?;
    workspace::run(
        Command::new(environment.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "-r",
            ])
            .arg(&requirements)
            .stdout(std::io::stderr()),
        "pip install",
    )?;
    note(&requirements, &environment)?;
    Ok(environment)
}

/// Installs the packages that the scripts import, and copies the scripts next to them, where Node finds the packages.
fn node(directory: &Path) -> Result<PathBuf> {
    let services = services();
    let place = directory.join("node");
    let lock = services.join("package-lock.json");
    if !is_current(&lock, &place) {
        eprintln!("installing the Node servers");
        remove(&place)?;
        fs::create_dir_all(&place).map_err(|error| format!("{} cannot be created: {error}", place.display()))?;
        copy(&services.join("package.json"), &place)?;
        copy(&lock, &place)?;
        workspace::run(
            program("npm")?
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
                .current_dir(&place)
                .stdin(Stdio::null())
                .stdout(std::io::stderr()),
            "npm ci",
        )?;
        note(&lock, &place)?;
    }
    for script in ["oauth2.mjs", "oidc.mjs", "websocket.mjs"] {
        copy(&services.join(script), &place)?;
    }
    Ok(place)
}

/// Whether the packages of `list` are installed at `place`. [`note`] puts a copy of the list there after an installation.
fn is_current(list: &Path, place: &Path) -> bool {
    let copy = place.join("installed");
    matches!((fs::read(list), fs::read(copy)), (Ok(wanted), Ok(there)) if wanted == there)
}

/// Notes that the packages of `list` are installed at `place`.
fn note(list: &Path, place: &Path) -> Result<()> {
    let copy = place.join("installed");
    fs::copy(list, &copy)
        .map(|_| ())
        .map_err(|error| format!("{} cannot be written: {error}", copy.display()))
}

fn copy(file: &Path, directory: &Path) -> Result<()> {
    let to = directory.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to)
        .map(|_| ())
        .map_err(|error| format!("{} cannot be written: {error}", to.display()))
}

fn remove(place: &Path) -> Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", place.display()))
        }
        _ => Ok(()),
    }
}
