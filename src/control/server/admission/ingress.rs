//! DefaultIngressClass: an ingress that names no class gets the default one.

use super::{Api, Change, Plugin, Verb, default_of, list};
use crate::api::Status;
use async_trait::async_trait;

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
/// The older way to name a class.
const NAMED: &str = "kubernetes.io/ingress.class";

pub struct DefaultIngressClass;

#[async_trait]
impl Plugin for DefaultIngressClass {
    async fn mutate(&self, api: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        let is_new = change.is("networking.k8s.io", "ingresses") && change.verb == Verb::Create;
        let is_named = !change.object.text(&["spec", "ingressClassName"]).is_empty()
            || change.object.annotations().any(|(key, _)| key == NAMED);
        if !is_new || is_named {
            return Ok(());
        }
        let classes = list(api, "networking.k8s.io", "ingressclasses", None)?;
        if let Some(class) = default_of(classes, DEFAULT_CLASS) {
            change.object.set(&["spec", "ingressClassName"], class.name());
        }
        Ok(())
    }
}
