//! The page of `cargo xtask conformance` in headless Chromium: its tables, filters and details. Checks the structure, and
//! not how it looks.

mod browser;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use networking_conformance::report::{CaseReport, Outcome};
use serde_json::{Value, json};
use url::Url;

use self::browser::Browser;
use crate::conformance::{self, Clauses};
use crate::{Result, workspace};

/// A value that would break a page which does not escape it.
const HOSTILE: &str = r#"<img src=x onerror="document.title='broken'">'"&amp;</script></td> line
two"#;

/// Renders a small report and the latest real one, if there is one, and checks both pages.
pub(super) fn run() -> Result<()> {
    let directory = workspace::target_directory()?.join("live").join("matrix");
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .map_err(|error| format!("{} cannot be removed: {error}", directory.display()))?;
    }
    fs::create_dir_all(&directory).map_err(|error| format!("{} cannot be created: {error}", directory.display()))?;
    let mut browser = Browser::start(&directory)?;

    let reports = sample();
    let mut clauses = Clauses::default();
    clauses.add("| A-2 | A *clause* with `code` and a [link](https://example.test/). | `one::case` |");
    let page = Page::write(&directory, "sample", &reports, &clauses)?;
    let mut checks = Checks::new(&mut browser, &page);
    checks.structure(&reports)?;
    checks.filters()?;
    checks.details()?;
    let mut passed = checks.passed;

    let report = conformance::directory()?.join(conformance::REPORT);
    if report.exists() {
        let reports = conformance::read_report(&report)?;
        let page = Page::write(&directory, "report", &reports, &conformance::clauses()?)?;
        let mut checks = Checks::new(&mut browser, &page);
        checks.structure(&conformance::ran(&reports))?;
        passed += checks.passed;
    } else {
        println!("only a sample was checked: there is no {}", report.display());
    }
    println!(
        "{passed} checks of the conformance page passed; pictures are in {}",
        directory.display()
    );
    Ok(())
}

/// Two domains, three backends, every outcome, and hostile values.
fn sample() -> Vec<CaseReport> {
    let report = |domain: &str, backend: &str, case: &str, clause: &str, outcome: Outcome, reason: &str| {
        let value = json!({"domain": domain, "backend": backend, "case": format!("{domain}::{case}"), "clause": clause,
            "outcome": outcome, "reason": reason, "millis": 7});
        serde_json::from_value(value).expect("the fields of a report")
    };
    vec![
        report("a", "mine", "one::case", "A-2", Outcome::Passed, ""),
        report("a", "mine", "one::other", "A-10", Outcome::Failed, HOSTILE),
        report("a", "mine", HOSTILE, "A-11", Outcome::Passed, ""),
        report("a", HOSTILE, "one::case", "A-2", Outcome::Unsupported, "retry"),
        report("a", HOSTILE, "one::other", "A-10", Outcome::KnownFailure, "issue 7"),
        report("b", "mine", "two::case", "B-1", Outcome::Skipped, "no sockets"),
        report("b", "third", "two::case", "B-1", Outcome::Failed, "it does not hold"),
        report("b", "third", "two::more", "B-2", Outcome::Passed, ""),
    ]
}

/// A page that was written to a file.
struct Page {
    name: String,
    address: String,
    picture: PathBuf,
}

impl Page {
    fn write(directory: &Path, name: &str, reports: &[CaseReport], clauses: &Clauses) -> Result<Self> {
        let file = directory.join(format!("{name}.html"));
        let html = conformance::render(reports, clauses);
        fs::write(&file, html).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        let address = Url::from_file_path(&file).map_err(|()| format!("{} is not absolute", file.display()))?;
        Ok(Self {
            name: name.to_owned(),
            address: address.into(),
            picture: directory.join(format!("{name}.png")),
        })
    }
}

/// Checks of one page.
struct Checks<'a> {
    browser: &'a mut Browser,
    page: &'a Page,
    passed: usize,
}

/// The visible rows, as the texts of their first columns.
const ROWS: &str =
    "[...document.querySelectorAll('section:not([hidden]) tbody tr:not([hidden]) th')].map((th) => th.textContent)";

impl<'a> Checks<'a> {
    fn new(browser: &'a mut Browser, page: &'a Page) -> Self {
        Self {
            browser,
            page,
            passed: 0,
        }
    }

    fn open(&mut self, fragment: &str) -> Result<()> {
        self.browser.open(&format!("{}{fragment}", self.page.address))
    }

    /// Compares the value of an expression in the page.
    fn equal(&mut self, what: &str, expression: &str, expected: &Value) -> Result<()> {
        let got = self.browser.evaluate(expression)?;
        self.check(what, &got, expected)
    }

    fn check(&mut self, what: &str, got: &Value, expected: &Value) -> Result<()> {
        if got != expected {
            let name = &self.page.name;
            return Err(format!(
                "the conformance page ({name}): {what}: got {got}, expected {expected}"
            ));
        }
        self.passed += 1;
        Ok(())
    }

    /// The tables have each report once, with text, and the page is complete in itself.
    fn structure(&mut self, reports: &[CaseReport]) -> Result<()> {
        self.open("")?;
        let domains: BTreeSet<&str> = reports.iter().map(|report| report.domain.as_str()).collect();
        let rows: BTreeSet<_> = reports
            .iter()
            .map(|report| (&report.domain, &report.clause, &report.case))
            .collect();
        let columns: BTreeSet<_> = reports.iter().map(|report| (&report.domain, &report.backend)).collect();
        let count = |selector: &str| format!("document.querySelectorAll({}).length", json!(selector));
        for (what, selector, expected) in [
            ("tables with a caption", "table > caption", domains.len()),
            ("rows", "tbody tr", rows.len()),
            ("headers of rows", "tbody th[scope=row]", rows.len()),
            (
                "headers of columns",
                "thead th[scope=col]",
                columns.len() + 2 * domains.len(),
            ),
            ("cells", "tbody td > button", reports.len()),
            ("elements of hostile values", "img, td script, main script", 0),
        ] {
            self.equal(what, &count(selector), &json!(expected))?;
        }
        let mut expected: Vec<[String; 5]> = reports
            .iter()
            .map(|report| {
                let outcome = report.outcome.to_string();
                [&report.domain, &report.backend, &report.case, &outcome, &report.reason].map(String::clone)
            })
            .collect();
        expected.sort();
        let cells = "[...document.querySelectorAll('tbody td > button')].map((button) => [
            button.closest('section').dataset.domain, button.dataset.backend, button.closest('tr').dataset.case,
            button.parentElement.dataset.outcome, button.dataset.reason])";
        let mut cells: Vec<[String; 5]> =
            serde_json::from_value(self.browser.evaluate(cells)?).map_err(|error| error.to_string())?;
        cells.sort();
        self.check("cells and their values", &json!(cells), &json!(expected))?;

        let without_text = "[...document.querySelectorAll('tbody td > button')]
            .filter((button) => !button.innerText.includes(button.parentElement.dataset.outcome.replace('_', ' '))).length";
        self.equal("cells that do not name their outcome", without_text, &json!(0))?;
        let under_its_backend = "[...document.querySelectorAll('tbody td > button')].filter((button) => {
            const head = button.closest('table').tHead.rows[0].cells[button.parentElement.cellIndex];
            return head.textContent !== button.dataset.backend;
        }).length";
        self.equal("cells under another backend", under_its_backend, &json!(0))?;
        let roles = self.browser.roles()?;
        let number = |role: &str| roles.iter().filter(|found| *found == role).count();
        self.check(
            "tables of the accessibility tree",
            &json!(number("table")),
            &json!(domains.len()),
        )?;
        self.check(
            "column headers of the accessibility tree",
            &json!(number("columnheader")),
            &json!(columns.len() + 2 * domains.len()),
        )?;

        self.equal("the title", "document.title", &json!("Conformance"))?;
        self.check("errors of scripts", &json!(self.browser.script_errors()), &json!([]))?;
        let requests = self.browser.requests();
        self.check("requests", &json!(requests), &json!([self.page.address]))?;
        self.browser.picture(&self.page.picture)
    }

    /// Filters from the fragment, and filters that a user sets.
    fn filters(&mut self) -> Result<()> {
        let all = json!(["A-2", "A-10", "A-11", "B-1", "B-2"]);
        for (fragment, rows) in [
            ("", all.clone()),
            ("#domain=b", json!(["B-1", "B-2"])),
            ("#outcome=failed", json!(["A-10", "B-1"])),
            ("#domain=a&outcome=known_failure", json!(["A-10"])),
            ("#outcome=skipped&domain=a", json!([])),
            ("#search=ISSUE%207", json!(["A-10"])),
            ("#domain=unknown&outcome=%3Cimg%3E", all.clone()),
        ] {
            self.open(fragment)?;
            self.equal(&format!("the rows of {fragment:?}"), ROWS, &rows)?;
            let shown = format!("{} row{} shown", rows.as_array().map_or(0, Vec::len), plural(&rows));
            self.equal(
                "the number of rows",
                "document.getElementById('shown').textContent",
                &json!(shown),
            )?;
        }
        self.open("")?;
        let choose = "const outcome = document.getElementById('outcome');
            outcome.value = 'unsupported';
            outcome.dispatchEvent(new Event('input', { bubbles: true }));";
        self.browser.evaluate(&format!("{{ {choose} }}"))?;
        self.equal("the rows after a choice", ROWS, &json!(["A-2"]))?;
        self.equal(
            "the address after a choice",
            "location.hash",
            &json!("#outcome=unsupported"),
        )?;
        let dimmed = "document.querySelectorAll('tr:not([hidden]) td.dimmed').length";
        self.equal("cells with another outcome in that row", dimmed, &json!(1))?;
        self.browser.evaluate("location.hash = '#domain=b'")?;
        // The event of the fragment comes after the evaluation.
        self.browser.evaluate("new Promise((done) => setTimeout(done))")?;
        self.equal("the rows after a change of the fragment", ROWS, &json!(["B-1", "B-2"]))
    }

    /// A click shows the details of a cell as text.
    fn details(&mut self) -> Result<()> {
        self.open("")?;
        self.equal(
            "the dialog at first",
            "document.getElementById('details').open",
            &json!(false),
        )?;
        let value = |name: &str| format!("document.querySelector('[data-value={name}]').textContent");
        self.browser.evaluate("document.querySelector('.failed').click()")?;
        self.equal("the dialog", "document.getElementById('details').open", &json!(true))?;
        for (name, expected) in [
            ("clause", "A-10"),
            ("case", "a::one::other"),
            ("backend", "mine"),
            ("outcome", "failed"),
            ("reason", HOSTILE),
            ("time", "7 ms"),
        ] {
            self.equal(name, &value(name), &json!(expected))?;
        }
        let elements = "document.querySelectorAll('dialog img').length";
        self.equal("elements of hostile values in the dialog", elements, &json!(0))?;
        self.browser
            .evaluate("document.querySelector('dialog button').click()")?;
        self.equal(
            "the dialog after it was closed",
            "document.getElementById('details').open",
            &json!(false),
        )?;
        self.browser
            .evaluate("document.querySelector('.unsupported').click()")?;
        self.equal(
            "the sentence of the clause",
            &value("clause"),
            &json!("A-2: A *clause* with code and a link."),
        )?;
        self.equal("another reason", &value("reason"), &json!("retry"))?;
        self.check("errors of scripts", &json!(self.browser.script_errors()), &json!([]))
    }
}

fn plural(rows: &Value) -> &'static str {
    if rows.as_array().is_some_and(|rows| rows.len() == 1) {
        ""
    } else {
        "s"
    }
}
