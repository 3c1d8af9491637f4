//! The import direction inside the crate: a top-level module imports only modules below it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first.
const MODULES: [&str; 12] = [
    "marks",
    "connect",
    "transport",
    "body",
    "chain",
    "auth",
    "cookies",
    "cache",
    "layer",
    "websocket",
    "transfer",
    "client",
];

#[test]
fn no_module_imports_a_module_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let level: HashMap<&str, usize> = MODULES
        .iter()
        .enumerate()
        .map(|(level, module)| (*module, level))
        .collect();
    let mut checked = 0;
    for file in rust_files(&source) {
        let name = file.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let own = *level
            .get(&*module)
            .unwrap_or_else(|| panic!("{name} is in no listed module"));
        for imported in imports(&fs::read_to_string(&file).unwrap()) {
            checked += 1;
            let other = *level
                .get(&*imported)
                .unwrap_or_else(|| panic!("{name} imports crate::{imported}, which is not a listed module"));
            assert!(
                other <= own,
                "{name} imports crate::{imported}, which is above {module}"
            );
        }
    }
    assert!(checked > 50, "only {checked} imports were found");
}

#[test]
fn grouped_and_plain_imports_are_found() {
    let source = "use crate::marks::host;\npub(crate) use crate::body::{self, codec};\nuse crate::{MemoryHttpClient, chain::Next};\n\
        /// [`RetryClient`](crate::layer::RetryClient)\nlet retry = crate::layer::retry();\n#[cfg(test)]\nmod tests {\n    use crate::client::X;\n}\n";
    assert_eq!(imports(source), ["marks", "body", "chain", "layer"]);
}

/// The top-level modules that a file names outside comments and unit tests.
fn imports(source: &str) -> Vec<String> {
    let code: String = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut modules = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap();
            modules.extend(group.split(',').filter_map(module));
        } else {
            modules.extend(module(rest));
        }
    }
    modules
}

/// The first part of a path; `None` for items of the crate's root.
fn module(path: &str) -> Option<String> {
    let name: String = path
        .trim_start()
        .chars()
        .take_while(|char| char.is_ascii_lowercase() || *char == '_')
        .collect();
    (!name.is_empty() && !path.trim_start()[name.len()..].starts_with(|char: char| char.is_alphanumeric()))
        .then_some(name)
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
