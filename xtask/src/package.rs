//! `cargo xtask package`: packages each publishable crate as `cargo publish` does, and builds it from its package.

use crate::{Result, workspace};

/// Packages all publishable crates in one call. Cargo then orders them by their dependencies, and resolves dependencies that
/// are not published yet to the packages that it has just made.
pub(crate) fn run() -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["package", "--allow-dirty"]);
    for package in workspace::publishable()? {
        command.args(["--package", &package]);
    }
    workspace::run(&mut command, "packaging")
}
