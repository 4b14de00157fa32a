//! Which release an object belongs to, as labels and annotations say.
//!
//! Source: helm/helm `pkg/action/validate.go`.

use super::cluster::{AT_ONCE, Cluster, Item};
use super::error::Error;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const HELM: &str = "Helm";
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
/// Says that an object stays when its release goes.
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";

/// Marks objects as those of a release.
pub fn claim(items: &mut [Item], name: &str, namespace: &str) {
    for item in items {
        item.object.set(&["metadata", "labels", MANAGED_BY], HELM);
        item.object.set(&["metadata", "annotations", RELEASE_NAME], name);
        item.object.set(&["metadata", "annotations", RELEASE_NAMESPACE], namespace);
    }
}

/// Whether the live object says that it belongs to the release.
pub fn check(live: &Value, name: &str, namespace: &str) -> Result<(), Error> {
    let meta = &live["metadata"];
    let wanted = [
        ("label", &meta["labels"], MANAGED_BY, HELM),
        ("annotation", &meta["annotations"], RELEASE_NAME, name),
        ("annotation", &meta["annotations"], RELEASE_NAMESPACE, namespace),
    ];
    let wrong: Vec<String> = wanted
        .iter()
        .filter_map(|(what, map, key, value)| match map[*key].as_str() {
            None => Some(format!("{what} validation error: missing key {key:?}: must be set to {value:?}")),
            Some(own) if own != *value => {
                Some(format!("{what} validation error: key {key:?} must equal {value:?}: current value is {own:?}"))
            }
            Some(_) => None,
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Error::text(format!("invalid ownership metadata; {}", wrong.join("; "))))
    }
}

/// Whether the object stays when its release goes.
pub fn is_kept(object: &Value) -> bool {
    let policy = object["metadata"]["annotations"][RESOURCE_POLICY].as_str().unwrap_or_default();
    policy.trim().eq_ignore_ascii_case("keep")
}

/// Those of `items` that exist already. Where one belongs to somebody else it is an error, unless ownership is taken.
pub async fn existing(
    cluster: &Cluster,
    items: &[Item],
    release: (&str, &str),
    take_ownership: bool,
) -> Result<Vec<Item>, Error> {
    let mut named = Vec::with_capacity(items.len());
    for item in items {
        let generates = !item.object.text(&["metadata", "generateName"]).is_empty();
        match (item.name.is_empty(), generates) {
            (true, true) => {}
            (false, true) => return Err(Error::text("metadata.name and metadata.generateName cannot both be set")),
            _ => named.push(item),
        }
    }
    let found = futures::stream::iter(&named).map(|item| find(cluster, item)).buffered(AT_ONCE);
    let found: Vec<Option<Value>> = found.try_collect().await?;
    let mut there = Vec::new();
    for (item, live) in named.into_iter().zip(found) {
        let Some(live) = live else { continue };
        if !take_ownership {
            check(&live, release.0, release.1).map_err(|error| {
                error.during(format!("{} exists and cannot be imported into the current release", item.described()))
            })?;
        }
        there.push(item.clone());
    }
    Ok(there)
}

/// What is live of an object.
async fn find(cluster: &Cluster, item: &Item) -> Result<Option<Value>, Error> {
    cluster
        .live(item)
        .await
        .map_err(|error| error.during(format!("could not get information about the resource {}", item.described())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_foreign_object_is_refused_in_helms_words() {
        let live = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "other", "meta.helm.sh/release-namespace": "one"}}});
        let text = check(&live, "web", "one").unwrap_err().to_string();
        assert_eq!(
            text,
            "invalid ownership metadata; label validation error: missing key \"app.kubernetes.io/managed-by\": must be set to \
             \"Helm\"; annotation validation error: key \"meta.helm.sh/release-name\" must equal \"web\": current value is \"other\""
        );
    }

    #[tokio::test]
    async fn an_object_without_a_name_is_asked_for_nowhere() {
        let mock = crate::client::mock::Mock::default();
        let cluster = Cluster::new(mock.client(), "one");
        let objects = super::super::manifest::items(&cluster, "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n");
        let told = existing(&cluster, &objects.await.unwrap(), ("web", "one"), false).await.unwrap_err().to_string();
        assert_eq!(
            told,
            "could not get information about the resource ConfigMap \"\" in namespace \"one\": resource name may not be empty"
        );
        assert!(mock.requests().is_empty());
    }

    #[test]
    fn only_the_word_keep_keeps() {
        let object = |word: &str| json!({"metadata": {"annotations": {"helm.sh/resource-policy": word}}});
        assert!(is_kept(&object(" Keep ")));
        assert!(!is_kept(&object("delete")) && !is_kept(&json!({})));
    }
}
