//! The report as one page of HTML: clauses and backends as a table per domain. It needs no server and loads nothing.

use std::collections::{BTreeMap, BTreeSet};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use networking_conformance::report::{CaseReport, Outcome, SuiteReport};

/// Every outcome, the most interesting first.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Failed,
    Outcome::KnownFailure,
    Outcome::Skipped,
    Outcome::Unsupported,
    Outcome::Passed,
];

/// The sentences of clauses, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Clauses(BTreeMap<String, String>);

impl Clauses {
    /// Adds the clauses of a contract: the rows of its tables whose first column is a number.
    pub(crate) fn add(&mut self, contract: &str) {
        for line in contract.lines() {
            let mut columns = line.trim().trim_matches('|').split(" | ").map(str::trim);
            let (Some(number), Some(text)) = (columns.next(), columns.next()) else {
                continue;
            };
            if clause_order(number).1 > 0 {
                self.0.insert(number.to_owned(), plain(text));
            }
        }
    }
}

/// The reports of the domains of which a case was run. Without their servers, all cases of a domain may be skipped.
pub(crate) fn ran(reports: &[CaseReport]) -> Vec<CaseReport> {
    let skipped = skipped_domains(reports);
    let ran = reports.iter().filter(|report| !skipped.contains_key(&*report.domain));
    ran.cloned().collect()
}

/// The reports of domains whose cases were all skipped.
fn skipped_domains(reports: &[CaseReport]) -> BTreeMap<&str, Vec<&CaseReport>> {
    let mut domains = by_domain(reports);
    domains.retain(|_, reports| reports.iter().all(|report| report.outcome == Outcome::Skipped));
    domains
}

fn by_domain(reports: &[CaseReport]) -> BTreeMap<&str, Vec<&CaseReport>> {
    let mut domains = BTreeMap::<&str, Vec<&CaseReport>>::new();
    for report in reports {
        domains.entry(&report.domain).or_default().push(report);
    }
    domains
}

/// Renders the reports. A domain whose cases were all skipped is one line, and no table.
pub(crate) fn render(reports: &[CaseReport], clauses: &Clauses) -> String {
    let skipped = skipped_domains(reports);
    let mut domains = by_domain(reports);
    domains.retain(|domain, _| !skipped.contains_key(domain));
    let totals = SuiteReport::new(reports.to_vec()).counts();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing can be loaded, whatever a report contains.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                title { "Conformance" }
                style { (PreEscaped(include_str!("matrix.css"))) }
            }
            body {
                h1 { "Conformance" }
                p {
                    (reports.len()) " cases"
                    @for (outcome, count) in &totals { ", " (count) " " (text(*outcome)) }
                }
                @for (domain, reports) in &skipped {
                    p { (domain) ": " (reports.len()) " cases, all skipped: " (reports[0].reason) }
                }
                (filters(domains.keys().copied()))
                main { @for (domain, reports) in &domains { (section(domain, reports, clauses)) } }
                (details())
                script { (PreEscaped(include_str!("matrix.js"))) }
            }
        }
    };
    page.into_string()
}

fn filters<'a>(domains: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        form id="filters" aria-label="Filters" {
            label { "Domain" select id="domain" autocomplete="off" {
                option value="" { "all" }
                @for domain in domains { option value=(domain) { (domain) } }
            } }
            label { "Outcome" select id="outcome" autocomplete="off" {
                option value="" { "all" }
                @for outcome in OUTCOMES { option value=(outcome) { (text(outcome)) } }
            } }
            label { "Search" input id="search" type="search" autocomplete="off"; }
            output id="shown" aria-live="polite" {}
        }
    }
}

/// The table of a domain.
fn section(domain: &str, reports: &[&CaseReport], clauses: &Clauses) -> Markup {
    let backends: BTreeSet<&str> = reports.iter().map(|report| report.backend.as_str()).collect();
    let mut rows = BTreeMap::<_, BTreeMap<&str, &CaseReport>>::new();
    for report in reports {
        let key = (
            clause_order(&report.clause),
            report.clause.as_str(),
            report.case.as_str(),
        );
        rows.entry(key).or_default().insert(&report.backend, report);
    }
    let caption = format!("{domain}: {} cases, {} backends", rows.len(), backends.len());
    html! {
        section data-domain=(domain) {
            h2 { (domain) }
            div class="scroll" role="region" tabindex="0" aria-label=(caption) {
                table {
                    caption { (caption) }
                    thead { tr {
                        th scope="col" { "clause" }
                        th scope="col" { "case" }
                        @for backend in &backends { th scope="col" { (backend) } }
                    } }
                    tbody { @for ((_, clause, case), cells) in &rows {
                        tr data-clause=(clause) data-case=(case) title=[clauses.0.get(*clause)] {
                            // A known failure that names no case has no clause.
                            th scope="row" { @if clause.is_empty() { "none" } @else { (clause) } }
                            td { code { (name_of(domain, case)) } }
                            @for backend in &backends { (cell(cells.get(backend).copied())) }
                        }
                    } }
                    tfoot { @for outcome in OUTCOMES {
                        tr {
                            th scope="row" colspan="2" { (text(outcome)) }
                            @for backend in &backends { td { (count(reports, backend, outcome)) } }
                        }
                    } }
                }
            }
        }
    }
}

fn cell(report: Option<&CaseReport>) -> Markup {
    let Some(report) = report else {
        return html! { td class="absent" { "not run" } };
    };
    html! {
        td data-outcome=(report.outcome) {
            button type="button" class=(report.outcome) data-backend=(report.backend) data-reason=(report.reason)
                data-millis=(report.millis) aria-haspopup="dialog" {
                (symbol(report.outcome)) " " (text(report.outcome))
                @if !report.reason.is_empty() { span class="reason" { (report.reason) } }
            }
        }
    }
}

/// What a click on a cell shows.
fn details() -> Markup {
    html! {
        dialog id="details" aria-labelledby="details-title" {
            h2 id="details-title" { "Details" }
            dl { @for name in ["clause", "case", "backend", "outcome", "reason", "time"] {
                dt { (name) }
                dd data-value=(name) {}
            } }
            form method="dialog" { button { "Close" } }
        }
    }
}

fn count(reports: &[&CaseReport], backend: &str, outcome: Outcome) -> usize {
    let counted = |report: &&&CaseReport| report.backend == backend && report.outcome == outcome;
    reports.iter().filter(counted).count()
}

/// The id of a case without its domain.
fn name_of<'a>(domain: &str, case: &'a str) -> &'a str {
    let name = case.strip_prefix(domain).and_then(|rest| rest.strip_prefix("::"));
    name.unwrap_or(case)
}

/// Sorts `HTTP-9` before `HTTP-10`. The number of anything else is 0.
fn clause_order(clause: &str) -> (&str, u32) {
    match clause.rsplit_once('-') {
        Some((prefix, number)) => (prefix, number.parse().unwrap_or(0)),
        None => (clause, 0),
    }
}

/// An outcome as text, so that the colors are not needed.
fn text(outcome: Outcome) -> String {
    outcome.to_string().replace('_', " ")
}

fn symbol(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "✓",
        Outcome::Failed => "✗",
        Outcome::KnownFailure => "!",
        Outcome::Unsupported => "–",
        _ => "○",
    }
}

/// The text of a cell of a Markdown table: without the marks of code, and of links only their text.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, (link, after))) = rest
        .split_once('[')
        .and_then(|(before, link)| Some((before, link.split_once("](")?)))
    {
        let Some((_, after)) = after.split_once(')') else { break };
        text.push_str(before);
        text.push_str(link);
        rest = after;
    }
    text.push_str(rest);
    text.replace('`', "").replace("\\|", "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(backend: &str, case: &str, clause: &str, outcome: &str, reason: &str) -> CaseReport {
        serde_json::from_value(serde_json::json!({
            "domain": "http", "backend": backend, "case": case, "clause": clause, "outcome": outcome, "reason": reason,
            "millis": 3,
        }))
        .unwrap()
    }

    fn position(page: &str, text: &str) -> usize {
        page.find(text).unwrap_or_else(|| panic!("{text} is not in the page"))
    }

    #[test]
    fn rows_are_in_the_order_of_their_clauses() {
        let reports = [
            report("mine", "http::body::third", "HTTP-10", "passed", ""),
            report("mine", "http::body::second", "HTTP-9", "passed", ""),
            report("mine", "http::unknown", "", "failed", "the suite has no such case"),
        ];
        let page = render(&reports, &Clauses::default());
        assert!(position(&page, "unknown") < position(&page, "body::second"));
        assert!(position(&page, "body::second") < position(&page, "body::third"));
    }

    #[test]
    fn a_case_without_a_report_is_a_cell_too() {
        let reports = [
            report("mine", "http::one", "HTTP-1", "passed", ""),
            report("other", "http::two", "HTTP-2", "unsupported", "retry"),
        ];
        let page = render(&reports, &Clauses::default());
        assert_eq!(page.matches(r#"<td class="absent">not run</td>"#).count(), 2);
        assert!(page.contains("<caption>http: 2 cases, 2 backends</caption>"));
        assert!(page.contains(r#"<span class="reason">retry</span>"#));
    }

    #[test]
    fn a_domain_that_was_not_run_is_a_line() {
        let mut live = report(
            "mine",
            "live::one",
            "httpbin",
            "skipped",
            "cargo xtask live http starts the servers",
        );
        live.domain = "live_http".to_owned();
        let reports = [report("mine", "http::one", "HTTP-1", "skipped", "no sockets"), live];
        let passed = report("mine", "http::two", "HTTP-2", "passed", "");
        let page = render(&[&reports[..], &[passed]].concat(), &Clauses::default());
        assert_eq!(page.matches("<table>").count(), 1);
        position(
            &page,
            "<p>live_http: 1 cases, all skipped: cargo xtask live http starts the servers</p>",
        );
        assert!(ran(&reports).is_empty(), "all are skipped");
    }

    #[test]
    fn every_value_is_escaped() {
        let hostile = "</script><b \"'&";
        let mut clauses = Clauses::default();
        clauses.add(&format!("| HTTP-1 | {hostile} | `case` |"));
        let page = render(&[report(hostile, hostile, "HTTP-1", "failed", hostile)], &clauses);
        assert!(!page.contains("<b \"") && !page.contains("<b &quot;"), "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "the end of the page's own script");
        assert!(
            page.contains("data-reason=\"&lt;/script&gt;&lt;b &quot;'&amp;\""),
            "{page}"
        );
    }

    #[test]
    fn nothing_outside_of_the_page_is_named() {
        let page = render(
            &[report("mine", "http::one", "HTTP-1", "passed", "")],
            &Clauses::default(),
        );
        for outside in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn sentences_of_clauses_are_plain_text() {
        let mut clauses = Clauses::default();
        clauses.add(
            "# HTTP\n\n| | clause | case |\n|---|---|---|\n\
             | HTTP-7 | Only `http` and [https](https://example.test/a) URLs \\| nothing [else]. | `request::urls` |\n",
        );
        assert_eq!(
            clauses.0.into_iter().collect::<Vec<_>>(),
            [(
                "HTTP-7".to_owned(),
                "Only http and https URLs | nothing [else].".to_owned()
            )]
        );
    }
}
