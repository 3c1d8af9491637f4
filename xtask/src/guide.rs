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
