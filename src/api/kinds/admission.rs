//! Kinds of the group `admissionregistration.k8s.io`.

use super::{Generation, Kind};

pub(super) const MUTATING_ADMISSION_POLICY: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingAdmissionPolicy",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicy",
    categories: names!["api-extensions"],
    generation: Generation::Spec,
);

pub(super) const MUTATING_ADMISSION_POLICY_BINDING: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
    "mutatingadmissionpolicybinding",
    categories: names!["api-extensions"],
    generation: Generation::Spec,
);

pub(super) const MUTATING_WEBHOOK_CONFIGURATION: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    "mutatingwebhookconfiguration",
    categories: names!["api-extensions"],
    generation: Generation::Body,
);

pub(super) const VALIDATING_ADMISSION_POLICY: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies",
    "validatingadmissionpolicy",
    categories: names!["api-extensions"],
    status: true,
    generation: Generation::Spec,
);

pub(super) const VALIDATING_ADMISSION_POLICY_BINDING: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicybinding",
    categories: names!["api-extensions"],
    generation: Generation::Spec,
);

pub(super) const VALIDATING_WEBHOOK_CONFIGURATION: Kind = kind!(
    Cluster,
    "admissionregistration.k8s.io" / "v1",
    "io.k8s.api.admissionregistration",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    "validatingwebhookconfiguration",
    categories: names!["api-extensions"],
    generation: Generation::Body,
);
