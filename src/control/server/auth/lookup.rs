//! Objects that who-asks and may-they depend on, straight from the store.

use crate::api::Object;
use crate::control::store::{Key, Store};

/// An object as it is now.
pub fn object(store: &Store, resource: &str, namespace: &str, name: &str) -> Option<Object> {
    let key = Key { resource: resource.into(), namespace: namespace.into(), name: name.into() };
    serde_json::from_slice(&store.get(&key)?.bytes).ok()
}
