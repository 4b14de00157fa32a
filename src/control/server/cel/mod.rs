//! Expressions of the Common Expression Language, in definitions, policies and webhook configurations. The door to the crate
//! `cel`.
//!
//! ```text
//! text ─▶ parsed ▸ names checked ▸ budget woven in ─▶ run on variables, as often as wanted
//! ```
//!
//! An expression cannot keep the server busy: every turn of a loop and everything that grows is paid from a budget.
//!
//! Source: k8s.io/apiserver `pkg/cel`, k8s.io/apiextensions-apiserver `pkg/apiserver/schema/cel`.

mod authorizer;
mod budget;
mod formats;
mod library;
mod network;
mod number;
pub mod rules;
mod shape;
mod value;

pub use authorizer::authorizer;
pub use value::{from_json, from_schema};

use cel::{Context, Env};
use std::sync::{Arc, LazyLock};

/// The longest expression, in bytes.
const LONGEST: usize = 16 << 10;
/// How deep a parsed expression may be: whoever walks one does so by calling itself.
const DEEPEST: usize = 100;
/// Expressions of fewer bytes cannot be so deep that reading them takes more than a thread's stack.
const SHORT: usize = 64;
/// Those of fewer levels are run on the stack of whoever asks.
const SHALLOW: usize = 20;
/// The stack on which others are read and run. It is touched only as far as it is used.
const STACK: usize = 256 << 20;
/// What one run may cost: turns of loops, and tens of bytes or items that are made.
const BUDGET: u64 = 200_000;

/// The functions that every expression can use.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Each of these fails only if a name is declared twice, which the test of this module would find.
    let added = env
        .add_extension(cel::extensions::strings)
        .and_then(|_| env.add_extension(cel::extensions::lists))
        .map(drop)
        .map_err(|error| error.to_string())
        .and_then(|()| library::add(&mut env).map_err(|error| error.to_string()));
    if let Err(error) = added {
        tracing::error!(error, "functions of expressions are missing");
    }
    Arc::new(env)
});

/// An expression that can be run.
#[derive(Debug)]
pub struct Expression {
    pub text: String,
    parsed: cel::IdedExpr,
    /// The variables that it uses.
    uses: Vec<String>,
    depth: usize,
}

impl Expression {
    /// Reads an expression that uses no other variables than `names`; the error is in the words of Go's library.
    pub fn compile(text: &str, names: &[&str]) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("expression is longer than {LONGEST} bytes"));
        }
        if text.len() <= SHORT {
            return Self::read(text, names);
        }
        aside(|| Self::read(text, names))
    }

    fn read(text: &str, names: &[&str]) -> Result<Self, String> {
        let program = FUNCTIONS.compile(text).map_err(|error| format!("compilation failed: {error}"))?;
        let depth = shape::depth(program.expression());
        if depth > DEEPEST {
            return Err(format!("compilation failed: expression recursion limit exceeded: {DEEPEST}"));
        }
        let mut parsed = program.expression().clone();
        let uses = shape::variables(&parsed, names).map_err(|why| format!("compilation failed: {why}"))?;
        budget::weave(&mut parsed);
        Ok(Self { text: text.into(), parsed, uses, depth })
    }

    /// Whether it uses a variable.
    pub fn uses(&self, name: &str) -> bool {
        self.uses.iter().any(|own| own == name)
    }

    /// Its parsed form.
    pub fn parsed(&self) -> &cel::IdedExpr {
        &self.parsed
    }

    /// What it comes to.
    pub fn run(&self, scope: &Scope) -> Result<cel::Value, String> {
        let run = || {
            budget::fill(BUDGET);
            cel::Value::resolve(&self.parsed, &scope.0).map_err(|error| said(&error))
        };
        if self.depth <= SHALLOW { run() } else { aside(run) }
    }

    /// Whether it comes to true.
    pub fn is_true(&self, scope: &Scope) -> Result<bool, String> {
        match self.run(scope)? {
            cel::Value::Bool(is_true) => Ok(is_true),
            _ => Err("cel expression does not evaluate to a bool".into()),
        }
    }

    /// The text that it comes to.
    pub fn as_text(&self, scope: &Scope) -> Option<String> {
        match self.run(scope) {
            Ok(cel::Value::String(text)) if !text.trim().is_empty() => Some(text.trim().to_string()),
            _ => None,
        }
    }
}

/// Does something that may call itself often on a thread with the stack for it.
fn aside<R: Send>(work: impl FnOnce() -> Result<R, String> + Send) -> Result<R, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("expression".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        thread.join().unwrap_or_else(|_| Err("the expression broke off".into()))
    })
}

fn said(error: &cel::ExecutionError) -> String {
    match error {
        cel::ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        cel::ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

/// The variables of a run.
pub struct Scope(Context<'static, 'static>);

impl Default for Scope {
    fn default() -> Self {
        Self(Context::with_env(FUNCTIONS.clone()))
    }
}

impl Scope {
    /// Gives a variable its value.
    pub fn set(&mut self, name: &str, value: cel::Value) {
        self.0.add_variable_from_value(name, value);
    }
}

#[cfg(test)]
mod tests;
