//! Objects whose version was or will be withdrawn from Kubernetes: since when, until when, and what is in its place.
//!
//! Source: the life cycle annotations of Kubernetes' own types (v1.37), as `helm lint` tells them.

/// One deprecated kind of one group version; numbers are Kubernetes' minor versions.
pub struct Deprecated {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub since: u32,
    pub until: Option<u32>,
    pub instead: Option<&'static str>,
}

/// What is said about an object of a cluster of a minor version, if it is deprecated there.
pub fn warning(api_version: &str, kind: &str, minor: u32) -> Option<String> {
    let row = DEPRECATED.iter().find(|row| row.api_version == api_version && row.kind == kind)?;
    if minor < row.since {
        return None;
    }
    let mut text = format!("{api_version} {kind} is deprecated in v1.{}+", row.since);
    if let Some(until) = row.until {
        text.push_str(&format!(", unavailable in v1.{until}+"));
    }
    if let Some(instead) = row.instead {
        text.push_str(&format!("; use {instead}"));
    }
    Some(text)
}

const fn row(
    api_version: &'static str,
    kind: &'static str,
    since: u32,
    until: Option<u32>,
    instead: Option<&'static str>,
) -> Deprecated {
    Deprecated { api_version, kind, since, until, instead }
}

#[rustfmt::skip]
const DEPRECATED: &[Deprecated] = &[
    row("admissionregistration.k8s.io/v1alpha1", "MutatingAdmissionPolicy", 35, Some(38), None),
    row("admissionregistration.k8s.io/v1alpha1", "MutatingAdmissionPolicyBinding", 35, Some(38), None),
    row("admissionregistration.k8s.io/v1alpha1", "ValidatingAdmissionPolicy", 29, Some(32), None),
    row("admissionregistration.k8s.io/v1alpha1", "ValidatingAdmissionPolicyBinding", 29, Some(32), None),
    row("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy", 37, Some(40), Some("admissionregistration.k8s.io/v1 MutatingAdmissionPolicy")),
    row("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicyBinding", 37, Some(40), Some("admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding")),
    row("admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", 16, Some(22), Some("admissionregistration.k8s.io/v1 MutatingWebhookConfiguration")),
    row("admissionregistration.k8s.io/v1beta1", "ValidatingAdmissionPolicy", 31, Some(34), None),
    row("admissionregistration.k8s.io/v1beta1", "ValidatingAdmissionPolicyBinding", 31, Some(34), None),
    row("admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration", 16, Some(22), Some("admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration")),
    row("apps/v1beta1", "ControllerRevision", 8, Some(16), Some("apps/v1 ControllerRevision")),
    row("apps/v1beta1", "Deployment", 8, Some(16), Some("apps/v1 Deployment")),
    row("apps/v1beta1", "Scale", 8, Some(16), Some("autoscaling/v1 Scale")),
    row("apps/v1beta1", "StatefulSet", 8, Some(16), Some("apps/v1 StatefulSet")),
    row("apps/v1beta2", "ControllerRevision", 9, Some(16), Some("apps/v1 ControllerRevision")),
    row("apps/v1beta2", "DaemonSet", 9, Some(16), Some("apps/v1 DaemonSet")),
    row("apps/v1beta2", "Deployment", 9, Some(16), Some("apps/v1 Deployment")),
    row("apps/v1beta2", "ReplicaSet", 9, Some(16), Some("apps/v1 ReplicaSet")),
    row("apps/v1beta2", "Scale", 9, Some(16), Some("autoscaling/v1 Scale")),
    row("apps/v1beta2", "StatefulSet", 9, Some(16), Some("apps/v1 StatefulSet")),
    row("authentication.k8s.io/v1alpha1", "SelfSubjectReview", 29, Some(32), None),
    row("authentication.k8s.io/v1beta1", "SelfSubjectReview", 30, Some(33), None),
    row("authentication.k8s.io/v1beta1", "TokenReview", 19, Some(22), Some("authentication.k8s.io/v1 TokenReview")),
    row("authorization.k8s.io/v1beta1", "LocalSubjectAccessReview", 19, Some(22), Some("authorization.k8s.io/v1 LocalSubjectAccessReview")),
    row("authorization.k8s.io/v1beta1", "SelfSubjectAccessReview", 19, Some(22), Some("authorization.k8s.io/v1 SelfSubjectAccessReview")),
    row("authorization.k8s.io/v1beta1", "SelfSubjectRulesReview", 19, Some(22), Some("authorization.k8s.io/v1 SelfSubjectRulesReview")),
    row("authorization.k8s.io/v1beta1", "SubjectAccessReview", 19, Some(22), Some("authorization.k8s.io/v1 SubjectAccessReview")),
    row("batch/v1beta1", "CronJob", 21, Some(25), Some("batch/v1 CronJob")),
    row("certificates.k8s.io/v1alpha1", "ClusterTrustBundle", 34, Some(37), None),
    row("certificates.k8s.io/v1beta1", "CertificateSigningRequest", 19, Some(22), Some("certificates.k8s.io/v1 CertificateSigningRequest")),
    row("certificates.k8s.io/v1beta1", "ClusterTrustBundle", 37, Some(40), Some("certificates.k8s.io/v1 ClusterTrustBundle")),
    row("certificates.k8s.io/v1beta1", "PodCertificateRequest", 37, Some(40), Some("certificates.k8s.io/v1 PodCertificateRequest")),
    row("coordination.k8s.io/v1alpha2", "LeaseCandidate", 35, Some(38), None),
    row("coordination.k8s.io/v1beta1", "Lease", 19, Some(22), Some("coordination.k8s.io/v1 Lease")),
    row("coordination.k8s.io/v1beta1", "LeaseCandidate", 36, Some(39), None),
    row("discovery.k8s.io/v1beta1", "EndpointSlice", 21, Some(25), Some("discovery.k8s.io/v1 EndpointSlice")),
    row("events.k8s.io/v1beta1", "Event", 22, Some(25), None),
    row("extensions/v1beta1", "DaemonSet", 8, Some(16), Some("apps/v1 DaemonSet")),
    row("extensions/v1beta1", "Deployment", 8, Some(16), Some("apps/v1 Deployment")),
    row("extensions/v1beta1", "Ingress", 14, Some(22), Some("networking.k8s.io/v1 Ingress")),
    row("extensions/v1beta1", "NetworkPolicy", 9, Some(16), Some("networking.k8s.io/v1 NetworkPolicy")),
    row("extensions/v1beta1", "ReplicaSet", 8, Some(16), Some("apps/v1 ReplicaSet")),
    row("extensions/v1beta1", "Scale", 2, Some(16), None),
    row("flowcontrol.apiserver.k8s.io/v1beta1", "FlowSchema", 23, Some(26), Some("flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema")),
    row("flowcontrol.apiserver.k8s.io/v1beta1", "PriorityLevelConfiguration", 23, Some(26), Some("flowcontrol.apiserver.k8s.io/v1beta3 PriorityLevelConfiguration")),
    row("flowcontrol.apiserver.k8s.io/v1beta2", "FlowSchema", 26, Some(29), Some("flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema")),
    row("flowcontrol.apiserver.k8s.io/v1beta2", "PriorityLevelConfiguration", 26, Some(29), Some("flowcontrol.apiserver.k8s.io/v1beta3 PriorityLevelConfiguration")),
    row("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", 29, Some(32), Some("flowcontrol.apiserver.k8s.io/v1 FlowSchema")),
    row("flowcontrol.apiserver.k8s.io/v1beta3", "PriorityLevelConfiguration", 29, Some(32), Some("flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration")),
    row("networking.k8s.io/v1beta1", "IPAddress", 34, Some(37), None),
    row("networking.k8s.io/v1beta1", "Ingress", 19, Some(22), Some("networking.k8s.io/v1 Ingress")),
    row("networking.k8s.io/v1beta1", "IngressClass", 19, Some(22), Some("networking.k8s.io/v1 IngressClassList")),
    row("networking.k8s.io/v1beta1", "ServiceCIDR", 34, Some(37), None),
    row("node.k8s.io/v1beta1", "RuntimeClass", 22, Some(25), None),
    row("policy/v1beta1", "Eviction", 22, Some(25), None),
    row("policy/v1beta1", "PodDisruptionBudget", 21, Some(25), Some("policy/v1 PodDisruptionBudget")),
    row("rbac.authorization.k8s.io/v1beta1", "ClusterRole", 17, Some(22), Some("rbac.authorization.k8s.io/v1 ClusterRole")),
    row("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding", 17, Some(22), Some("rbac.authorization.k8s.io/v1 ClusterRoleBinding")),
    row("rbac.authorization.k8s.io/v1beta1", "Role", 17, Some(22), Some("rbac.authorization.k8s.io/v1 Role")),
    row("rbac.authorization.k8s.io/v1beta1", "RoleBinding", 17, Some(22), Some("rbac.authorization.k8s.io/v1 RoleBinding")),
    row("resource.k8s.io/v1alpha3", "DeviceTaintRule", 36, Some(39), None),
    row("resource.k8s.io/v1beta1", "DeviceClass", 35, Some(38), None),
    row("resource.k8s.io/v1beta1", "ResourceClaim", 35, Some(38), None),
    row("resource.k8s.io/v1beta1", "ResourceClaimTemplate", 35, Some(38), None),
    row("resource.k8s.io/v1beta1", "ResourceSlice", 35, Some(38), None),
    row("resource.k8s.io/v1beta2", "DeviceClass", 36, Some(39), None),
    row("resource.k8s.io/v1beta2", "DeviceTaintRule", 39, Some(42), None),
    row("resource.k8s.io/v1beta2", "ResourceClaim", 36, Some(39), None),
    row("resource.k8s.io/v1beta2", "ResourceClaimTemplate", 36, Some(39), None),
    row("resource.k8s.io/v1beta2", "ResourceSlice", 36, Some(39), None),
    row("scheduling.k8s.io/v1beta1", "PriorityClass", 14, Some(22), Some("scheduling.k8s.io/v1 PriorityClass")),
    row("scheduling.k8s.io/v1beta1", "Workload", 40, Some(43), None),
    row("storage.k8s.io/v1alpha1", "CSIStorageCapacity", 21, Some(24), Some("storage.k8s.io/v1beta1 CSIStorageCapacity")),
    row("storage.k8s.io/v1alpha1", "VolumeAttachment", 21, Some(24), Some("storage.k8s.io/v1 VolumeAttachment")),
    row("storage.k8s.io/v1alpha1", "VolumeAttributesClass", 32, Some(35), Some("storage.k8s.io/v1 VolumeAttributesClass")),
    row("storage.k8s.io/v1beta1", "CSIDriver", 19, Some(22), Some("storage.k8s.io/v1 CSIDriver")),
    row("storage.k8s.io/v1beta1", "CSINode", 17, Some(22), Some("storage.k8s.io/v1 CSINode")),
    row("storage.k8s.io/v1beta1", "CSIStorageCapacity", 24, Some(27), Some("storage.k8s.io/v1 CSIStorageCapacity")),
    row("storage.k8s.io/v1beta1", "StorageClass", 19, Some(22), Some("storage.k8s.io/v1 StorageClass")),
    row("storage.k8s.io/v1beta1", "VolumeAttachment", 19, Some(22), Some("storage.k8s.io/v1 VolumeAttachment")),
    row("storage.k8s.io/v1beta1", "VolumeAttributesClass", 34, Some(37), Some("storage.k8s.io/v1 VolumeAttributesClass")),
    row("storagemigration.k8s.io/v1beta1", "StorageVersionMigration", 37, Some(40), Some("storagemigration.k8s.io/v1 StorageVersionMigration")),
    row("v1", "ComponentStatus", 19, None, None),
    row("v1", "Endpoints", 33, None, Some("discovery.k8s.io/v1 EndpointSlice")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_deprecated_from_its_version_on() {
        assert_eq!(warning("policy/v1beta1", "PodDisruptionBudget", 20), None);
        assert_eq!(
            warning("policy/v1beta1", "PodDisruptionBudget", 21).unwrap(),
            "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 PodDisruptionBudget"
        );
        assert_eq!(warning("apps/v1", "Deployment", 99), None);
    }
}
