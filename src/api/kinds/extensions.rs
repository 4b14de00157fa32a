//! Kinds of the groups `apiextensions.k8s.io` and `apiregistration.k8s.io`.

use super::{Generation, Kind};

pub(super) const CUSTOM_RESOURCE_DEFINITION: Kind = kind!(
    Cluster,
    "apiextensions.k8s.io" / "v1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    short: names!["crd", "crds"],
    categories: names!["api-extensions"],
    status: true,
    generation: Generation::Spec,
);

pub(super) const API_SERVICE: Kind = kind!(
    Cluster,
    "apiregistration.k8s.io" / "v1",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    "APIService",
    "apiservices",
    "apiservice",
    categories: names!["api-extensions"],
    status: true,
);
