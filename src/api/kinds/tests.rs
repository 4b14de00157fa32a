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
    for kind in KINDS {
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
