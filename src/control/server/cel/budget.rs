//! What a run may cost. Calls that pay are woven into a parsed expression: one for every turn of a loop, one for every sum
//! of texts or lists by its size.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, operators};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};
use std::cell::Cell;

/// Pays for one turn. No expression can name it.
const TURN: &str = "@turn";
/// Pays for what was made.
const SIZE: &str = "@size";

thread_local! {
    /// What is left of the run on this thread: a run neither waits nor moves.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Begins a run.
pub fn fill(budget: u64) {
    LEFT.set(budget);
}

/// Declares what pays.
pub fn add(env: &mut Env) -> Result<(), cel::DeclarationError> {
    let any = || vec![cel::common::types::DYN_TYPE];
    env.add_overload(TURN, "@turn", any(), turn)?;
    env.add_overload(SIZE, "@size", any(), size)
}

fn pay(amount: u64) -> Result<(), ExecutionError> {
    match LEFT.get().checked_sub(amount) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => {
            LEFT.set(0);
            Err(ExecutionError::function_error(TURN, "operation cancelled: actual cost limit exceeded"))
        }
    }
}

fn turn<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    pay(1)?;
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

fn size<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let made = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let count = made.as_sizer().map_or(0, |sizer| *sizer.size().inner());
    pay(1 + u64::try_from(count).unwrap_or(0) / 10)?;
    Ok(made)
}

fn paid(name: &str, expression: &mut IdedExpr) {
    let inner = std::mem::take(expression);
    let id = inner.id;
    let call = CallExpr { func_name: name.into(), target: None, args: vec![inner] };
    *expression = IdedExpr { id, expr: Expr::Call(call) };
}

/// Weaves the calls in.
pub fn weave(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| weave(target));
            call.args.iter_mut().for_each(weave);
            if call.func_name == operators::ADD {
                paid(SIZE, expression);
            }
        }
        Expr::Comprehension(own) => {
            weave(&mut own.iter_range);
            weave(&mut own.accu_init);
            weave(&mut own.result);
            step(&mut own.loop_step, &own.accu_var);
            match &mut own.loop_step.expr {
                // `map` and `filter` are known by their shape, which must stay: what they add to their result pays.
                Expr::Call(call) if call.func_name == operators::CONDITIONAL => match call.args.first_mut() {
                    Some(guard) => paid(TURN, guard),
                    None => paid(TURN, &mut own.loop_cond),
                },
                Expr::Call(call) if call.func_name == operators::ADD => {
                    match call.args.last_mut().map(|one| &mut one.expr) {
                        Some(Expr::List(list)) if !list.elements.is_empty() => paid(TURN, &mut list.elements[0]),
                        _ => paid(TURN, &mut own.loop_cond),
                    }
                }
                _ => paid(TURN, &mut own.loop_cond),
            }
        }
        Expr::List(list) => list.elements.iter_mut().for_each(weave),
        Expr::Select(select) => weave(&mut select.operand),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| self::entry(&mut entry.expr)),
        Expr::Struct(own) => own.entries.iter_mut().for_each(|entry| self::entry(&mut entry.expr)),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => weave(&mut field.value),
        EntryExpr::MapEntry(pair) => {
            weave(&mut pair.key);
            weave(&mut pair.value);
        }
    }
}

/// The step of a loop: sums with the result so far are its shape, all below them is woven.
fn step(expression: &mut IdedExpr, result: &str) {
    match &mut expression.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            call.args.iter_mut().for_each(|one| step(one, result));
        }
        Expr::Call(call)
            if call.func_name == operators::ADD
                && matches!(call.args.first().map(|one| &one.expr), Some(Expr::Ident(name)) if name == result) =>
        {
            call.args.iter_mut().skip(1).for_each(weave);
        }
        _ => weave(expression),
    }
}
