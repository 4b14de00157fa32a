//! Texts of a form: `!format.dns1123Label().validate(self).hasValue()`, `format.named('uuid')`.
//!
//! Source: k8s.io/apiserver `pkg/cel/library/format.go`, `pkg/cel/format.go`.

use super::library::{given, member, text, values};
use crate::api::names;
use cel::common::functions::Function;
use cel::common::types::{DYN_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::objects::{Opaque, OptionalValue};
use cel::{DeclarationError, Env, ExecutionError, Value};
use std::sync::Arc;

/// What is wrong with a text; nothing if it has the form.
type Check = fn(&str) -> Vec<String>;

/// A form by its name.
#[derive(Debug)]
struct Format {
    name: &'static str,
    check: Check,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

impl Opaque for Format {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.NamedFormat"
    }
}

/// Every form, and the function that is called by its name.
macro_rules! formats {
    ($($name:literal: $check:expr,)*) => {
        const ALL: &[(&str, Check)] = &[$(($name, $check),)*];

        /// Declares the functions.
        pub fn add(env: &mut Env) -> Result<(), DeclarationError> {
            $(
                let function: Function = |_| made($name);
                env.add_overload(concat!("format.", $name), concat!("format_", $name), vec![], function)?;
            )*
            env.add_overload("format.named", "format_named", vec![STRING_TYPE], named)?;
            member(env, "validate", DYN_TYPE, vec![STRING_TYPE], validate)
        }
    };
}

formats! {
    "dns1123Label": names::dns_label,
    "dns1123Subdomain": names::dns_subdomain,
    "dns1035Label": names::dns_1035_label,
    "dns1123LabelPrefix": |text| names::dns_label(&prefix(text)),
    "dns1123SubdomainPrefix": |text| names::dns_subdomain(&prefix(text)),
    "dns1035LabelPrefix": |text| names::dns_1035_label(&prefix(text)),
    "qualifiedName": names::qualified_name,
    "labelValue": names::label_value,
    "uri": |text| unless(text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() || text.starts_with('/')), "invalid URI for request"),
    "uuid": |text| unless(is_uuid(text), "does not match the UUID format"),
    "byte": |text| unless(is_base64(text), "invalid base64"),
    "date": |text| unless(text.parse::<jiff::civil::Date>().is_ok() && text.len() == "2026-01-01".len(), "invalid date"),
    "datetime": |text| unless(text.parse::<jiff::Timestamp>().is_ok(), "invalid datetime"),
}

/// A prefix may end where a name may not.
fn prefix(text: &str) -> String {
    text.strip_suffix('-').filter(|rest| !rest.is_empty()).map_or_else(|| text.to_string(), |rest| format!("{rest}a"))
}

fn unless(holds: bool, why: &str) -> Vec<String> {
    if holds { Vec::new() } else { vec![why.into()] }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn is_base64(text: &str) -> bool {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).is_ok()
}

fn find(name: &str) -> Option<Value> {
    let (name, check) = ALL.iter().find(|(own, _)| *own == name)?;
    Some(Value::Opaque(Arc::new(Format { name, check: *check })))
}

fn made<'b, 'v>(name: &str) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(find(name).ok_or_else(|| ExecutionError::function_error("format", "no such format"))?)
}

fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

fn named<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(optional(find(&text(values(&arguments)?.first())?)))
}

/// What is wrong with the text, if anything is.
fn validate<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(&arguments)?;
    let format = match values.first() {
        Some(Value::Opaque(opaque)) => opaque.downcast_ref::<Format>(),
        _ => None,
    };
    let format = format.ok_or_else(|| ExecutionError::function_error("validate", "no such overload"))?;
    let wrong: Vec<Value> =
        (format.check)(&text(values.get(1))?).into_iter().map(|why| Value::String(Arc::new(why))).collect();
    given(optional((!wrong.is_empty()).then(|| Value::List(Arc::new(wrong)))))
}
