//! Checks that a parsed condition uses only supported features, and rewrites the operations that need a limit.

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;
use regex::RegexBuilder;

use super::PayloadFields;
use super::runtime::{self, Pattern};

/// The maximum number of nodes of a syntax tree.
const MAX_NODES: usize = 512;

/// The maximum depth of a syntax tree, in levels; evaluation recurses once per level.
const MAX_DEPTH: usize = 24;

/// The maximum nesting of loops.
const MAX_LOOPS: usize = 2;

/// The maximum size of a compiled regular expression in memory, in bytes.
const MAX_PATTERN_SIZE: usize = 256 << 10;

/// The maximum number of regular expressions of a condition.
const MAX_PATTERNS: usize = 16;

const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];

const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
];

/// The result of checking a tree.
pub(super) struct Checked {
    pub(super) patterns: Vec<Pattern>,
    pub(super) read: PayloadFields,
    /// The levels of the tree below its root.
    pub(super) depth: usize,
}

/// Checks the tree that the parser returned and rewrites it for evaluation. The error is a text to show after the name of the
/// field.
pub(super) fn check(tree: &mut Expression) -> Result<Checked, String> {
    let mut checker = Checker {
        nodes: 0,
        loops: 0,
        bound: Vec::new(),
        checked: Checked {
            patterns: Vec::new(),
            read: PayloadFields::none(),
            depth: 0,
        },
    };
    checker.visit(tree, 0)?;
    Ok(checker.checked)
}

struct Checker {
    nodes: usize,
    loops: usize,
    /// The variables of the enclosing loops.
    bound: Vec<String>,
    checked: Checked,
}

impl Checker {
    fn visit(&mut self, node: &mut Expression, depth: usize) -> Result<(), String> {
        self.visit_node(node, depth, false)
    }

    /// `in_path`: the node is the inner part of a payload path that is already recorded.
    fn visit_node(&mut self, node: &mut Expression, depth: usize, in_path: bool) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err("has too many terms".to_owned());
        }
        if depth > MAX_DEPTH {
            return Err("is nested too deeply".to_owned());
        }
        self.checked.depth = self.checked.depth.max(depth);
        let in_path = in_path || self.record_path(node);
        let id = node.id;
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => self.visit_node(&mut select.operand, depth + 1, in_path),
            Expr::List(list) => list
                .elements
                .iter_mut()
                .try_for_each(|element| self.visit(element, depth + 1)),
            Expr::Call(call) => {
                if let Some(target) = &mut call.target {
                    self.visit(target, depth + 1)?;
                }
                for (index, arg) in call.args.iter_mut().enumerate() {
                    self.visit_node(arg, depth + 1, in_path && index == 0)?;
                }
                self.call(call, id)
            }
            Expr::Comprehension(loop_) => {
                if matches!(loop_.accu_init.expr, Expr::List(_)) {
                    return Err(
                        "uses map or filter, which conditions do not support: use exists, all or exists_one".to_owned(),
                    );
                }
                self.visit(&mut loop_.iter_range, depth + 1)?;
                self.visit(&mut loop_.accu_init, depth + 1)?;
                self.loops += 1;
                if self.loops > MAX_LOOPS {
                    return Err("nests loops too deeply".to_owned());
                }
                let outer = self.bound.len();
                self.bound.push(loop_.iter_var.clone());
                self.bound.extend(loop_.iter_var2.clone());
                self.bound.push(loop_.accu_var.clone());
                if self.bound[outer..]
                    .iter()
                    .any(|name| runtime::VARIABLES.contains(&name.as_str()))
                {
                    return Err("has a loop variable with the name of a variable of the message".to_owned());
                }
                self.visit(&mut loop_.loop_cond, depth + 1)?;
                self.visit(&mut loop_.loop_step, depth + 1)?;
                self.visit(&mut loop_.result, depth + 1)?;
                self.bound.truncate(outer);
                self.loops -= 1;
                let condition = std::mem::take(&mut loop_.loop_cond);
                loop_.loop_cond = runtime::charge_before(condition);
                Ok(())
            }
            Expr::Map(_) | Expr::Struct(_) => {
                Err("makes a map or a message, which conditions do not support".to_owned())
            }
            Expr::Unspecified => Err("is incomplete".to_owned()),
        }
    }

    fn ident(&self, name: &str) -> Result<(), String> {
        if self.bound.iter().any(|bound| bound == name) || runtime::VARIABLES.contains(&name) {
            Ok(())
        } else {
            Err(format!(
                "uses the unknown variable {name:?}; the variables are {}",
                runtime::VARIABLES.join(", ")
            ))
        }
    }

    fn call(&mut self, call: &mut CallExpr, id: u64) -> Result<(), String> {
        let name = call.func_name.as_str();
        if name == operators::ADD {
            runtime::ADD.clone_into(&mut call.func_name);
            return Ok(());
        }
        if name == "matches" {
            return self.pattern(call, id);
        }
        if OPERATORS.contains(&name) || FUNCTIONS.contains(&name) {
            Ok(())
        } else {
            Err(format!(
                "calls the unknown function {name:?}; the functions are {}",
                FUNCTIONS.join(", ")
            ))
        }
    }

    /// Rewrites `text.matches('literal')` and `matches(text, 'literal')` to a call with the compiled pattern.
    fn pattern(&mut self, call: &mut CallExpr, id: u64) -> Result<(), String> {
        let text = match (call.target.take(), call.args.len()) {
            (Some(target), 1) => *target,
            (None, 2) => call.args.remove(0),
            _ => return Err("calls matches with the wrong number of arguments".to_owned()),
        };
        let source = match &call.args[0].expr {
            Expr::Literal(LiteralValue::String(source)) => source.inner(),
            _ => return Err("calls matches with a pattern that is not a literal".to_owned()),
        };
        let patterns = &mut self.checked.patterns;
        if patterns.len() == MAX_PATTERNS {
            return Err("has too many patterns".to_owned());
        }
        let regex = RegexBuilder::new(source)
            .size_limit(MAX_PATTERN_SIZE)
            .dfa_size_limit(MAX_PATTERN_SIZE)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "has a pattern that is too large".to_owned(),
                _ => "has a pattern that is not a regular expression".to_owned(),
            })?;
        let pattern = Expression {
            id,
            expr: Expr::Ident(runtime::pattern_name(patterns.len())),
        };
        patterns.push(Pattern(regex));
        runtime::MATCHES.clone_into(&mut call.func_name);
        call.args = vec![text, pattern];
        Ok(())
    }

    /// Records which field of the payload this node reads, if it reads one.
    fn record_path(&mut self, node: &Expression) -> bool {
        let mut fields = Vec::new();
        let presence = matches!(&node.expr, Expr::Select(select) if select.test);
        let found = is_payload_path(node, &mut fields);
        if found {
            self.checked.read.add(&fields, !presence);
        }
        found
    }
}

/// Whether a node is a path such as `payload.a['b'].c`; collects its fields.
fn is_payload_path<'n>(node: &'n Expression, fields: &mut Vec<&'n str>) -> bool {
    match &node.expr {
        Expr::Ident(name) => name == runtime::PAYLOAD,
        Expr::Select(select) => {
            let found = is_payload_path(&select.operand, fields);
            fields.push(&select.field);
            found
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            let [container, index] = call.args.as_slice() else {
                return false;
            };
            let Expr::Literal(LiteralValue::String(field)) = &index.expr else {
                return false;
            };
            let found = is_payload_path(container, fields);
            fields.push(field.inner());
            found
        }
        _ => false,
    }
}
