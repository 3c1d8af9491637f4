//! Conditions in the [Common Expression Language](https://cel.dev), with limits, because messages come from untrusted peers.
//!
//! Only this module uses the library `cel`. It adds these limits:
//!
//! * A condition is compiled on a large stack. It is rejected if its syntax tree is too large or too deep, or nests loops too
//!   deeply, so that evaluating it cannot overflow the stack of a worker thread.
//! * A condition may use only known variables and functions. This is checked when the rule is configured.
//! * Patterns of `matches` are literals, compiled once, with a size limit.
//! * Evaluation has a budget: each step of a loop is charged by the size of the data that it may read.
//! * `map` and `filter` are not supported, and strings are concatenated only up to a limit, so that a condition cannot create
//!   large values.
//! * The payload is parsed at most once per message, and only the fields that a rule names are converted.

mod check;
mod json;
mod runtime;
mod variables;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::Value;
use cel::common::types::CelBool;
use cel::parser::Expression;
use networking_spi::bridge::MAX_CONDITION_LENGTH;
use networking_spi::{ErrorKind, NetworkError, Result};

use super::payload::{Payload, PayloadFields};
use super::{Condition, ConditionCompiler, Facts};
use runtime::{Pattern, Scope};
pub(super) use variables::Variables;

/// The stack for compiling, in bytes: the parser recurses for every term, deepest in debug builds. Only the pages that it
/// touches use memory.
const COMPILE_STACK: usize = 64 << 20;

/// An upper bound of the stack that evaluating one level of a tree uses, in bytes: twice the largest value that was measured in
/// debug and release builds.
const STACK_PER_LEVEL: usize = 96 << 10;

/// Compiles conditions in the [Common Expression Language](https://cel.dev).
///
/// [`RouteRule::condition`](networking_spi::bridge::RouteRule::condition) lists the variables. The functions are `size`,
/// `contains`, `startsWith`, `endsWith`, `matches` (with a literal pattern), `int`, `uint`, `double` and `string`; the macros
/// are `has`, `all`, `exists` and `exists_one`. Configuring a rule that uses anything else fails with
/// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CelCompiler;

impl CelCompiler {
    /// A compiler with the limits of this crate.
    pub fn new() -> Self {
        Self
    }
}

impl ConditionCompiler for CelCompiler {
    fn compile(&self, text: &str) -> Result<Arc<dyn Condition>> {
        match compile(text) {
            Ok(condition) => Ok(Arc::new(condition)),
            Err(message) => Err(NetworkError::invalid_input("condition", message)),
        }
    }
}

/// A compiled condition.
struct CelCondition {
    tree: Expression,
    patterns: Vec<Pattern>,
    read: PayloadFields,
    /// Levels of the tree.
    depth: usize,
}

impl CelCondition {
    /// Whether the condition is true, or why it cannot be evaluated. The reason contains no data of the message.
    fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, &'static str> {
        let scope = Scope::new(facts.variables(), &self.patterns);
        let context = scope.context();
        // A stack overflow would abort the process. Shallow trees, which are usual, run on the current stack.
        let stack = STACK_PER_LEVEL * (self.depth + 2);
        let result = stacker::maybe_grow(stack, 2 * stack, || {
            Value::resolve_val(&self.tree, &context)
                .map(|value| value.downcast_ref::<CelBool>().map(|value| *value.inner()))
        });
        if scope.exhausted() {
            return Err("the evaluation budget is used up");
        }
        match result {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err("the result is not a boolean"),
            Err(error) => Err(runtime::describe(&error)),
        }
    }
}

impl Condition for CelCondition {
    fn payload_fields(&self) -> &PayloadFields {
        &self.read
    }

    fn matches(&self, facts: &Facts<'_>) -> Result<bool> {
        self.evaluate(facts)
            .map_err(|reason| NetworkError::new(ErrorKind::Rejected, "bridge.route", reason))
    }
}

impl fmt::Debug for CelCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CelCondition").finish_non_exhaustive()
    }
}

/// Compiles a condition. The error is a text to show after the name of the field.
fn compile(text: &str) -> Result<CelCondition, String> {
    if text.len() > MAX_CONDITION_LENGTH {
        return Err("is too long".to_owned());
    }
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        stacker::grow(COMPILE_STACK, || parse_and_check(text))
    }));
    compiled.unwrap_or_else(|_| Err("cannot be parsed".to_owned()))
}

/// Needs a large stack.
fn parse_and_check(text: &str) -> Result<CelCondition, String> {
    let mut tree = runtime::environment().parser().parse(text).map_err(|errors| {
        let first = errors
            .errors
            .first()
            .map_or("it cannot be parsed", |error| error.msg.as_str());
        let first: String = first.chars().take(200).collect();
        format!("is not a CEL expression: {first}")
    })?;
    let checked = check::check(&mut tree)?;
    Ok(CelCondition {
        tree,
        patterns: checked.patterns,
        read: checked.read,
        depth: checked.depth,
    })
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use networking_spi::bridge::BridgeMessage;

    use super::*;

    /// A sixteenth of the stack of tokio's worker threads.
    const SMALL_STACK: usize = 128 << 10;

    fn message(payload: &str) -> BridgeMessage {
        BridgeMessage::new("m", payload.to_owned(), SystemTime::UNIX_EPOCH)
            .with_header("X-GitHub-Event", "push")
            .with_header("x-github-event", "second")
            .with_key("k1")
            .with_content_type("application/json")
            .with_origin("/hooks")
    }

    fn evaluated(condition: &CelCondition, message: &BridgeMessage) -> Result<bool, &'static str> {
        Facts::with(message, &condition.read, |facts| condition.evaluate(facts))
    }

    fn holds(text: &str, payload: &str) -> Result<bool, &'static str> {
        let condition = compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        evaluated(&condition, &message(payload))
    }

    #[test]
    fn reads_every_documented_variable() {
        for source in [
            "payload.event == 'user_login'",
            "headers['x-github-event'] == 'push'",
            "'x-github-event' in headers && !('x-other' in headers)",
            "key == 'k1'",
            "content_type == 'application/json'",
            "content_type.startsWith('application/')",
            "origin == '/hooks'",
            "size > 10 && size < 1000",
            "payload.nested.list[1] == 2",
            "payload['nested']['text'] == 'x'",
            "has(payload.event) && !has(payload.other)",
            "payload.nested.list == [1, 2, 3]",
            "[1, 2, 3] == payload.nested.list",
            "payload.nested.list.exists(n, n == 3)",
            "payload.nested.list.all(n, n > 0)",
            "payload.nested.list.exists_one(n, n == 1)",
            "payload.nested.exists(name, name == 'text')",
            "2 in payload.nested.list",
            "size(payload.nested.list) == 3 && payload.nested.list.size() == 3",
            "payload.n + 1 == 8 && payload.n * 2 - 1 == 13 && payload.n % 2 == 1",
            "payload.f + 0.5 == 2.0",
            "payload.event.matches('^user_[a-z]+$') && matches(payload.event, 'login')",
            "payload.event + '!' == 'user_login!'",
            "int('7') == payload.n && string(payload.n) == '7'",
            "payload.big > 9223372036854775807u",
            "payload.nothing == null",
            "payload.n > 100 ? false : true",
        ] {
            let payload = r#"{"event":"user_login","n":7,"f":1.5,"big":9223372036854775808,"nothing":null,
                "nested":{"list":[1,2,3],"text":"x"}}"#;
            assert_eq!(holds(source, payload), Ok(true), "{source}");
        }
    }

    #[test]
    fn a_payload_that_is_not_json_is_null() {
        assert_eq!(holds("payload == null", "<xml/>"), Ok(true));
        assert_eq!(
            holds("payload.event == 'x'", "<xml/>"),
            Err("a value has the wrong type")
        );
    }

    #[test]
    fn an_evaluation_error_is_returned_with_its_reason() {
        assert_eq!(holds("payload.a.b == 1", "{}"), Err("a field does not exist"));
        assert_eq!(holds("payload.a", r#"{"a": 1}"#), Err("the result is not a boolean"));
        assert_eq!(
            holds("payload.a > 'x'", r#"{"a": 1}"#),
            Err("a value has the wrong type")
        );
        assert_eq!(
            holds("payload.l[3] == 1", r#"{"l": [1]}"#),
            Err("an index is out of bounds")
        );
        assert_eq!(holds("payload.a / 0 == 1", r#"{"a": 1}"#), Err("a division by zero"));
        assert_eq!(
            holds("payload.a + 1 == 0", r#"{"a": 9223372036854775807}"#),
            Err("a function failed")
        );
    }

    #[test]
    fn unknown_names_are_rejected_when_the_rule_is_configured() {
        for (source, part) in [
            ("event == 'x'", "unknown variable \"event\""),
            ("payload.l.exists(n, m == 1)", "unknown variable \"m\""),
            (
                "payload.l.exists(payload, payload == 1)",
                "name of a variable of the message",
            ),
            ("now() > 1", "unknown function \"now\""),
            ("payload.a.reverse() == 'x'", "unknown function \"reverse\""),
            ("payload.l.map(n, n + 1) == [1]", "map or filter"),
            ("payload.l.filter(n, n > 1) == [1]", "map or filter"),
            ("payload.a.matches(payload.b)", "not a literal"),
            ("payload.a.matches('(')", "not a regular expression"),
            ("payload.a.matches('[a-z]{1000}{100}')", "too large"),
            ("{'a': 1} == payload", "makes a map"),
            ("payload.a ==", "not a CEL expression"),
            ("payload.?a == 1", "not a CEL expression"),
            ("", "not a CEL expression"),
        ] {
            let error = compile(source).err().unwrap_or_else(|| panic!("{source} was accepted"));
            assert!(error.contains(part), "{source}: {error}");
        }
    }

    #[test]
    fn hostile_sources_are_rejected_without_harm() {
        let repeat = |part: &str, suffix: &str| {
            let mut source = part.repeat((MAX_CONDITION_LENGTH - suffix.len()) / part.len());
            source.push_str(suffix);
            source
        };
        for source in [
            repeat("(", "1"),
            repeat("[", "1"),
            format!("{}1{}", "[".repeat(90), "]".repeat(90)),
            format!("{}1{} == 1", "(".repeat(1000), ")".repeat(1000)),
            repeat("1+", "1"),
            format!("payload{} == 1", "[0]".repeat(670)),
            format!("payload{} == 1", ".a".repeat(1000)),
            repeat("true&&", "true"),
            repeat("true?1:", "1"),
            repeat("{", ""),
            repeat("'", ""),
            repeat("\u{0}", "\u{feff}"),
            "payload.l.all(a, payload.l.all(b, payload.l.all(c, true)))".to_owned(),
            "x".repeat(MAX_CONDITION_LENGTH + 1),
        ] {
            let start: String = source.chars().take(20).collect();
            assert!(compile(&source).is_err(), "{start}... was accepted");
        }
    }

    #[test]
    fn the_deepest_tree_that_is_accepted_is_evaluated_on_a_small_stack() {
        let source = |depth: usize| format!("{}payload.a{} == 1", "(1 + ".repeat(depth), ")".repeat(depth));
        let depth = (1..100).rev().find(|depth| compile(&source(*depth)).is_ok()).unwrap();
        let condition = compile(&source(depth)).unwrap();
        let evaluated = thread::Builder::new()
            .stack_size(SMALL_STACK)
            .spawn(move || evaluated(&condition, &message(r#"{"a": 1}"#)))
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(evaluated, Ok(false), "at depth {depth}");
    }

    #[test]
    fn evaluation_has_a_budget() {
        let items: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
        let payload = format!("{{\"l\": [{}]}}", items.join(","));
        let source = "payload.l.all(a, payload.l.all(b, a >= 0 && b >= 0))";
        assert_eq!(holds(source, &payload), Err("the evaluation budget is used up"));
        // `|| true` would absorb an error of the left side, but does not hide the exhausted budget.
        let absorbed = format!("({source}) || true");
        assert_eq!(holds(&absorbed, &payload), Err("the evaluation budget is used up"));
        // Steps over large values cost more.
        let text = "x".repeat(4 << 20);
        let payload = format!("{{\"l\": [{}], \"text\": \"{text}\"}}", items[..500].join(","));
        let source = "payload.l.exists(a, payload.text.contains(string(a)))";
        assert_eq!(holds(source, &payload), Err("the evaluation budget is used up"));
        // Steps over small values do not.
        let payload = format!("{{\"l\": [{}]}}", items[..250].join(","));
        assert_eq!(
            holds("payload.l.all(a, payload.l.all(b, a + b >= 0))", &payload),
            Ok(true)
        );
    }

    #[test]
    fn strings_do_not_grow_without_limit() {
        let payload = format!("{{\"s\": \"{}\"}}", "x".repeat(3000));
        assert_eq!(holds("payload.s + payload.s != ''", &payload), Err("a function failed"));
        let doubling = "['x'].exists(a, [a + a + a + a].exists(b, b + b != ''))";
        assert_eq!(holds(doubling, "{}"), Ok(true));
    }

    #[test]
    fn only_fields_that_are_read_are_converted() {
        let condition =
            compile("payload.a.b == 1 && has(payload.c.d) && payload.e['f'] == 2 && payload.l[0] == 1").unwrap();
        let rendered = format!("{:?}", &condition.read);
        for name in ["\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"e\"", "\"f\"", "\"l\""] {
            assert!(rendered.contains(name), "{rendered}");
        }
        let json: serde_json::Value = serde_json::from_str(
            r#"{"a": {"b": 1, "secret": "s1"}, "c": {"d": {"deep": "s2"}}, "e": {"f": 2}, "l": [1], "other": "s3"}"#,
        )
        .unwrap();
        let converted = format!("{:?}", json::convert(&json, &condition.read).value);
        for secret in ["s1", "s2", "s3"] {
            assert!(!converted.contains(secret), "{converted}");
        }
        assert!(!compile("headers.a == 'x'").unwrap().read.is_read());
        assert!(compile("size(payload) == 1").unwrap().read.is_read());
    }

    #[test]
    fn error_texts_have_no_data_of_the_message() {
        let secret = "hunter2";
        let payload = format!("{{\"s\": \"{secret}\", \"n\": 1}}");
        for source in [
            "payload[payload.s] == 1",
            "payload.s > 1",
            "payload.s * 2 == 1",
            "int(payload.s) == 1",
            "payload.s",
        ] {
            let error = holds(source, &payload).unwrap_err();
            assert!(!error.contains(secret), "{source}: {error}");
        }
    }
}
