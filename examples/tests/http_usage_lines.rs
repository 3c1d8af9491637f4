//! Compares the number of lines of the program `http_usage` with that of the Python examples that it follows.

/// Our lines for each line of Python, at most.
const LIMIT: f64 = 1.1;

#[test]
fn the_usage_examples_are_as_short_as_in_python() {
    let mut examples: Vec<(&str, usize, usize)> = Vec::new();
    let mut current: Option<(&str, usize, usize)> = None;
    for line in include_str!("../src/bin/http_usage/snippets.rs").lines().map(str::trim) {
        if let Some(begin) = line.strip_prefix("// begin: ") {
            let (title, python) = begin.rsplit_once(", ").expect("a title and a number");
            assert!(current.is_none(), "{title} begins inside of another example");
            current = Some((title, python.parse().expect("a number"), 0));
        } else if line == "// end" {
            examples.push(current.take().expect("an example has begun"));
        } else if let Some((_, _, lines)) = &mut current
            && !line.is_empty()
            && !line.starts_with("//")
        {
            *lines += 1;
        }
    }
    assert!(current.is_none(), "the last example has no end");
    for (title, python, lines) in &examples {
        println!("{title}: {lines} for {python}");
    }
    let python: usize = examples.iter().map(|(_, python, _)| python).sum();
    let lines: usize = examples.iter().map(|(_, _, lines)| lines).sum();
    println!("{} examples: {lines} lines for {python}", examples.len());
    assert!(examples.len() >= 20, "{} examples", examples.len());
    #[expect(clippy::cast_precision_loss, reason = "a few hundred lines")]
    let ratio = lines as f64 / python as f64;
    assert!(ratio <= LIMIT, "{lines} lines for {python} lines of Python: {ratio:.2}");
}
