//! Wanted -> applied: the manifests of every wanted addon are made, or merged into what is there, with the addon's name
//! as a label.

use super::catalog::{self, Addon, CATALOG};
use crate::api::{Object, yaml};
use crate::client::{self, Client};
use crate::config::Profile;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use serde_json::Value;
use std::time::Duration;

/// The label that says which addon an object belongs to.
pub const LABEL: &str = "coracle.local/addon";

/// Why an addon could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("addon `{addon}`: {file} is no manifest: {why}")]
    Manifest { addon: String, file: String, why: String },
    #[error("addon `{addon}`: cannot delete {object}")]
    Remove {
        addon: String,
        object: String,
        #[source]
        source: client::Error,
    },
    #[error("addon `{addon}`: cannot apply {object}")]
    Apply {
        addon: String,
        object: String,
        #[source]
        source: client::Error,
    },
}

/// Whether a profile has an addon switched on.
pub fn is_wanted(profile: &Profile, addon: &Addon) -> bool {
    let names = |list: &[String]| list.iter().any(|name| name == addon.name);
    names(&profile.addons) || (addon.is_default() && !names(&profile.disabled_addons))
}

/// What differs between clusters in the manifests of addons.
pub fn values(profile: &Profile) -> Vec<(&'static str, String)> {
    let network = &profile.network;
    vec![
        ("domain", network.domain.clone()),
        ("dns_address", network.dns_address.to_string()),
        ("host_address", network.host_address.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
    ]
}

/// Applies every addon that a profile has switched on.
pub async fn apply_wanted(client: &Client, profile: &Profile) -> Result<(), Error> {
    for addon in CATALOG.iter().filter(|addon| is_wanted(profile, addon)) {
        apply(client, addon, profile).await?;
    }
    Ok(())
}

/// Deletes what is left of addons that a profile has not switched on: of those that were switched off while the cluster did
/// not run. What has the name of an addon's object and not its label is somebody's own.
pub async fn remove_unwanted(client: &Client, profile: &Profile) -> Result<(), Error> {
    for addon in CATALOG.iter().filter(|addon| !is_wanted(profile, addon)) {
        for object in objects(addon, profile)?.iter().rev() {
            let failed = |source| Error::Remove {
                addon: addon.name.into(),
                object: format!("{} `{}`", object.kind(), object.name()),
                source,
            };
            if client::apply::has_label(client, object, LABEL, addon.name).await.map_err(failed)? {
                client::apply::remove(client, object).await.map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// How long an addon's namespaces may take to go.
const EMPTIED: Duration = Duration::from_secs(60);

/// Deletes the objects of an addon, last first, and waits until its namespaces are gone: until then it could not be switched on
/// again.
pub async fn remove(client: &Client, addon: &Addon, profile: &Profile) -> Result<(), Error> {
    let objects = objects(addon, profile)?;
    for object in objects.iter().rev() {
        let described = format!("{} `{}`", object.kind(), object.name());
        client::apply::remove(client, object).await.map_err(|source| Error::Apply {
            addon: addon.name.into(),
            object: described,
            source,
        })?;
    }
    let gone = async {
        for namespace in objects.iter().filter(|object| object.kind() == "Namespace") {
            client::wait::until(Api::<Namespace>::all(client.clone()), namespace.name(), |found| found.is_none()).await;
        }
    };
    // What keeps one is its user's finalizer, and told by the namespace.
    tokio::time::timeout(EMPTIED, gone).await.ok();
    Ok(())
}

/// Applies one addon.
pub async fn apply(client: &Client, addon: &Addon, profile: &Profile) -> Result<(), Error> {
    for object in objects(addon, profile)? {
        let described = format!("{} `{}`", object.kind(), object.name());
        client::apply::ensure(client, &object, "coracle-addons").await.map_err(|source| Error::Apply {
            addon: addon.name.into(),
            object: described,
            source,
        })?;
    }
    Ok(())
}

/// A text with the values in it.
pub fn render(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_string(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

/// The objects of an addon, labelled, with the images that the profile says, in the order of files and documents.
pub fn objects(addon: &Addon, profile: &Profile) -> Result<Vec<Object>, Error> {
    let values = values(profile);
    let changed = |image: &str| profile.addon_images.get(&format!("{}/{}", addon.name, catalog::key(image)));
    let mut objects = Vec::new();
    for (file, text) in addon.manifests {
        let text = render(text, &values);
        let wrong = |why: String| Error::Manifest { addon: addon.name.into(), file: file.to_string(), why };
        for value in yaml::documents(&text).map_err(|error| wrong(error.to_string()))? {
            let mut object = Object::from_value(value).ok_or_else(|| wrong("a document is no object".into()))?;
            object.set(&["metadata", "labels", LABEL], addon.name);
            object.0.values_mut().for_each(|part| change_images(part, &changed));
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Changes every image that containers below `part` name.
fn change_images<'p>(part: &mut Value, changed: &dyn Fn(&str) -> Option<&'p String>) {
    match part {
        Value::Array(items) => items.iter_mut().for_each(|item| change_images(item, changed)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "image").and_then(changed) {
                    Some(image) => *value = image.as_str().into(),
                    None => change_images(value, changed),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::Wanted;

    #[test]
    fn every_addon_is_a_list_of_named_objects() {
        let profile = Wanted::named("x").resolve(&[]).unwrap();
        for addon in CATALOG {
            for object in objects(addon, &profile).unwrap() {
                assert!(!object.kind().is_empty() && !object.name().is_empty(), "{}", addon.name);
                assert!(!serde_json::to_string(&object).unwrap().contains("${"), "{}: a value is missing", addon.name);
            }
        }
    }

    #[test]
    fn an_image_that_the_profile_changes_is_in_every_container_that_has_it() {
        let mut profile = Wanted::named("x").resolve(&[]).unwrap();
        let addon = CATALOG.iter().find(|addon| !addon.images().is_empty()).unwrap();
        let key = catalog::key(addon.images()[0]);
        profile.addon_images.insert(format!("{}/{key}", addon.name), "example.org/other:1".into());
        profile.addon_images.insert(format!("not-{}/{key}", addon.name), "example.org/wrong:1".into());
        let text = serde_json::to_string(&objects(addon, &profile).unwrap()).unwrap();
        assert!(text.contains("\"image\":\"example.org/other:1\"") && !text.contains("wrong"), "{text}");
    }
}
