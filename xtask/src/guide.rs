//! The guides show files that CI compiles and runs.

use std::fs;

use crate::workspace;

#[test]
fn the_guide_for_backends_shows_the_files_of_one() {
    let root = workspace::root();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let guide = read("docs/guide/write-a-backend.md");
    for path in ["backends/ureq/src/lib.rs", "backends/ureq/tests/conformance.rs"] {
        let block = format!("```rust\n{}```\n", read(path));
        assert!(
            guide.contains(&block),
            "docs/guide/write-a-backend.md does not show {path} as it is"
        );
    }
}
