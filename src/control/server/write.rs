//! Create, update and delete: every rule between a body and the store.

use super::admission::{Change, Round, Verb};
use super::answer::{self, Answer};
use super::custom::convert;
use super::deletion::DeleteOptions;
use super::form::Form;
use super::objects;
use super::route::{Call, method_not_allowed};
use super::{decode, options, patch, race, read, services};
use crate::api::validate::metadata;
use crate::api::{Kind, Object, Reason, Status, fields, kinds};
use crate::control::store::{Entry, Expected, Op};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Letters of generated names: no vowels and no digits that look like some (k8s.io/apimachinery `pkg/util/rand`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How the managers of an object's fields are found.
pub enum Noted {
    /// The writer takes what it changes.
    Update,
    /// An apply has found them already: `metadata.managedFields`.
    Applied(Value),
}

/// A new object.
pub async fn create(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    if !kind.is_stored() {
        return Err(super::resource::no_subresource(kind, "create"));
    }
    options::check(call, false)?;
    let mut sent = decode::body(call, kind, &body)?;
    call.api.custom.refuse_new(kind, sent.object.name())?;
    if !sent.object.resource_version().is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    name_new(&mut sent.object, kind, call.attributes())?;
    objects::to_stored(kind, call.attributes(), &mut sent.object);
    make(call, kind, sent, Noted::Update).await
}

/// Stores a new object, which has its name and is in the stored version.
pub async fn make(call: &Call, kind: &Kind, sent: decode::Sent, noted: Noted) -> Result<Answer, Status> {
    let decode::Sent { mut object, mut warnings } = sent;
    stamp_new(&mut object, kind);
    objects::default(kind, call.attributes(), &mut object);
    note(call, kind, &mut object, None, noted);
    warnings.extend(mutate(call, change_of(call, kind, &mut object, None, Verb::Create)).await?);
    (kind.rules.prepare_create)(&mut object);
    let mut causes = metadata::new(kind, &object);
    causes.extend(objects::faults(kind, call.attributes(), &mut object, None));
    refuse_invalid(kind, &object, causes)?;
    warnings.extend(confirm(call, change_of(call, kind, &mut object, None, Verb::Create)).await?);
    let claim = assign(call, kind, &mut object, None)?;
    warnings.extend((kind.rules.warnings)(&object));
    if call.options.is_dry_run() {
        if call.api.store.get(&objects::key(kind, object.namespace(), object.name())).is_some() {
            return Err(Status::already_exists(kind.group(), &kind.plural, object.name()));
        }
        return shown(call, kind, object, StatusCode::CREATED, &warnings);
    }
    let entry = put(call, kind, &mut object, Expected::Absent).await?;
    claim.into_iter().for_each(services::Claim::keep);
    stored(call, kind, &entry, StatusCode::CREATED, &warnings)
}

/// Says who manages the object's fields.
fn note(call: &Call, kind: &Kind, object: &mut Object, old: Option<&Object>, noted: Noted) {
    match noted {
        Noted::Update => fields::owner::update(&options::writer(call, kind), old, object),
        Noted::Applied(Value::Null) => drop(object.remove(&["metadata", "managedFields"])),
        Noted::Applied(managers) => object.set(&["metadata", "managedFields"], managers),
    }
}

/// A whole new version of an object, or of one part of it.
pub async fn update(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    options::check(call, false)?;
    let mut sent = decode::body(call, kind, &body)?;
    objects::to_stored(kind, call.attributes(), &mut sent.object);
    let is_conditional = !matches!(sent.object.resource_version(), "" | "0");
    if is_conditional {
        let entry = convert::current(call, kind).await?;
        return change(call, kind, &entry, sent, Noted::Update).await;
    }
    race::while_raced(|| replace(call, kind, &sent)).await
}

/// Replaces whatever is there.
async fn replace(call: &Call, kind: &Kind, sent: &decode::Sent) -> Result<Answer, Status> {
    let entry = convert::current(call, kind).await?;
    race::require_version(kind, &entry.key.name)?;
    change(call, kind, &entry, sent.clone(), Noted::Update).await
}

/// Puts an object, which is in the stored version, in the place of what is in `entry`.
pub async fn change(
    call: &Call,
    kind: &Kind,
    entry: &Arc<Entry>,
    sent: decode::Sent,
    noted: Noted,
) -> Result<Answer, Status> {
    let decode::Sent { mut object, mut warnings } = sent;
    let old = objects::present(kind, entry)?;
    let wanted = call.attributes();
    check_same(kind, &object, &old, wanted)?;
    keep_metadata(&mut object, &old);
    keep_parts(&mut object, &old, kind, &wanted.subresource);
    (kind.rules.prepare_update)(&mut object, &old);
    objects::default(kind, wanted, &mut object);
    note(call, kind, &mut object, Some(&old), noted);
    count_generation(&mut object, &old, kind);
    warnings.extend(mutate(call, change_of(call, kind, &mut object, Some(&old), Verb::Update)).await?);
    let mut causes = metadata::update(&object, &old);
    let is_status = kind.custom.is_some() && object.0.get("status") != old.0.get("status");
    if is_status || !is_same_body(&object, &old) {
        causes.extend(objects::faults(kind, wanted, &mut object, Some(&old)));
    }
    refuse_invalid(kind, &object, causes)?;
    warnings.extend(confirm(call, change_of(call, kind, &mut object, Some(&old), Verb::Update)).await?);
    let claim = assign(call, kind, &mut object, Some(&old))?;
    warnings.extend((kind.rules.warnings)(&object));
    object.set(&["metadata", "resourceVersion"], old.resource_version());
    if object == old {
        return stored(call, kind, entry, StatusCode::OK, &warnings);
    }
    if call.options.is_dry_run() {
        return shown(call, kind, object, StatusCode::OK, &warnings);
    }
    let expected = Expected::Revision(entry.revision);
    if object.is_terminating() && is_free(kind, &object) {
        let entry = remove(call, kind, &mut object, expected).await?;
        return stored(call, kind, &entry, StatusCode::OK, &warnings);
    }
    let entry = put(call, kind, &mut object, expected).await?;
    if let Some(claim) = claim {
        claim.keep();
        call.api.services.release(&old, Some(&object));
    }
    stored(call, kind, &entry, StatusCode::OK, &warnings)
}

/// Whether nothing but metadata and status differs: the rest was judged when it was written.
fn is_same_body(new: &Object, old: &Object) -> bool {
    let counts = |field: &str| field != "metadata" && field != "status";
    let covers = |a: &Object, b: &Object| a.0.iter().all(|(key, value)| !counts(key) || b.0.get(key) == Some(value));
    covers(new, old) && covers(old, new)
}

/// What a Service needs of the cluster's addresses and ports; nothing for other kinds.
fn assign<'a>(
    call: &'a Call,
    kind: &Kind,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<Option<services::Claim<'a>>, Status> {
    if !services::is_service(kind) {
        return Ok(None);
    }
    let claim = call.api.services.assign(object, old);
    claim.map(Some).map_err(|causes| services::refusal(object, causes))
}

/// Sets the replicas of an object through its scale.
pub async fn scale(call: &Call, kind: &Kind, body: Bytes, is_patch: bool) -> Result<Answer, Status> {
    race::while_raced(|| scale_once(call, kind, &body, is_patch)).await
}

async fn scale_once(call: &Call, kind: &Kind, body: &Bytes, is_patch: bool) -> Result<Answer, Status> {
    let paths = kind.scale.as_ref().ok_or_else(super::resource::not_served)?;
    let entry = convert::current(call, kind).await?;
    let mut object = objects::present(kind, &entry)?;
    let before = read::scale_of(kind, &object)?;
    let after = match is_patch {
        true => patch::part(call, "io.k8s.api.autoscaling.v1.Scale", body, before)?,
        false => decode::value(&call.headers, body)?,
    };
    let version = after["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != object.resource_version() {
        return Err(objects::stale(kind, &entry.key.name));
    }
    let replicas = after["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let cause = crate::api::Cause {
            reason: "FieldValueInvalid".into(),
            message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
            field: "spec.replicas".into(),
        };
        return Err(Status::invalid("autoscaling", "Scale", object.name(), vec![cause]));
    }
    let old = object.clone();
    object.set(&read::fields(&paths.spec_replicas), replicas);
    note(call, kind, &mut object, Some(&old), Noted::Update);
    count_generation(&mut object, &old, kind);
    admit(call, kind, &mut object, Some(&old), Verb::Update).await?;
    if let Some(custom) = &kind.custom {
        let causes = custom.faults(&call.attributes().version, &mut object, Some(&old), "");
        refuse_invalid(kind, &object, causes)?;
    }
    if !call.options.is_dry_run() && object != old {
        let entry = put(call, kind, &mut object, Expected::Revision(entry.revision)).await?;
        object = objects::stored(&entry)?;
    }
    Ok(answer::value(StatusCode::OK, &read::scale_of(kind, &object)?))
}

/// Gives a pod to a node (`pods/binding`).
pub async fn bind(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    let binding = decode::value(&call.headers, &body)?;
    let entry = convert::current(call, kind).await?;
    let binding = admit_binding(call, binding).await?;
    let node = binding.text(&["target", "name"]);
    let mut pod = objects::stored(&entry)?;
    let name = pod.name().to_string();
    let refusal = |why: String| Status::conflict("", "pods/binding", &name, &why);
    let uid = binding.uid();
    if !uid.is_empty() && uid != pod.uid() {
        let own = pod.uid();
        return Err(refusal(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}")));
    }
    if pod.at(&["spec", "schedulingGates"]).and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return Err(refusal(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    if pod.is_terminating() {
        return Err(refusal(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    if !pod.text(&["spec", "nodeName"]).is_empty() {
        return Err(refusal(format!("pod {name} is already assigned to node \"{}\"", pod.text(&["spec", "nodeName"]))));
    }
    pod.set(&["spec", "nodeName"], node);
    let now = crate::api::time::now();
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = pod.entry(&["status", "conditions"]);
    let mut list = conditions.as_array().cloned().unwrap_or_default();
    list.retain(|condition| condition["type"] != "PodScheduled");
    list.push(condition);
    *conditions = Value::Array(list);
    if !call.options.is_dry_run() {
        put(call, kind, &mut pod, Expected::Revision(entry.revision)).await?;
    }
    Ok(answer::value(
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

/// The binding that is meant, as those have it who may change or refuse it.
async fn admit_binding(call: &Call, binding: Value) -> Result<Object, Status> {
    let kind = kinds::find("", "v1", "bindings").ok_or_else(super::resource::not_served)?;
    let malformed = || Status::bad_request("the object provided is unrecognized (must be of type Binding)");
    let mut binding = Object::from_value(binding).ok_or_else(malformed)?;
    let wanted = call.attributes();
    binding.set(&["apiVersion"], "v1");
    binding.set(&["kind"], "Binding");
    binding.set(&["metadata", "name"], wanted.name.as_str());
    binding.set(&["metadata", "namespace"], wanted.namespace.as_str());
    admit(call, kind, &mut binding, None, Verb::Create).await?;
    let field = "target.name";
    let cause = match (binding.text(&["target", "kind"]), binding.text(&["target", "name"])) {
        (_, "") => crate::api::Cause::required(field, ""),
        ("" | "Node", _) => return Ok(binding),
        (other, _) => crate::api::Cause::not_supported("target.kind", &other.into(), &["Node", "<empty>"]),
    };
    Err(Status::invalid("", "Binding", &wanted.name, vec![cause]))
}

/// Deletes one object, at once or as soon as nothing holds it.
pub async fn delete(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    delete_with(call, kind, &DeleteOptions::read(call, &body)?).await
}

/// Deletes one object with options that were read.
pub async fn delete_with(call: &Call, kind: &Kind, options: &DeleteOptions) -> Result<Answer, Status> {
    race::while_raced(|| delete_current(call, kind, options)).await
}

async fn delete_current(call: &Call, kind: &Kind, options: &DeleteOptions) -> Result<Answer, Status> {
    let entry = convert::current(call, kind).await?;
    delete_entry(call, kind, &entry, options).await
}

/// Deletes everything that is selected; answers with what there was.
pub async fn delete_collection(call: &Call, kind: &Kind, body: Bytes) -> Result<Answer, Status> {
    let options = DeleteOptions::read(call, &body)?;
    let wanted = read::Wanted::of(call, kind)?;
    let namespace = Some(call.attributes().namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let listing = call.api.store.list(&super::resource::store_name(kind), namespace, None);
    let listing = listing.map_err(|error| objects::failure(kind, error))?;
    let selected: Vec<_> = listing.entries.into_iter().filter(|entry| wanted.takes(entry)).collect();
    let selected = convert::entries(&call.api, kind, selected).await?;
    let mut items = Vec::with_capacity(selected.len());
    for entry in selected {
        match delete_entry(call, kind, &entry, &options).await {
            // Whoever was faster did the same, or changed it, and then the newest version is what is deleted.
            Err(status) if matches!(status.reason, Reason::NotFound) => continue,
            Err(status) if status.reason == Reason::Conflict => {
                if let Some(newest) = call.api.store.get(&entry.key) {
                    let newest = convert::entry(&call.api, kind, newest).await?;
                    delete_entry(call, kind, &newest, &options).await?;
                }
            }
            other => drop(other?),
        }
        items.push(objects::in_version(kind, call.attributes(), objects::stored(&entry)?));
    }
    let metadata = objects::list_metadata(call.api.store.revision(), None);
    let value = Form::Plain.list(kind, &call.attributes().api_version(), items, metadata, "");
    Ok(answer::value(StatusCode::OK, &value))
}

async fn delete_entry(call: &Call, kind: &Kind, entry: &Arc<Entry>, options: &DeleteOptions) -> Result<Answer, Status> {
    let old = objects::stored(entry)?;
    options.check(kind, &old)?;
    let mut object = old.clone();
    admit(call, kind, &mut object, Some(&old), Verb::Delete).await?;
    if let Some(finalizer) = options.finalizer()
        && !object.finalizers().any(|own| own == finalizer)
    {
        push_finalizer(&mut object, finalizer);
    }
    if !object.is_terminating() {
        (kind.rules.prepare_delete)(&mut object);
    }
    let grace = grace_of(kind, &object, options.grace());
    let is_at_once = grace == 0 && !is_held(kind, &object);
    if options.is_dry_run() {
        return Ok(answer::value(StatusCode::OK, &success(kind, &old)));
    }
    let expected = Expected::Revision(entry.revision);
    if is_at_once {
        let entry = remove(call, kind, &mut object, expected).await?;
        let is_pod = kind.plural == "pods" && kind.group().is_empty();
        return if is_pod {
            stored(call, kind, &entry, StatusCode::OK, &[])
        } else {
            Ok(answer::value(StatusCode::OK, &success(kind, &old)))
        };
    }
    mark_deleted(&mut object, grace);
    if object == old {
        return stored(call, kind, entry, StatusCode::OK, &[]);
    }
    count_deletion(&mut object, &old, kind);
    let entry = put(call, kind, &mut object, expected).await?;
    stored(call, kind, &entry, StatusCode::OK, &[])
}

/// Seconds that an object lives on: only a pod that a node runs, or may run, has any.
fn grace_of(kind: &Kind, object: &Object, asked: Option<i64>) -> i64 {
    let is_pod = kind.plural == "pods" && kind.group().is_empty();
    let is_over = matches!(object.text(&["status", "phase"]), "Succeeded" | "Failed");
    if !is_pod || object.text(&["spec", "nodeName"]).is_empty() || is_over {
        return 0;
    }
    let own = object.at(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(30);
    asked.unwrap_or(own).max(0)
}

/// Notes the deletion; a later one can only shorten the grace of an earlier one.
fn mark_deleted(object: &mut Object, grace: i64) {
    let earlier = object.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    if object.is_terminating() && earlier.is_none_or(|earlier| earlier <= grace) {
        return;
    }
    let now = jiff::Timestamp::now();
    let when = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
    object.set(&["metadata", "deletionTimestamp"], crate::api::time::text(when));
    object.set(&["metadata", "deletionGracePeriodSeconds"], grace);
    if object.kind() == "Namespace" {
        object.set(&["status", "phase"], "Terminating");
    }
}

/// A deletion counts as a change of what is wanted, as upstream has it.
fn count_deletion(object: &mut Object, old: &Object, kind: &Kind) {
    if kind.has_generation() && !old.is_terminating() {
        let generation = old.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
        object.set(&["metadata", "generation"], generation + 1);
    }
}

/// Whether an object that is ending may go: nothing holds it and its grace is over.
fn is_free(kind: &Kind, object: &Object) -> bool {
    let grace = object.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
    grace == 0 && !is_held(kind, object)
}

/// Whether something holds the object: a finalizer of its own, or content of a namespace.
fn is_held(kind: &Kind, object: &Object) -> bool {
    let is_namespace = kind.plural == "namespaces" && kind.group().is_empty();
    let holds = |path: &[&str]| object.at(path).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    holds(&["metadata", "finalizers"]) || (is_namespace && holds(&["spec", "finalizers"]))
}

fn push_finalizer(object: &mut Object, finalizer: &str) {
    let list = object.entry(&["metadata", "finalizers"]);
    match list.as_array_mut() {
        Some(list) => list.push(json!(finalizer)),
        None => *list = json!([finalizer]),
    }
}

fn success(kind: &Kind, object: &Object) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": object.name(), "group": kind.group(), "kind": kind.plural, "uid": object.uid()},
    })
}

/// The name and namespace of a new object: its own, generated, or of the path.
fn name_new(object: &mut Object, kind: &Kind, wanted: &super::Attributes) -> Result<(), Status> {
    if kind.is_namespaced() {
        match object.namespace() {
            "" => object.set(&["metadata", "namespace"], wanted.namespace.as_str()),
            own if own != wanted.namespace => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            _ => {}
        }
    } else if let Some(metadata) = object.entry(&["metadata"]).as_object_mut() {
        metadata.remove("namespace");
    }
    if object.name().is_empty() {
        let prefix = object.text(&["metadata", "generateName"]).to_string();
        if prefix.is_empty() {
            let cause = crate::api::Cause {
                reason: "FieldValueRequired".into(),
                message: "Required value: name or generateName is required".into(),
                field: "metadata.name".into(),
            };
            return Err(Status::invalid(kind.group(), &kind.kind, "", vec![cause]));
        }
        let room = prefix.char_indices().map(|(at, one)| at + one.len_utf8()).take_while(|end| *end <= 58).last();
        let room = room.unwrap_or(0);
        object.set(&["metadata", "name"], format!("{}{}", &prefix[..room], random_letters()));
    }
    Ok(())
}

/// What a generated name ends with.
pub fn random_letters() -> String {
    (0..5).map(|_| LETTERS[rand::random_range(0..LETTERS.len())] as char).collect()
}

/// What the server alone says of a new object.
fn stamp_new(object: &mut Object, kind: &Kind) {
    if let Some(metadata) = object.entry(&["metadata"]).as_object_mut() {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "managedFields"] {
            metadata.remove(field);
        }
    }
    object.set(&["metadata", "uid"], uuid::Uuid::new_v4().to_string());
    object.set(&["metadata", "creationTimestamp"], crate::api::time::now());
    if kind.has_generation() {
        object.set(&["metadata", "generation"], 1);
    }
    if kind.status {
        object.0.remove("status");
    }
}

/// A change is of the same object, and of the version that the client read, if it names one.
fn check_same(kind: &Kind, object: &Object, old: &Object, wanted: &super::Attributes) -> Result<(), Status> {
    if object.name() != wanted.name && !object.name().is_empty() {
        let message =
            format!("the name of the object ({}) does not match the name on the URL ({})", object.name(), wanted.name);
        return Err(Status::bad_request(message));
    }
    if !object.namespace().is_empty() && kind.is_namespaced() && object.namespace() != wanted.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !object.uid().is_empty() && object.uid() != old.uid() {
        let why =
            format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", object.uid(), old.uid());
        return Err(Status::conflict(kind.group(), &kind.plural, old.name(), &why));
    }
    // Version 0 is how some clients say that they do not care.
    if !matches!(object.resource_version(), "" | "0") && object.resource_version() != old.resource_version() {
        return Err(objects::stale(kind, old.name()));
    }
    Ok(())
}

/// Metadata that a client cannot change.
fn keep_metadata(object: &mut Object, old: &Object) {
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        match old.at(&["metadata", field]) {
            Some(value) => object.set(&["metadata", field], value.clone()),
            None => drop(object.remove(&["metadata", field])),
        }
    }
    object.remove(&["metadata", "resourceVersion"]);
}

/// An update of the object leaves its status alone; an update of a part leaves everything else alone.
fn keep_parts(object: &mut Object, old: &Object, kind: &Kind, subresource: &str) {
    let keep = |object: &mut Object, field: &str| match old.0.get(field) {
        Some(value) => drop(object.0.insert(field.into(), value.clone())),
        None => drop(object.0.remove(field)),
    };
    match subresource {
        "" if kind.status => keep(object, "status"),
        "status" | "approval" => {
            let status = object.0.remove("status");
            let metadata = object.0.remove("metadata");
            object.0 = old.0.clone();
            if let Some(status) = status {
                object.0.insert("status".into(), status);
            }
            // Labels and annotations may go with a status, nothing else of the metadata; upstream's Deployments keep their
            // labels.
            let fields: &[&str] = if kind.kind == "Deployment" { &["annotations"] } else { &["labels", "annotations"] };
            for &field in fields {
                if let Some(value) = metadata.as_ref().and_then(|metadata| metadata.get(field)) {
                    object.set(&["metadata", field], value.clone());
                }
            }
            object.remove(&["metadata", "resourceVersion"]);
        }
        "ephemeralcontainers" => keep_all_but(object, old, &["ephemeralContainers"]),
        "resize" => keep_all_but_resources(object, old),
        "finalize" => {
            let finalizers = object.remove(&["spec", "finalizers"]);
            object.0 = old.0.clone();
            object.set(&["spec", "finalizers"], finalizers.unwrap_or_else(|| json!([])));
            object.remove(&["metadata", "resourceVersion"]);
        }
        _ => {}
    }
}

/// Takes over some fields of the spec, and nothing else.
fn keep_all_but(object: &mut Object, old: &Object, fields: &[&str]) {
    let new = std::mem::replace(object, old.clone());
    for field in fields {
        match new.at(&["spec", field]) {
            Some(value) => object.set(&["spec", field], value.clone()),
            None => drop(object.remove(&["spec", field])),
        }
    }
    object.remove(&["metadata", "resourceVersion"]);
}

/// Takes over what containers ask for and are held to, container by container.
fn keep_all_but_resources(object: &mut Object, old: &Object) {
    let new = std::mem::replace(object, old.clone());
    object.remove(&["metadata", "resourceVersion"]);
    for list in ["containers", "initContainers"] {
        let wanted = new.at(&["spec", list]).and_then(Value::as_array);
        let own = object.0.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in own.into_iter().flatten() {
            let is_same = |other: &&Value| other["name"] == container["name"];
            let Some(other) = wanted.into_iter().flatten().find(is_same) else { continue };
            for field in ["resources", "resizePolicy"] {
                if let Some(value) = other.get(field) {
                    container[field] = value.clone();
                }
            }
        }
    }
}

fn count_generation(object: &mut Object, old: &Object, kind: &Kind) {
    if kind.raises_generation(object, old) {
        let generation = old.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
        object.set(&["metadata", "generation"], generation + 1);
    }
}

/// Lets every plugin change the object, and judge it; returns what the client is warned of.
async fn admit(
    call: &Call,
    kind: &Kind,
    object: &mut Object,
    old: Option<&Object>,
    verb: Verb,
) -> Result<Vec<String>, Status> {
    let mut warnings = mutate(call, change_of(call, kind, object, old, verb)).await?;
    warnings.extend(confirm(call, change_of(call, kind, object, old, verb)).await?);
    Ok(warnings)
}

fn change_of<'a>(
    call: &'a Call,
    kind: &'a Kind,
    object: &'a mut Object,
    old: Option<&'a Object>,
    verb: Verb,
) -> Change<'a> {
    let (user, attributes, is_dry_run) = (&call.user, call.attributes(), call.options.is_dry_run());
    Change { verb, kind, object, old, user, attributes, is_dry_run, warnings: Vec::new(), round: Round::default() }
}

async fn mutate(call: &Call, mut change: Change<'_>) -> Result<Vec<String>, Status> {
    for plugin in &call.api.admission {
        plugin.mutate(&call.api, &mut change).await?;
    }
    if change.round.is_to_be_repeated() {
        for plugin in &call.api.admission {
            plugin.mutate(&call.api, &mut change).await?;
        }
    }
    Ok(change.warnings)
}

async fn confirm(call: &Call, mut change: Change<'_>) -> Result<Vec<String>, Status> {
    for plugin in &call.api.admission {
        plugin.validate(&call.api, &mut change).await?;
    }
    Ok(change.warnings)
}

fn refuse_invalid(kind: &Kind, object: &Object, causes: Vec<crate::api::Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(kind.group(), &kind.kind, object.name(), causes))
}

async fn put(call: &Call, kind: &Kind, object: &mut Object, expected: Expected) -> Result<Arc<Entry>, Status> {
    write(call, kind, object, expected, false).await
}

async fn remove(call: &Call, kind: &Kind, object: &mut Object, expected: Expected) -> Result<Arc<Entry>, Status> {
    write(call, kind, object, expected, true).await
}

async fn write(
    call: &Call,
    kind: &Kind,
    object: &mut Object,
    expected: Expected,
    is_delete: bool,
) -> Result<Arc<Entry>, Status> {
    let op = match convert::to_storage(&call.api, kind, object).await? {
        Some(mut converted) => op(kind, &mut converted, expected, is_delete)?,
        None => op(kind, object, expected, is_delete)?,
    };
    let written = call.api.store.write(vec![op]).await.map_err(|error| objects::failure(kind, error))?;
    if is_delete && services::is_service(kind) {
        call.api.services.release(object, None);
    }
    let entry = written.into_iter().next().ok_or_else(method_not_allowed)?;
    convert::written(kind, object, entry)
}

/// The store's operation for an object.
pub fn op(kind: &Kind, object: &mut Object, expected: Expected, is_delete: bool) -> Result<Op, Status> {
    let selection = objects::selection(kind, object);
    let key = objects::key(kind, object.namespace(), object.name());
    Ok(Op { key, expected, draft: objects::draft(object)?, selection, is_delete })
}

/// The answer with an entry: its bytes, if the version and form are those that are stored.
fn stored(call: &Call, kind: &Kind, entry: &Entry, code: StatusCode, warnings: &[String]) -> Result<Answer, Status> {
    if call.accepted.form == Form::Plain && objects::is_stored_version(kind, call.attributes()) {
        let mut answer = answer::bytes(code, entry.bytes.clone());
        answer::warn(&mut answer, warnings);
        return Ok(answer);
    }
    shown(call, kind, objects::stored(entry)?, code, warnings)
}

/// The answer with an object of the stored version.
fn shown(call: &Call, kind: &Kind, object: Object, code: StatusCode, warnings: &[String]) -> Result<Answer, Status> {
    let object = objects::in_version(kind, call.attributes(), object);
    let value = call.accepted.form.object(kind, object, call.options.text("includeObject"), true);
    let mut answer = answer::value(code, &value);
    answer::warn(&mut answer, warnings);
    Ok(answer)
}
