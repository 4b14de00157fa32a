//! Kinds that are asked and never stored: the groups `authentication.k8s.io` and `authorization.k8s.io`.

use super::{CREATE_ONLY, Kind};

pub(super) const SELF_SUBJECT_REVIEW: Kind = kind!(
    Cluster,
    "authentication.k8s.io" / "v1",
    "io.k8s.api.authentication",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "selfsubjectreview",
    verbs: CREATE_ONLY,
);

pub(super) const TOKEN_REVIEW: Kind = kind!(
    Cluster,
    "authentication.k8s.io" / "v1",
    "io.k8s.api.authentication",
    "TokenReview",
    "tokenreviews",
    "tokenreview",
    verbs: CREATE_ONLY,
);

pub(super) const LOCAL_SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Namespaced,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "LocalSubjectAccessReview",
    "localsubjectaccessreviews",
    "localsubjectaccessreview",
    verbs: CREATE_ONLY,
);

pub(super) const SELF_SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    verbs: CREATE_ONLY,
);

pub(super) const SELF_SUBJECT_RULES_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    "selfsubjectrulesreview",
    verbs: CREATE_ONLY,
);

pub(super) const SUBJECT_ACCESS_REVIEW: Kind = kind!(
    Cluster,
    "authorization.k8s.io" / "v1",
    "io.k8s.api.authorization",
    "SubjectAccessReview",
    "subjectaccessreviews",
    "subjectaccessreview",
    verbs: CREATE_ONLY,
);
