//! The environment of evaluation: functions, limits, and the variables of one message.
#![allow(
    clippy::needless_pass_by_value,
    reason = "the library defines the signature of functions"
)]

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelString, CelUInt, DOUBLE_TYPE, INT_TYPE, STRING_TYPE, Type, UINT_TYPE,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError};
use regex::Regex;

use super::variables::Variables;

/// The variable that holds the payload.
pub(super) const PAYLOAD: &str = "payload";

/// Every variable of a message.
pub(super) const VARIABLES: &[&str] = &[PAYLOAD, "headers", "key", "content_type", "origin", "size"];

// A condition cannot contain these names, because a CEL identifier has no `@`.
pub(super) const ADD: &str = "@add";
pub(super) const MATCHES: &str = "@matches";
const CHARGE: &str = "@charge";
const BUDGET: &str = "@budget";
const PATTERN: &str = "@pattern";

/// The budget of one evaluation, in units. A loop step over small data costs one unit.
const MAX_UNITS: u64 = 1_000_000;

/// A loop step over larger data costs one more unit per this number of bytes.
const BYTES_PER_UNIT: u64 = 1024;

/// The maximum length of a string that `+` returns, in bytes.
const MAX_CONCATENATION: usize = 4096;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    declare(&mut env).expect("the library declares no name with @");
    Arc::new(env)
});

/// The environment that all conditions share, because creating one costs far more than evaluating a condition.
pub(super) fn environment() -> Arc<Env> {
    Arc::clone(&ENVIRONMENT)
}

fn declare(env: &mut Env) -> Result<(), cel::DeclarationError> {
    env.add_overload(CHARGE, "charge", vec![BUDGET_TYPE.to_owned()], charge)?;
    env.add_overload(
        MATCHES,
        "matches_pattern",
        vec![STRING_TYPE, PATTERN_TYPE.to_owned()],
        matches,
    )?;
    env.add_overload(ADD, "add_int", vec![INT_TYPE, INT_TYPE], add)?;
    env.add_overload(ADD, "add_uint", vec![UINT_TYPE, UINT_TYPE], add)?;
    env.add_overload(ADD, "add_double", vec![DOUBLE_TYPE, DOUBLE_TYPE], add)?;
    env.add_overload(ADD, "add_string", vec![STRING_TYPE, STRING_TYPE], concatenate)
}

/// The name of a compiled pattern.
pub(super) fn pattern_name(index: usize) -> String {
    format!("{PATTERN}{index}")
}

/// The condition of a loop, evaluated after the step has been charged.
pub(super) fn charge_before(condition: Expression) -> Expression {
    let call = |func_name: &str, args| Expression {
        id: 0,
        expr: Expr::Call(CallExpr {
            func_name: func_name.to_owned(),
            target: None,
            args,
        }),
    };
    let budget = Expression {
        id: 0,
        expr: Expr::Ident(BUDGET.to_owned()),
    };
    call(operators::LOGICAL_AND, vec![call(CHARGE, vec![budget]), condition])
}

fn charge<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match args[0].downcast_ref::<Budget>() {
        Some(budget) if budget.charge() => Ok(CowVal::owned(CelBool::from(true))),
        _ => Err(ExecutionError::function_error("loop", "budget")),
    }
}

fn matches<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match (
        args[0].downcast_ref::<CelString<'_>>(),
        args[1].downcast_ref::<Pattern>(),
    ) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error("matches", "arguments")),
    }
}

fn add<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    if let (Some(left), Some(right)) = (args[0].downcast_ref::<CelInt>(), args[1].downcast_ref::<CelInt>()) {
        let sum = left.inner().checked_add(*right.inner());
        return sum.map(|sum| CowVal::owned(CelInt::from(sum))).ok_or_else(overflow);
    }
    if let (Some(left), Some(right)) = (args[0].downcast_ref::<CelUInt>(), args[1].downcast_ref::<CelUInt>()) {
        let sum = left.inner().checked_add(*right.inner());
        return sum.map(|sum| CowVal::owned(CelUInt::from(sum))).ok_or_else(overflow);
    }
    match (args[0].downcast_ref::<CelDouble>(), args[1].downcast_ref::<CelDouble>()) {
        (Some(left), Some(right)) => Ok(CowVal::owned(CelDouble::from(left.inner() + right.inner()))),
        _ => Err(ExecutionError::function_error("add", "arguments")),
    }
}

fn overflow() -> ExecutionError {
    ExecutionError::function_error("add", "overflow")
}

fn concatenate<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match (
        args[0].downcast_ref::<CelString<'_>>(),
        args[1].downcast_ref::<CelString<'_>>(),
    ) {
        (Some(left), Some(right)) if left.inner().len() + right.inner().len() <= MAX_CONCATENATION => Ok(
            CowVal::owned(CelString::from(format!("{}{}", left.inner(), right.inner()))),
        ),
        _ => Err(ExecutionError::function_error("add", "too long")),
    }
}

/// Why an evaluation failed. The text has no values, because values come from messages.
pub(super) fn describe(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "a field does not exist",
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds",
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero",
        ExecutionError::Overflow(..) => "a number is out of range",
        ExecutionError::FunctionError { .. } => "a function failed",
        ExecutionError::InvalidArgumentCount { .. } => "a function has the wrong number of arguments",
        _ => "a value has the wrong type",
    }
}

/// One evaluation: the variables of a message, the patterns of a condition, and a budget.
pub(super) struct Scope<'f, 'm> {
    variables: &'f Variables<'m>,
    patterns: &'f [Pattern],
    budget: Budget,
}

impl<'f, 'm> Scope<'f, 'm> {
    pub(super) fn new(variables: &'f Variables<'m>, patterns: &'f [Pattern]) -> Self {
        Self {
            variables,
            patterns,
            budget: Budget::new(),
        }
    }

    /// A context that looks variables up in this scope.
    pub(super) fn context(&self) -> Context<'_, '_> {
        let mut context = Context::with_env(environment());
        context.set_variable_resolver(self);
        context
    }

    /// Whether the budget was used up.
    pub(super) fn exhausted(&self) -> bool {
        self.budget.0.exhausted.load(Ordering::Relaxed)
    }
}

impl VariableResolver for Scope<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(value) = self.variables.get(variable) {
            // A loop may read the largest value in each of its steps.
            let units = 1 + self.variables.largest() as u64 / BYTES_PER_UNIT;
            self.budget.0.per_step.fetch_max(units, Ordering::Relaxed);
            return Some(CowVal::Borrowed(value));
        }
        if variable == BUDGET {
            return Some(CowVal::Borrowed(&self.budget));
        }
        let index: usize = variable.strip_prefix(PATTERN)?.parse().ok()?;
        self.patterns
            .get(index)
            .map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
    }
}

static BUDGET_TYPE: Type = Type::new_unspecified_type("bridge.budget");
static PATTERN_TYPE: Type = Type::new_unspecified_type("bridge.pattern");

/// The budget of one evaluation. Clones share it.
#[derive(Debug, Clone)]
struct Budget(Arc<Units>);

#[derive(Debug)]
struct Units {
    left: AtomicU64,
    per_step: AtomicU64,
    exhausted: AtomicBool,
}

impl Budget {
    fn new() -> Self {
        Self(Arc::new(Units {
            left: AtomicU64::new(MAX_UNITS),
            per_step: AtomicU64::new(1),
            exhausted: AtomicBool::new(false),
        }))
    }

    /// Charges one step. Returns `false` if the budget does not cover it. An evaluation runs on one thread: the fields are
    /// atomic only because the library requires values that can be shared between threads.
    fn charge(&self) -> bool {
        let left = self.0.left.load(Ordering::Relaxed);
        let cost = self.0.per_step.load(Ordering::Relaxed);
        if left < cost {
            self.0.exhausted.store(true, Ordering::Relaxed);
            return false;
        }
        self.0.left.store(left - cost, Ordering::Relaxed);
        true
    }
}

/// A regular expression of `matches`, compiled with its condition.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

macro_rules! internal_value {
    ($name:ident, $cel_type:ident) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$cel_type
            }

            fn cel_type() -> &'static Type {
                &$cel_type
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

internal_value!(Budget, BUDGET_TYPE);
internal_value!(Pattern, PATTERN_TYPE);
