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

/// Rustdoc hides lines that begin with `#`, but whoever copies an example from Markdown gets them.
#[test]
fn examples_can_be_pasted() {
    let root = workspace::root();
    let guides = fs::read_dir(root.join("docs/guide")).unwrap();
    let guides = guides.map(|guide| guide.unwrap().path());
    for path in guides.chain([root.join("README.md"), root.join("conformance/README.md")]) {
        let text = fs::read_to_string(&path).unwrap();
        let mut in_rust = false;
        for line in text.lines() {
            match line.strip_prefix("```") {
                Some(language) => in_rust = language.starts_with("rust"),
                None => assert!(
                    !in_rust || (line != "#" && !line.starts_with("# ")),
                    "{} has a hidden line: {line}",
                    path.display()
                ),
            }
        }
    }
}
