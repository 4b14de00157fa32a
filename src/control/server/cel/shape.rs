//! What can be said of an expression without running it: which variables it uses, which functions, and whether fields that it
//! selects are in the schema of what it selects from.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde_json::Value;

/// Types are values too.
const TYPES: [&str; 12] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint", "optional_type"];
/// Roots of function names with dots.
const NAMESPACES: [&str; 5] = ["optional", "strings", "lists", "format", "math"];

/// The variables that are used; an error if one is not among `names`.
pub fn variables(expression: &IdedExpr, names: &[&str]) -> Result<Vec<String>, String> {
    let mut walk = Walk { names, bound: Vec::new(), used: Vec::new() };
    walk.node(expression)?;
    Ok(walk.used)
}

/// How many levels an expression has, by walking it without calling oneself.
pub fn depth(expression: &IdedExpr) -> usize {
    let mut open = vec![(expression, 1)];
    let mut deepest = 0;
    while let Some((expression, level)) = open.pop() {
        deepest = deepest.max(level);
        let below = |one| open.push((one, level + 1));
        match &expression.expr {
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(below),
            Expr::Comprehension(own) => {
                [&own.iter_range, &own.accu_init, &own.loop_cond, &own.loop_step, &own.result]
                    .into_iter()
                    .for_each(below);
            }
            Expr::List(list) => list.elements.iter().for_each(below),
            Expr::Select(select) => std::iter::once(&*select.operand).for_each(below),
            Expr::Map(map) => map.entries.iter().flat_map(|one| parts(&one.expr)).for_each(below),
            Expr::Struct(own) => own.entries.iter().flat_map(|one| parts(&one.expr)).for_each(below),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }
    deepest
}

fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(pair) => vec![&pair.key, &pair.value],
    }
}

struct Walk<'a> {
    names: &'a [&'a str],
    bound: Vec<String>,
    used: Vec<String>,
}

impl Walk<'_> {
    fn node(&mut self, expression: &IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Call(call) => {
                match call.target.as_deref().map(|target| &target.expr) {
                    // `optional.of(x)` is the name of a function.
                    Some(Expr::Ident(name)) if NAMESPACES.contains(&name.as_str()) && !self.is_known(name) => {}
                    Some(_) => self.node(call.target.as_deref().unwrap_or(expression))?,
                    None => {}
                }
                call.args.iter().try_for_each(|arg| self.node(arg))
            }
            Expr::Comprehension(own) => {
                self.node(&own.iter_range)?;
                self.node(&own.accu_init)?;
                let before = self.bound.len();
                self.bound.push(own.accu_var.clone());
                self.node(&own.result)?;
                self.bound.push(own.iter_var.clone());
                self.bound.extend(own.iter_var2.clone());
                self.node(&own.loop_cond)?;
                self.node(&own.loop_step)?;
                self.bound.truncate(before);
                Ok(())
            }
            Expr::List(list) => list.elements.iter().try_for_each(|one| self.node(one)),
            Expr::Select(select) => self.node(&select.operand),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(own) => own.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.node(&field.value),
            EntryExpr::MapEntry(pair) => self.node(&pair.key).and_then(|()| self.node(&pair.value)),
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.names.contains(&name) || self.bound.iter().any(|own| own == name)
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        if self.bound.iter().any(|own| own == name) || TYPES.contains(&name) {
            return Ok(());
        }
        if !self.names.contains(&name) {
            return Err(undeclared(name));
        }
        self.used.push(name.into());
        Ok(())
    }
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{name}' (in container '')")
}

/// The first field that is selected and not there; `schema` is that of `self` and `oldSelf`.
pub fn unknown_field(expression: &IdedExpr, schema: &Value) -> Option<String> {
    let mut found = None;
    typed(expression, schema, &mut Vec::new(), &mut found);
    found
}

/// The schema of what an expression comes to, as far as it is known.
fn typed<'s>(
    expression: &IdedExpr,
    schema: &'s Value,
    bound: &mut Vec<(String, Option<&'s Value>)>,
    found: &mut Option<String>,
) -> Option<&'s Value> {
    match &expression.expr {
        Expr::Ident(name) => match bound.iter().rev().find(|(own, _)| own == name) {
            Some((_, schema)) => *schema,
            None if name == "self" || name == "oldSelf" => Some(schema),
            None => None,
        },
        Expr::Select(select) => {
            let parent = typed(&select.operand, schema, bound, found)?;
            field(parent, &select.field, found)
        }
        Expr::Call(call) => {
            let target = call.target.as_deref().map(|target| typed(target, schema, bound, found));
            let args: Vec<Option<&Value>> = call.args.iter().map(|arg| typed(arg, schema, bound, found)).collect();
            match (call.func_name.as_str(), args.first()) {
                ("_[_]", Some(Some(list))) => {
                    [&list["items"], &list["additionalProperties"]].into_iter().find(|one| one.is_object())
                }
                ("@turn" | "@size", Some(first)) => *first,
                _ => target.and(None),
            }
        }
        Expr::Comprehension(own) => {
            let range = typed(&own.iter_range, schema, bound, found);
            // Of a map the keys are what is iterated.
            let item = range.map(|range| &range["items"]).filter(|items| items.is_object());
            typed(&own.accu_init, schema, bound, found);
            bound.push((own.accu_var.clone(), None));
            bound.push((own.iter_var.clone(), item));
            bound.extend(own.iter_var2.clone().map(|name| (name, None)));
            typed(&own.loop_cond, schema, bound, found);
            typed(&own.loop_step, schema, bound, found);
            bound.truncate(bound.len() - 2 - usize::from(own.iter_var2.is_some()));
            bound.push((own.accu_var.clone(), None));
            typed(&own.result, schema, bound, found);
            bound.pop();
            None
        }
        Expr::List(list) => {
            for one in &list.elements {
                typed(one, schema, bound, found);
            }
            None
        }
        Expr::Map(_) | Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => None,
    }
}

fn field<'s>(parent: &'s Value, name: &str, found: &mut Option<String>) -> Option<&'s Value> {
    if parent["additionalProperties"].is_object() {
        return Some(&parent["additionalProperties"]);
    }
    let is_open = parent["x-kubernetes-preserve-unknown-fields"] == true || parent["additionalProperties"] == true;
    if is_open || parent["type"] != "object" {
        return None;
    }
    let properties = parent["properties"].as_object();
    let own = properties.into_iter().flatten().find(|(own, _)| super::value::escaped(own).as_deref() == Some(name));
    let is_implied = matches!(name, "metadata" | "apiVersion" | "kind");
    if own.is_none() && !is_implied && found.is_none() {
        *found = Some(format!("undefined field '{name}'"));
    }
    own.map(|(_, schema)| schema).filter(|schema| !(is_implied && schema["properties"].is_null()))
}
