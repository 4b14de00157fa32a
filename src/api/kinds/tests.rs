//! Tests over the whole table.

use super::*;
use std::collections::BTreeSet;

#[test]
fn names_are_unique_within_a_group_and_version() {
    let mut seen = BTreeSet::new();
    for kind in KINDS {
        for version in kind.versions() {
            let version = version.api_version();
            assert!(seen.insert((version.clone(), kind.plural.to_string())), "{version} {}", kind.plural);
            assert!(seen.insert((version.clone(), kind.kind.to_string())), "{version} {}", kind.kind);
        }
    }
}

#[test]
fn short_names_lead_to_one_resource() {
    let mut seen = BTreeSet::new();
    for name in KINDS.iter().flat_map(|kind| kind.short.iter()) {
        assert!(seen.insert(name), "{name} twice");
    }
}

#[test]
fn singular_is_the_kind_in_lower_case() {
    // What is measured has the names of what it is measured of.
    for kind in KINDS.iter().filter(|kind| kind.verbs.contains(&"create")) {
        assert_eq!(kind.singular, kind.kind.to_lowercase());
        assert_eq!(kind.plural, kind.plural.to_lowercase());
    }
}

#[test]
fn every_kind_is_found_in_every_version_it_is_served_in() {
    for kind in KINDS {
        for version in kind.versions() {
            let by_path = find(&version.group, &version.version, &kind.plural).unwrap();
            let by_name = find_kind(&version.group, &version.version, &kind.kind).unwrap();
            assert_eq!(by_path.schema, kind.schema);
            assert_eq!(by_name.schema, kind.schema);
        }
    }
    assert!(find("apps", "v1", "pods").is_none());
}

#[test]
fn verbs_and_subresources_are_in_the_order_of_names() {
    for kind in KINDS {
        assert!(kind.verbs.is_sorted(), "{}", kind.kind);
        let names: Vec<_> = kind.subresources().into_iter().map(|sub| sub.name).collect();
        assert!(names.is_sorted());
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", kind.kind);
    }
}

#[test]
fn pods_have_all_their_subresources() {
    let names: Vec<_> = find("", "v1", "pods").unwrap().subresources().into_iter().map(|sub| sub.name).collect();
    let wanted = [
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
        "status",
    ];
    assert_eq!(names, wanted);
}

/// An object of a kind with nothing but a name.
fn minimal(kind: &Kind) -> Object {
    let mut object = Object::default();
    object.set(&["apiVersion"], kind.stored.api_version());
    object.set(&["kind"], kind.kind.as_ref());
    object.set(&["metadata", "name"], "a");
    object.set(&["metadata", "creationTimestamp"], "2026-01-01T00:00:00Z");
    if kind.is_namespaced() {
        object.set(&["metadata", "namespace"], "default");
    }
    object
}

#[test]
fn defaults_are_the_same_the_second_time() {
    for kind in KINDS {
        let mut object = minimal(kind);
        (kind.rules.prepare_create)(&mut object);
        (kind.rules.default)(&mut object);
        let once = object.clone();
        (kind.rules.prepare_update)(&mut object, &once);
        (kind.rules.default)(&mut object);
        assert_eq!(object, once, "{}", kind.kind);
    }
}

#[test]
fn every_cell_of_an_empty_object_is_text_or_number() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    for kind in KINDS {
        for object in [minimal(kind), Object::default()] {
            for column in kind.columns.iter() {
                if let Cell::With(cell) = &column.cell {
                    let value = cell(&object, now);
                    assert!(!value.is_object() && !value.is_array(), "{} {}", kind.kind, column.name);
                }
            }
            (kind.rules.fields)(&object);
        }
    }
}

#[test]
fn conversions_of_an_empty_object_come_back() {
    for kind in KINDS {
        for served in kind.served.iter() {
            let mut object = minimal(kind);
            (served.from_stored)(&mut object);
            (served.to_stored)(&mut object);
            assert_eq!(object, minimal(kind), "{}", kind.kind);
        }
    }
}
