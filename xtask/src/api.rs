//! `cargo xtask api [--bless] [package]...`: compares the public API of each publishable crate, one item per line, with
//! `docs/api/<package>.txt`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::{Result, workspace};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Writes the listings instead of comparing them.
    #[arg(long)]
    bless: bool,
    /// The packages; defaults to all publishable packages.
    packages: Vec<String>,
}

/// Lists the public API of each package with all its features, and writes or compares it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let packages = if arguments.packages.is_empty() {
        workspace::publishable()?
    } else {
        arguments.packages.clone()
    };
    document(arguments)?;
    let documents = workspace::target_directory()?.join("doc");
    let listings = workspace::root().join("docs").join("api");
    let mut changed = Vec::new();
    for package in packages {
        let listing = list(&documents.join(format!("{}.json", package.replace('-', "_"))))?;
        let path = listings.join(format!("{package}.txt"));
        if arguments.bless {
            write(&path, &listing)?;
        } else if !is_same(&path, &listing)? {
            changed.push(package);
        }
    }
    if changed.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "the public API of {} changed: run `cargo xtask api --bless` and commit the listing",
            changed.join(", ")
        ))
    }
}

/// The environment variable that tells this program that cargo runs it as `rustdoc`. Its value is the real `rustdoc`.
pub(crate) const RUSTDOC: &str = "XTASK_RUSTDOC";

/// Runs `rustdoc` with the arguments of this program, and enables its JSON output, which is unstable.
///
/// `RUSTC_BOOTSTRAP` is set only for `rustdoc`. In the environment of cargo, it would change what the build scripts of many
/// dependencies detect, and everything would be built twice.
pub(crate) fn run_rustdoc(rustdoc: &OsStr) -> ExitCode {
    let status = Command::new(rustdoc)
        .args(std::env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {} cannot be run: {error}", Path::new(rustdoc).display());
            ExitCode::FAILURE
        }
    }
}

/// Makes cargo write the documentation as JSON. By default it documents the whole workspace like `cargo doc --workspace`,
/// so that dependencies which that command has built are reused.
fn document(arguments: &Arguments) -> Result<()> {
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    let mut command = workspace::cargo();
    command
        .args(["doc", "--no-deps", "--lib", "--all-features"])
        .env(RUSTDOC, std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()))
        .env("RUSTDOC", program)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    if arguments.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &arguments.packages {
        command.args(["--package", package]);
    }
    workspace::run(&mut command, "rustdoc")
}

/// The items, sorted, one per line.
fn list(document: &Path) -> Result<String> {
    let api = public_api::Builder::from_rustdoc_json(document)
        .omit_blanket_impls(true)
        .build()
        .map_err(|error| format!("{} cannot be read: {error}", document.display()))?;
    let items = api.items().map(ToString::to_string);
    Ok(items
        .filter(|item| !is_auto_trait(item) && !is_implied(item))
        .fold(String::new(), |mut listing, item| {
            listing.push_str(&item);
            listing.push('\n');
            listing
        }))
}

/// Whether an item follows from another one: a method of a derived trait from the line that says that a type has this trait, and
/// what mockall generates from the trait that it mocks.
fn is_implied(item: &str) -> bool {
    const DERIVED_METHODS: [&str; 9] = [
        "::clone(&self) -> ",
        "::cmp(&self, ",
        "::deserialize<__D>(__D) -> ",
        "::eq(&self, ",
        "::fmt(&self, ",
        "::hash<__H: ",
        "::partial_cmp(&self, ",
        "::serialize<__S>(&self, __S) -> ",
        "::default() -> ",
    ];

    item.contains("::Mock") || DERIVED_METHODS.iter().any(|method| item.contains(method))
}

/// Whether an item is an implementation of an auto trait. `!Send` and `!Sync` do not count, so that they are listed.
fn is_auto_trait(item: &str) -> bool {
    const AUTO_TRAITS: [&str; 8] = [
        "core::marker::Freeze",
        "core::marker::Send",
        "core::marker::StructuralPartialEq",
        "core::marker::Sync",
        "core::marker::Unpin",
        "core::marker::UnsafeUnpin",
        "core::panic::unwind_safe::RefUnwindSafe",
        "core::panic::unwind_safe::UnwindSafe",
    ];
    const LISTED: [&str; 2] = ["!core::marker::Send", "!core::marker::Sync"];

    let Some((before, _)) = item.split_once(" for ") else {
        return false;
    };
    let name = before.rsplit(' ').next().unwrap_or_default();
    before.starts_with("impl") && !LISTED.contains(&name) && AUTO_TRAITS.contains(&name.trim_start_matches('!'))
}

fn write(path: &PathBuf, listing: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| format!("{} cannot be created: {error}", directory.display()))?;
    }
    fs::write(path, listing).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    println!("{}: {} items", path.display(), listing.lines().count());
    Ok(())
}

/// Compares a listing with the committed one, and prints removed and added items.
fn is_same(path: &PathBuf, listing: &str) -> Result<bool> {
    let committed = fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if committed == listing {
        return Ok(true);
    }
    let before: BTreeSet<&str> = committed.lines().collect();
    let after: BTreeSet<&str> = listing.lines().collect();
    println!("--- {}", path.display());
    for gone in before.difference(&after) {
        println!("-{gone}");
    }
    for new in after.difference(&before) {
        println!("+{new}");
    }
    Ok(false)
}
