//! `cargo xtask package`: what `cargo publish` would upload, built as its users would build it.

use crate::{Result, workspace};

/// Packages all publishable crates in one call, in which cargo orders them by their dependencies and takes those that are
/// on no registry yet from the packages just made.
pub(crate) fn run() -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["package", "--allow-dirty"]);
    for package in workspace::publishable()? {
        command.args(["--package", &package]);
    }
    workspace::run(&mut command, "packaging")
}
