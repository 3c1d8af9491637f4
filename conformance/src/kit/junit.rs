//! Reports as JUnit XML, which the test views of CI systems read.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::report::{CaseReport, Outcome};

/// The reports as one JUnit XML document: a `testsuite` per domain and backend, sorted, and a `testcase` per case.
///
/// A case that failed has a `failure`. Cases that did not apply, and known failures, are `skipped` with their reason.
/// Characters that XML cannot contain are written as escapes (`\u{1b}`).
///
/// ```
/// use networking_conformance::report::{CaseReport, junit};
///
/// let reports: Vec<CaseReport> = serde_json::from_str(
///     r#"[{"domain": "http", "backend": "mine", "case": "http::retry::a_stream_is_sent_once", "clause": "HTTP-45",
///          "outcome": "unsupported", "reason": "retry", "millis": 0}]"#,
/// )?;
/// let xml = junit(&reports);
/// assert!(xml.contains(r#"<testcase classname="mine.http.retry" name="a_stream_is_sent_once" time="0.000">"#));
/// assert!(xml.contains(r#"<skipped message="unsupported: retry"/>"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn junit<'a>(reports: impl IntoIterator<Item = &'a CaseReport>) -> String {
    let mut suites = BTreeMap::<(&str, &str), Vec<&CaseReport>>::new();
    for report in reports {
        suites
            .entry((&report.domain, &report.backend))
            .or_default()
            .push(report);
    }
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    write_suites(&mut xml, &suites).expect("writing to a string does not fail");
    xml
}

fn write_suites(xml: &mut String, suites: &BTreeMap<(&str, &str), Vec<&CaseReport>>) -> fmt::Result {
    let all: Vec<&CaseReport> = suites.values().flatten().copied().collect();
    writeln!(xml, "<testsuites name=\"conformance\"{}>", Totals(&all))?;
    for ((domain, backend), cases) in suites {
        let name = format!("{domain} {backend}");
        writeln!(xml, "  <testsuite name=\"{}\"{}>", Escaped(&name), Totals(cases))?;
        for case in cases {
            write_case(xml, case)?;
        }
        writeln!(xml, "  </testsuite>")?;
    }
    writeln!(xml, "</testsuites>")
}

fn write_case(xml: &mut String, report: &CaseReport) -> fmt::Result {
    let (module, name) = report.case.rsplit_once("::").unwrap_or((&report.domain, &report.case));
    let class = format!("{}.{}", report.backend, module.replace("::", "."));
    write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\">",
        Escaped(&class),
        Escaped(name),
        Seconds(report.millis)
    )?;
    if !report.clause.is_empty() {
        let clause = Escaped(&report.clause);
        write!(
            xml,
            "<properties><property name=\"clause\" value=\"{clause}\"/></properties>"
        )?;
    }
    let reason = Escaped(&report.reason);
    match report.outcome {
        Outcome::Passed => {}
        Outcome::Failed => write!(xml, "<failure message=\"{reason}\">{reason}</failure>")?,
        other => write!(xml, "<skipped message=\"{}: {reason}\"/>", other.text())?,
    }
    writeln!(xml, "</testcase>")
}

/// The attributes with the totals of some cases.
struct Totals<'a>(&'a [&'a CaseReport]);

impl fmt::Display for Totals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.0.iter().filter(|case| case.outcome == Outcome::Failed).count();
        let ran = |case: &&&CaseReport| matches!(case.outcome, Outcome::Passed | Outcome::Failed);
        let skipped = self.0.len() - self.0.iter().filter(ran).count();
        let time = Seconds(self.0.iter().map(|case| case.millis).sum());
        let tests = self.0.len();
        write!(
            f,
            " tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time}\""
        )
    }
}

/// Milliseconds, written as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A value of an XML attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // Otherwise a parser reads them as spaces.
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(character))?,
                // XML 1.0 section 2.2 excludes the other control characters below U+0020 and the two noncharacters. It
                // discourages those from U+007F, which are invisible.
                '\0'..' ' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                    write!(f, "{}", character.escape_unicode())?;
                }
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::*;

    fn report(backend: &str, case: &str, outcome: Outcome, reason: &str) -> CaseReport {
        CaseReport {
            domain: "http".to_owned(),
            backend: backend.to_owned(),
            case: case.to_owned(),
            clause: "HTTP-1".to_owned(),
            outcome,
            reason: reason.to_owned(),
            millis: 1_050,
        }
    }

    fn elements<'a>(document: &'a Document<'_>, tag: &'a str) -> Vec<Node<'a, 'a>> {
        document
            .descendants()
            .filter(move |node| node.has_tag_name(tag))
            .collect()
    }

    #[test]
    fn each_backend_is_a_suite_with_its_totals() {
        let xml = junit(&[
            report("b", "http::retry::passes", Outcome::Passed, ""),
            report("a", "http::retry::passes", Outcome::Passed, ""),
            report("a", "http::retry::fails", Outcome::Failed, "not retried"),
            report("a", "http::body::known", Outcome::KnownFailure, "issue 7"),
            report("a", "http::body::skipped", Outcome::Skipped, "no sockets"),
            report("a", "http::tls::lacks", Outcome::Unsupported, "tls"),
        ]);
        let document = Document::parse(&xml).unwrap();
        let root = document.root_element();
        assert_eq!(
            (root.attribute("tests"), root.attribute("failures")),
            (Some("6"), Some("1"))
        );
        let suites: Vec<_> = elements(&document, "testsuite")
            .into_iter()
            .map(|suite| ["name", "tests", "failures", "skipped", "time"].map(|name| suite.attribute(name).unwrap()))
            .collect();
        assert_eq!(
            suites,
            [["http a", "5", "1", "3", "5.250"], ["http b", "1", "0", "0", "1.050"]]
        );
        let messages: Vec<_> = ["failure", "skipped"]
            .into_iter()
            .flat_map(|tag| elements(&document, tag))
            .map(|node| node.attribute("message").unwrap().to_owned())
            .collect();
        assert_eq!(
            messages,
            [
                "not retried",
                "known failure: issue 7",
                "skipped: no sockets",
                "unsupported: tls"
            ]
        );
        let first = elements(&document, "testcase")[0];
        assert_eq!(first.attribute("classname"), Some("a.http.retry"));
        assert_eq!(first.attribute("name"), Some("passes"));
        assert_eq!(elements(&document, "property")[0].attribute("value"), Some("HTTP-1"));
    }

    #[test]
    fn every_character_is_escaped() {
        let hostile = "<a href=\"x\">&amp;'</a>\r\n\ttab ]]> \u{1f600}";
        let xml = junit(&[report(hostile, hostile, Outcome::Failed, hostile)]);
        let document = Document::parse(&xml).unwrap();
        assert_eq!(elements(&document, "failure")[0].attribute("message"), Some(hostile));
        assert_eq!(elements(&document, "testcase")[0].attribute("name"), Some(hostile));

        let excluded: String = ('\0'..=' ')
            .chain(['\u{7f}', '\u{85}', '\u{fffe}', '\u{ffff}'])
            .collect();
        let xml = junit(&[report("a", "c", Outcome::Failed, &excluded)]);
        let document = Document::parse(&xml).unwrap();
        let message = elements(&document, "failure")[0].attribute("message").unwrap();
        assert!(message.starts_with("\\u{0}\\u{1}"), "{message:?}");
        assert!(message.ends_with(" \\u{7f}\\u{85}\\u{fffe}\\u{ffff}"), "{message:?}");
    }

    #[test]
    fn nothing_is_a_document_too() {
        let xml = junit(&[]);
        assert_eq!(
            Document::parse(&xml).unwrap().root_element().attribute("tests"),
            Some("0")
        );
    }
}
