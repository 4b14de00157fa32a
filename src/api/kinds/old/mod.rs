//! Versions that Kubernetes served once and does not any more. Where the conversion loses nothing they are served here, with
//! the warning that Kubernetes gave, so manifests and clients of any age work.
//!
//! A kind's entry names its list; a list's line says since when the version was deprecated, when it went, and what is to be
//! used instead. Most differ from today's version in nothing but the name; the others have functions in the files below.
//! Their types are made by the build script (`src/api/build.rs`).
//!
//! Source: staging/src/k8s.io/api of Kubernetes 1.15 to 1.32 (`zz_generated.prerelease-lifecycle.go`, `conversion.go`,
//! `defaults.go`).

mod definition;
mod ingress;
mod simple;
mod workload;

use super::{Cow, GroupVersion, Served};
use crate::api::validate::certificates;

/// One old version of a kind.
macro_rules! old {
    ($group:literal / $version:literal, $schema:literal, $kind:literal, $since:literal, $until:literal, $now:literal) => {
        old!($group / $version, $schema, $kind, $since, $until, $now, |_| {}, |_| {})
    };
    (@allows $allows:expr) => { Some($allows) };
    (@allows) => { None };
    ($group:literal / $version:literal, $schema:literal, $kind:literal, $since:literal, $until:literal, $now:literal,
     $to_stored:expr, $from_stored:expr $(, allows $allows:expr)?) => {
        Served {
            version: GroupVersion { group: Cow::Borrowed($group), version: Cow::Borrowed($version) },
            schema: Cow::Borrowed(concat!("io.k8s.", $schema, ".", $version, ".", $kind)),
            to_stored: $to_stored,
            from_stored: $from_stored,
            warning: Cow::Borrowed(concat!(
                $group, "/", $version, " ", $kind, " is deprecated in v", $since, "+, unavailable in v", $until, "+; use ",
                $now, " ", $kind
            )),
            allows: old!(@allows $($allows)?),
        }
    };
}

/// The list of a kind's old versions.
macro_rules! list {
    ($name:ident: $($entry:expr),* $(,)?) => {
        pub(super) const $name: Cow<'static, [Served]> = Cow::Borrowed(&[$($entry),*]);
    };
}

list!(CONTROLLER_REVISION:
    old!("apps"/"v1beta2", "api.apps", "ControllerRevision", "1.9", "1.16", "apps/v1"),
    old!("apps"/"v1beta1", "api.apps", "ControllerRevision", "1.8", "1.16", "apps/v1"));
list!(DAEMON_SET:
    old!("apps"/"v1beta2", "api.apps", "DaemonSet", "1.9", "1.16", "apps/v1"),
    old!("extensions"/"v1beta1", "api.extensions", "DaemonSet", "1.8", "1.16", "apps/v1",
         workload::daemon_to_stored, workload::daemon_from_stored));
list!(DEPLOYMENT:
    old!("apps"/"v1beta2", "api.apps", "Deployment", "1.9", "1.16", "apps/v1"),
    old!("apps"/"v1beta1", "api.apps", "Deployment", "1.8", "1.16", "apps/v1",
         workload::deployment_to_stored, workload::deployment_from_stored),
    old!("extensions"/"v1beta1", "api.extensions", "Deployment", "1.8", "1.16", "apps/v1",
         workload::first_deployment_to_stored, workload::deployment_from_stored));
list!(REPLICA_SET:
    old!("apps"/"v1beta2", "api.apps", "ReplicaSet", "1.9", "1.16", "apps/v1"),
    old!("extensions"/"v1beta1", "api.extensions", "ReplicaSet", "1.8", "1.16", "apps/v1",
         workload::select_by_template, |_| {}));
list!(STATEFUL_SET:
    old!("apps"/"v1beta2", "api.apps", "StatefulSet", "1.9", "1.16", "apps/v1"),
    old!("apps"/"v1beta1", "api.apps", "StatefulSet", "1.8", "1.16", "apps/v1", workload::stateful_to_stored, |_| {}));
list!(CRON_JOB: old!("batch"/"v1beta1", "api.batch", "CronJob", "1.21", "1.25", "batch/v1"));
list!(POD_DISRUPTION_BUDGET:
    old!("policy"/"v1beta1", "api.policy", "PodDisruptionBudget", "1.21", "1.25", "policy/v1",
         simple::budget_to_stored, simple::budget_from_stored));
list!(INGRESS:
    old!("networking.k8s.io"/"v1beta1", "api.networking", "Ingress", "1.19", "1.22", "networking.k8s.io/v1",
         ingress::to_stored, ingress::from_stored),
    old!("extensions"/"v1beta1", "api.extensions", "Ingress", "1.14", "1.22", "networking.k8s.io/v1",
         ingress::to_stored, ingress::from_stored));
list!(INGRESS_CLASS:
    old!("networking.k8s.io"/"v1beta1", "api.networking", "IngressClass", "1.19", "1.22", "networking.k8s.io/v1"));
list!(NETWORK_POLICY:
    old!("extensions"/"v1beta1", "api.extensions", "NetworkPolicy", "1.9", "1.16", "networking.k8s.io/v1"));
list!(CLUSTER_ROLE:
    old!("rbac.authorization.k8s.io"/"v1beta1", "api.rbac", "ClusterRole", "1.17", "1.22", "rbac.authorization.k8s.io/v1"));
list!(CLUSTER_ROLE_BINDING:
    old!("rbac.authorization.k8s.io"/"v1beta1", "api.rbac", "ClusterRoleBinding", "1.17", "1.22",
         "rbac.authorization.k8s.io/v1"));
list!(ROLE:
    old!("rbac.authorization.k8s.io"/"v1beta1", "api.rbac", "Role", "1.17", "1.22", "rbac.authorization.k8s.io/v1"));
list!(ROLE_BINDING:
    old!("rbac.authorization.k8s.io"/"v1beta1", "api.rbac", "RoleBinding", "1.17", "1.22",
         "rbac.authorization.k8s.io/v1"));
list!(CSI_DRIVER: old!("storage.k8s.io"/"v1beta1", "api.storage", "CSIDriver", "1.19", "1.22", "storage.k8s.io/v1"));
list!(CSI_NODE: old!("storage.k8s.io"/"v1beta1", "api.storage", "CSINode", "1.17", "1.22", "storage.k8s.io/v1"));
list!(CSI_STORAGE_CAPACITY:
    old!("storage.k8s.io"/"v1beta1", "api.storage", "CSIStorageCapacity", "1.24", "1.27", "storage.k8s.io/v1"));
list!(STORAGE_CLASS:
    old!("storage.k8s.io"/"v1beta1", "api.storage", "StorageClass", "1.6", "1.22", "storage.k8s.io/v1"));
list!(VOLUME_ATTACHMENT:
    old!("storage.k8s.io"/"v1beta1", "api.storage", "VolumeAttachment", "1.13", "1.22", "storage.k8s.io/v1"));
list!(VOLUME_ATTRIBUTES_CLASS:
    old!("storage.k8s.io"/"v1beta1", "api.storage", "VolumeAttributesClass", "1.34", "1.37", "storage.k8s.io/v1"));
list!(LEASE:
    old!("coordination.k8s.io"/"v1beta1", "api.coordination", "Lease", "1.14", "1.22", "coordination.k8s.io/v1"));
list!(ENDPOINT_SLICE:
    old!("discovery.k8s.io"/"v1beta1", "api.discovery", "EndpointSlice", "1.21", "1.25", "discovery.k8s.io/v1",
         simple::slice_to_stored, simple::slice_from_stored));
list!(PRIORITY_CLASS:
    old!("scheduling.k8s.io"/"v1beta1", "api.scheduling", "PriorityClass", "1.14", "1.22", "scheduling.k8s.io/v1"));
list!(RUNTIME_CLASS: old!("node.k8s.io"/"v1beta1", "api.node", "RuntimeClass", "1.22", "1.25", "node.k8s.io/v1"));
list!(FLOW_SCHEMA:
    old!("flowcontrol.apiserver.k8s.io"/"v1beta3", "api.flowcontrol", "FlowSchema", "1.29", "1.32",
         "flowcontrol.apiserver.k8s.io/v1"));
list!(PRIORITY_LEVEL_CONFIGURATION:
    old!("flowcontrol.apiserver.k8s.io"/"v1beta3", "api.flowcontrol", "PriorityLevelConfiguration", "1.29", "1.32",
         "flowcontrol.apiserver.k8s.io/v1"));
list!(CERTIFICATE_SIGNING_REQUEST:
    old!("certificates.k8s.io"/"v1beta1", "api.certificates", "CertificateSigningRequest", "1.19", "1.22",
         "certificates.k8s.io/v1", simple::request_to_stored, |_| {}, allows certificates::is_legacy));
list!(MUTATING_WEBHOOK_CONFIGURATION:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "MutatingWebhookConfiguration", "1.16",
         "1.22", "admissionregistration.k8s.io/v1", simple::webhooks_to_stored, |_| {}, allows simple::may_have_side_effects));
list!(VALIDATING_WEBHOOK_CONFIGURATION:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "ValidatingWebhookConfiguration", "1.16",
         "1.22", "admissionregistration.k8s.io/v1", simple::webhooks_to_stored, |_| {}, allows simple::may_have_side_effects));
list!(MUTATING_ADMISSION_POLICY:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "MutatingAdmissionPolicy", "1.37", "1.40",
         "admissionregistration.k8s.io/v1"));
list!(MUTATING_ADMISSION_POLICY_BINDING:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "MutatingAdmissionPolicyBinding", "1.37",
         "1.40", "admissionregistration.k8s.io/v1"));
list!(VALIDATING_ADMISSION_POLICY:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "ValidatingAdmissionPolicy", "1.31", "1.34",
         "admissionregistration.k8s.io/v1"));
list!(VALIDATING_ADMISSION_POLICY_BINDING:
    old!("admissionregistration.k8s.io"/"v1beta1", "api.admissionregistration", "ValidatingAdmissionPolicyBinding", "1.31",
         "1.34", "admissionregistration.k8s.io/v1"));
list!(CUSTOM_RESOURCE_DEFINITION:
    old!("apiextensions.k8s.io"/"v1beta1", "apiextensions-apiserver.pkg.apis.apiextensions", "CustomResourceDefinition",
         "1.16", "1.22", "apiextensions.k8s.io/v1", definition::to_stored, definition::from_stored));
list!(API_SERVICE:
    old!("apiregistration.k8s.io"/"v1beta1", "kube-aggregator.pkg.apis.apiregistration", "APIService", "1.19", "1.22",
         "apiregistration.k8s.io/v1"));
list!(SELF_SUBJECT_REVIEW:
    old!("authentication.k8s.io"/"v1beta1", "api.authentication", "SelfSubjectReview", "1.30", "1.33",
         "authentication.k8s.io/v1"),
    old!("authentication.k8s.io"/"v1alpha1", "api.authentication", "SelfSubjectReview", "1.29", "1.32",
         "authentication.k8s.io/v1"));
list!(TOKEN_REVIEW:
    old!("authentication.k8s.io"/"v1beta1", "api.authentication", "TokenReview", "1.19", "1.22",
         "authentication.k8s.io/v1"));
list!(LOCAL_SUBJECT_ACCESS_REVIEW:
    old!("authorization.k8s.io"/"v1beta1", "api.authorization", "LocalSubjectAccessReview", "1.19", "1.22",
         "authorization.k8s.io/v1", simple::review_to_stored, simple::review_from_stored));
list!(SELF_SUBJECT_ACCESS_REVIEW:
    old!("authorization.k8s.io"/"v1beta1", "api.authorization", "SelfSubjectAccessReview", "1.19", "1.22",
         "authorization.k8s.io/v1"));
list!(SELF_SUBJECT_RULES_REVIEW:
    old!("authorization.k8s.io"/"v1beta1", "api.authorization", "SelfSubjectRulesReview", "1.19", "1.22",
         "authorization.k8s.io/v1"));
list!(SUBJECT_ACCESS_REVIEW:
    old!("authorization.k8s.io"/"v1beta1", "api.authorization", "SubjectAccessReview", "1.19", "1.22",
         "authorization.k8s.io/v1", simple::review_to_stored, simple::review_from_stored));

#[cfg(test)]
mod tests;
