//! Which kinds the server serves now, custom ones included.

use super::{Context, Error};
use crate::api::kinds;
use crate::client::Client;
use kube::api::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};

/// A kind that the server serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether its objects can be found and deleted.
    pub fn is_deletable(&self) -> bool {
        [verbs::LIST, verbs::DELETE].iter().all(|verb| self.supports(verb))
    }

    /// Whether it has a verb.
    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// `resource.group`, or the bare resource of the core group.
    pub fn qualified(&self) -> String {
        match self.resource.group.as_str() {
            "" => self.resource.plural.clone(),
            group => format!("{}.{group}", self.resource.plural),
        }
    }
}

/// Every kind in its preferred version.
pub async fn served(context: &Context) -> Result<Vec<Served>, Error> {
    served_by(&context.client).await
}

/// The same for a client alone.
pub async fn served_by(client: &Client) -> Result<Vec<Served>, Error> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut all = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            // The same objects are there in the group that the kind has moved to.
            let has_left = kinds::find(&resource.group, &resource.version, &resource.plural)
                .is_some_and(|kind| kind.has_left(&resource.group, &resource.version));
            if has_left {
                continue;
            }
            let namespaced = capabilities.scope == Scope::Namespaced;
            all.push(Served { resource, namespaced, verbs: capabilities.operations });
        }
    }
    Ok(all)
}
