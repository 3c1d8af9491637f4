//! The guides show files that CI compiles and runs.

use std::fs;

use crate::workspace;

#[test]
fn the_guides_for_backends_show_the_files_of_one() {
    let root = workspace::root();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    for (guide, backend, files) in [
        (
            "write-a-backend.md",
            "ureq",
            &["src/lib.rs", "tests/conformance.rs"] as &[&str],
        ),
        (
            "write-a-breaker-backend.md",
            "failsafe",
            &["src/lib.rs", "src/circuit.rs", "tests/conformance.rs"],
        ),
        (
            "write-a-kafka-backend.md",
            "rskafka",
            &[
                "src/lib.rs",
                "src/error.rs",
                "src/cluster.rs",
                "src/producer.rs",
                "src/consumer.rs",
                "tests/conformance.rs",
            ],
        ),
    ] {
        let text = read(&format!("docs/guide/{guide}"));
        for file in files {
            let block = format!("```rust\n{}```\n", read(&format!("backends/{backend}/{file}")));
            assert!(
                text.contains(&block),
                "docs/guide/{guide} does not show backends/{backend}/{file} as it is"
            );
        }
        let sources = fs::read_dir(root.join("backends").join(backend).join("src")).unwrap();
        let shown = files.iter().filter(|file| file.starts_with("src/")).count();
        assert_eq!(
            sources.count(),
            shown,
            "docs/guide/{guide} shows every source of {backend}"
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
