//! NamespaceLifecycle: objects are made only in namespaces that are there and not ending; some namespaces stay. And
//! NamespaceAutoProvision, off unless asked for: a namespace is made with its first object.

use super::{Api, Change, Plugin, Verb, entry};
use crate::api::{Cause, Reason, Status};
use crate::control::server::{bootstrap, objects};
use async_trait::async_trait;
use memchr::memmem;
use std::sync::LazyLock;

/// Namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

static FIND_DELETION: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new("\"deletionTimestamp\""));

pub struct NamespaceAutoProvision;

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let name = change.object.namespace();
        let is_new = change.verb == Verb::Create && change.kind.is_namespaced() && !change.is_dry_run;
        match is_new && entry(api, "", "namespaces", "", name)?.is_none() {
            true => bootstrap::ensure_namespace(api, name).await,
            false => Ok(()),
        }
    }
}

pub struct NamespaceLifecycle;

#[async_trait]
impl Plugin for NamespaceLifecycle {
    // Before what is sent is looked at: who names a namespace that is not there is told that, whatever else is wrong.
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if change.is_of("", "namespaces") && change.verb == Verb::Delete && IMMORTAL.contains(&change.object.name()) {
            return Err(change.forbidden("this namespace may not be deleted"));
        }
        if change.verb != Verb::Create || !change.kind.is_namespaced() {
            return Ok(());
        }
        let name = change.object.namespace();
        let namespace = entry(api, "", "namespaces", "", name)?;
        let namespace = namespace.ok_or_else(|| Status::not_found("", "namespaces", name))?;
        // Asked before everything that is made: only a namespace that may be ending is read.
        if FIND_DELETION.find(&namespace.bytes).is_none() || !objects::stored(&namespace)?.is_terminating() {
            return Ok(());
        }
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let mut status = change.forbidden(why);
        debug_assert_eq!(status.reason, Reason::Forbidden);
        status.causes.push(Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {name} is being terminated"),
            field: "metadata.namespace".into(),
        });
        Err(status)
    }
}
