//! What somebody may do: `authorizer.group('apps').resource('deployments').namespace('a').check('create').allowed()`,
//! `authorizer.path('/healthz').check('get').allowed()`, `authorizer.requestResource.check('delete').reason()`.
//!
//! Source: k8s.io/apiserver `pkg/cel/library/authz.go`.

use super::library::{given, member, text, values};
use crate::control::server::Identity;
use crate::control::server::auth::Rules;
use crate::control::server::identity::Attributes;
use cel::common::functions::Function;
use cel::common::types::{DYN_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::objects::{Key, Map, Opaque};
use cel::{DeclarationError, Env, ExecutionError, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How far a question is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
    /// Why it may be done; nothing if it may not.
    Decision(Option<String>),
}

/// A question in the making, or its answer.
#[derive(Clone)]
struct Question {
    rules: Arc<Rules>,
    user: Identity,
    wanted: Attributes,
    stage: Stage,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("user", &self.user.name).field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        (&self.user, &self.wanted, &self.stage) == (&other.user, &other.wanted, &other.stage)
    }
}

impl Eq for Question {}

impl Opaque for Question {
    fn runtime_type_name(&self) -> &str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
            Stage::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

/// The field of the authorizer that is about what a request is for.
const REQUESTED: &str = "requestResource";

/// The variable `authorizer`: what `user` may do, and what the request is for. It has a field, so it is a map; itself it is
/// under no name.
pub fn authorizer(rules: &Arc<Rules>, user: &Identity, wanted: &Attributes) -> Value {
    let question = |wanted: Attributes, stage| {
        Value::Opaque(Arc::new(Question { rules: rules.clone(), user: user.clone(), wanted, stage }))
    };
    let requested = Attributes { verb: String::new(), ..wanted.clone() };
    let fields = [
        (String::new(), question(Attributes::default(), Stage::Authorizer)),
        (REQUESTED.to_string(), question(requested, Stage::Resource)),
    ];
    let map: HashMap<Key, Value> =
        fields.into_iter().map(|(name, value)| (Key::String(Arc::new(name)), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

/// Declares the functions.
pub fn add(env: &mut Env) -> Result<(), DeclarationError> {
    for (name, function) in [
        ("path", path as Function),
        ("group", group),
        ("resource", resource),
        ("subresource", subresource),
        ("namespace", namespace),
        ("name", name),
        ("check", check),
    ] {
        member(env, name, DYN_TYPE, vec![STRING_TYPE], function)?;
    }
    member(env, "serviceAccount", DYN_TYPE, vec![STRING_TYPE, STRING_TYPE], service_account)?;
    for (name, function) in
        [("allowed", allowed as Function), ("reason", reason), ("errored", errored), ("error", error)]
    {
        member(env, name, DYN_TYPE, vec![], function)?;
    }
    Ok(())
}

fn wrong() -> ExecutionError {
    ExecutionError::function_error("authorizer", "no such overload")
}

/// The question that a function is called on.
fn own(value: Option<&Value>) -> Result<Question, ExecutionError> {
    match value {
        Some(Value::Opaque(opaque)) => opaque.downcast_ref::<Question>().cloned().ok_or_else(wrong),
        Some(Value::Map(map)) => own(map.map.get(&Key::String(Arc::default()))),
        _ => Err(wrong()),
    }
}

/// The question of one stage with a text more in it.
fn with<'b, 'v>(
    arguments: &[CowVal],
    at: &Stage,
    then: Stage,
    put: impl FnOnce(&mut Attributes, String),
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(arguments)?;
    let mut question = own(values.first())?;
    if question.stage != *at {
        return Err(wrong());
    }
    put(&mut question.wanted, text(values.get(1))?.to_string());
    question.stage = then;
    given(Value::Opaque(Arc::new(question)))
}

fn path<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Authorizer, Stage::Path, |wanted, path| wanted.path = path)
}

fn group<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Authorizer, Stage::Group, |wanted, group| {
        wanted.group = group;
        wanted.version = "*".into();
    })
}

fn resource<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Group, Stage::Resource, |wanted, resource| wanted.resource = resource)
}

fn subresource<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Resource, Stage::Resource, |wanted, part| wanted.subresource = part)
}

fn namespace<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Resource, Stage::Resource, |wanted, namespace| wanted.namespace = namespace)
}

fn name<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    with(&arguments, &Stage::Resource, Stage::Resource, |wanted, name| wanted.name = name)
}

fn check<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(&arguments)?;
    let mut question = own(values.first())?;
    if !matches!(question.stage, Stage::Path | Stage::Resource) {
        return Err(wrong());
    }
    question.wanted.verb = text(values.get(1))?.to_string();
    question.stage = Stage::Decision(question.rules.reason(&question.user, &question.wanted));
    given(Value::Opaque(Arc::new(question)))
}

fn service_account<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(&arguments)?;
    let mut question = own(values.first())?;
    if question.stage != Stage::Authorizer {
        return Err(wrong());
    }
    let (namespace, name) = (text(values.get(1))?, text(values.get(2))?);
    let groups = ["system:serviceaccounts".to_string(), format!("system:serviceaccounts:{namespace}")];
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    question.user = Identity::new(format!("system:serviceaccount:{namespace}:{name}"), &groups);
    given(Value::Opaque(Arc::new(question)))
}

fn decision(arguments: &[CowVal]) -> Result<Option<String>, ExecutionError> {
    match own(values(arguments)?.first())?.stage {
        Stage::Decision(reason) => Ok(reason),
        _ => Err(wrong()),
    }
}

fn allowed<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(decision(&arguments)?.is_some()))
}

fn reason<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::String(Arc::new(decision(&arguments)?.unwrap_or_default())))
}

/// The rules are in this process: asking them does not fail.
fn errored<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    decision(&arguments)?;
    given(Value::Bool(false))
}

fn error<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    decision(&arguments)?;
    given(Value::String(Arc::default()))
}
