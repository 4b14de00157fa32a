//! Kinds that are asked and never stored: the groups `authentication.k8s.io` and `authorization.k8s.io`.

use super::{CREATE_ONLY, Kind, old};

pub(super) const SELF_SUBJECT_REVIEW: Kind = kind!(
    Cluster,
    "authentication.k8s.io" / "v1",
    "io.k8s.api.authentication",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "selfsubjectreview",
    served: old::SELF_SUBJECT_REVIEW,
    verbs: CREATE_ONLY,
);

pub(super) const TOKEN_REVIEW: Kind = kind!(
    Cluster,
    "authentication.k8s.io" / "v1",
    "io.k8s.api.authentication",
    "TokenReview",
    "tokenreviews",
    "tokenreview",
    served: old::TOKEN_REVIEW,
    verbs: CREATE_ONLY,
);

pub(super) const LOCAL_SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Namespaced,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "LocalSubjectAccessReview",
    "localsubjectaccessreviews",
    "localsubjectaccessreview",
    served: old::LOCAL_SUBJECT_ACCESS_REVIEW,
    verbs: CREATE_ONLY,
);

pub(super) const SELF_SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    served: old::SELF_SUBJECT_ACCESS_REVIEW,
    verbs: CREATE_ONLY,
);

pub(super) const SELF_SUBJECT_RULES_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    "selfsubjectrulesreview",
    served: old::SELF_SUBJECT_RULES_REVIEW,
    verbs: CREATE_ONLY,
);

pub(super) const SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SubjectAccessReview",
    "subjectaccessreviews",
    "subjectaccessreview",
    served: old::SUBJECT_ACCESS_REVIEW,
    verbs: CREATE_ONLY,
);
