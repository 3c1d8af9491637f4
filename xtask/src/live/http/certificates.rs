//! A certificate for `localhost`, from an authority that is created for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::install::program;
use crate::{Result, workspace};

/// PEM files.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Creates them in `directory`.
pub(super) fn make(directory: &Path) -> Result<Certificates> {
    let file = |name: &str| directory.join(name);
    let made = Certificates {
        authority: file("authority.pem"),
        certificate: file("localhost.pem"),
        key: file("localhost.key"),
    };
    let (authority_key, request, extensions) = (file("authority.key"), file("localhost.csr"), file("extensions"));
    fs::write(
        &extensions,
        "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    )
    .map_err(|error| format!("{} cannot be written: {error}", extensions.display()))?;
    openssl(
        new_key()?
            .args(["-x509", "-days", "2", "-subj", "/CN=Authority of the live tier"])
            .arg("-keyout")
            .arg(&authority_key)
            .arg("-out")
            .arg(&made.authority),
    )?;
    openssl(
        new_key()?
            .args(["-subj", "/CN=localhost"])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&request),
    )?;
    openssl(
        program("openssl")?
            .args(["x509", "-req", "-days", "2", "-CAcreateserial"])
            .arg("-in")
            .arg(&request)
            .arg("-CA")
            .arg(&made.authority)
            .arg("-CAkey")
            .arg(&authority_key)
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&made.certificate),
    )?;
    Ok(made)
}

/// `openssl req` with a new key.
fn new_key() -> Result<Command> {
    let mut command = program("openssl")?;
    command.args([
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-batch",
    ]);
    Ok(command)
}

fn openssl(command: &mut Command) -> Result<()> {
    workspace::run(command.stderr(Stdio::null()).stdout(Stdio::null()), "openssl")
}
