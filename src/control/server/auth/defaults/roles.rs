//! The roles that every cluster has, as a table.
//!
//! A rule is `VERBS GROUPS RESOURCES [NAMES]` or `VERBS url PATHS`, lists separated by commas. `core` is the core group, `read`
//! stands for `get,list,watch`, `write` for `create,delete,deletecollection,patch,update`.
//!
//! Source of the facts: plugin/pkg/auth/authorizer/rbac/bootstrappolicy (`policy.go`, `namespace_policy.go` and its testdata).

/// A role.
pub struct Role {
    pub name: &'static str,
    /// The role whose rules these become a part of (`admin`, `edit` or `view`); empty for none.
    pub part_of: &'static str,
    pub rules: &'static [&'static str],
}

const fn role(name: &'static str, rules: &'static [&'static str]) -> Role {
    Role { name, part_of: "", rules }
}

const fn part(part_of: &'static str, name: &'static str, rules: &'static [&'static str]) -> Role {
    Role { name, part_of, rules }
}

/// Whoever reports events has this rule.
pub const EVENTS: &str = "create,patch,update core,events.k8s.io events";

/// Roles whose rules are those of the roles that are a part of them.
pub const AGGREGATED: &[(&str, &str)] = &[("admin", ""), ("edit", "admin"), ("view", "edit")];

/// Roles of the cluster, but for those of controllers.
pub const CLUSTER: &[Role] = &[
    role("cluster-admin", &["* * *", "* url *"]),
    part(
        "admin",
        "system:aggregate-to-admin",
        &[
            "create authorization.k8s.io localsubjectaccessreviews",
            "read,write rbac.authorization.k8s.io rolebindings,roles",
        ],
    ),
    part(
        "edit",
        "system:aggregate-to-edit",
        &[
            "read core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy",
            "impersonate core serviceaccounts",
            "write core pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
            "create core pods/eviction",
            "write core configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
            "create core serviceaccounts/token",
            "write apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale",
            "write autoscaling horizontalpodautoscalers",
            "write batch cronjobs,jobs",
            "write extensions daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale",
            "write policy poddisruptionbudgets",
            "write networking.k8s.io ingresses,networkpolicies",
            "read,write coordination.k8s.io leases",
        ],
    ),
    part(
        "view",
        "system:aggregate-to-view",
        &[
            "read core configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status",
            "read core bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status",
            "read core namespaces",
            "read discovery.k8s.io endpointslices",
            "read apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status",
            "read autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status",
            "read batch cronjobs,cronjobs/status,jobs,jobs/status",
            "read extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale",
            "read policy poddisruptionbudgets,poddisruptionbudgets/status",
            "read networking.k8s.io ingresses,ingresses/status,networkpolicies",
        ],
    ),
    part("view", "system:aggregated-metrics-reader", &["get,list metrics.k8s.io nodes,pods"]),
    role(
        "system:auth-delegator",
        &["create authentication.k8s.io tokenreviews", "create authorization.k8s.io subjectaccessreviews"],
    ),
    role(
        "system:basic-user",
        &[
            "create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews",
            "create authentication.k8s.io selfsubjectreviews",
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["create certificates.k8s.io certificatesigningrequests/nodeclient"],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["create certificates.k8s.io certificatesigningrequests/selfnodeclient"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet"],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &["approve certificates.k8s.io signers kubernetes.io/kubelet-serving"],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &["approve certificates.k8s.io signers kubernetes.io/legacy-unknown"],
    ),
    role(
        "system:discovery",
        &["get url /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/"],
    ),
    role("system:heapster", &["read core events,namespaces,nodes,pods", "read extensions deployments"]),
    role("system:kube-aggregator", &["read core endpoints,services"]),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            "create coordination.k8s.io leases",
            "get,update coordination.k8s.io leases kube-controller-manager",
            "create core secrets,serviceaccounts",
            "delete core secrets",
            "get core configmaps,namespaces,secrets,serviceaccounts",
            "update core secrets,serviceaccounts",
            "create authentication.k8s.io tokenreviews",
            "create authorization.k8s.io subjectaccessreviews",
            "list,watch * *",
            "create core serviceaccounts/token",
        ],
    ),
    role("system:kube-dns", &["list,watch core endpoints,services"]),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            "create coordination.k8s.io leases",
            "get,list,update,watch coordination.k8s.io leases kube-scheduler",
            "read core nodes",
            "delete,get,list,watch core pods",
            "create core bindings,pods/binding",
            "patch,update core pods/status",
            "read core replicationcontrollers,services",
            "read apps,extensions replicasets",
            "read apps statefulsets",
            "read policy poddisruptionbudgets",
            "read core persistentvolumeclaims,persistentvolumes",
            "create authentication.k8s.io tokenreviews",
            "create authorization.k8s.io subjectaccessreviews",
            "read storage.k8s.io csinodes",
            "read core namespaces",
            "read storage.k8s.io csidrivers",
            "read storage.k8s.io csistoragecapacities",
            "read storage.k8s.io volumeattachments",
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            "read core nodes",
            "proxy core nodes",
            "* core nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats",
        ],
    ),
    role(
        "system:monitoring",
        &["get url /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*"],
    ),
    role("system:node", NODE),
    role("system:node-bootstrapper", &["create,get,list,watch certificates.k8s.io certificatesigningrequests"]),
    role("system:node-problem-detector", &["get core nodes", "patch core nodes/status", EVENTS]),
    // Host ports and policies: the network here does more than kube-proxy.
    role("coracle:network", &["list,watch core namespaces,pods", "list,watch networking.k8s.io networkpolicies"]),
    role(
        "system:node-proxier",
        &[
            "list,watch core endpoints,services",
            "read core nodes",
            EVENTS,
            "list,watch discovery.k8s.io endpointslices",
            "list,watch networking.k8s.io servicecidrs",
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            "create,delete,get,list,watch core persistentvolumes",
            "get,list,update,watch core persistentvolumeclaims",
            "read storage.k8s.io storageclasses",
            "watch core events",
            EVENTS,
        ],
    ),
    role("system:public-info-viewer", &["get url /healthz,/livez,/readyz,/version,/version/"]),
    role(
        "system:service-account-issuer-discovery",
        &[
            "get url /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/",
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            "get,list,patch,update,watch core persistentvolumes",
            "read storage.k8s.io storageclasses",
            "get,list,patch,update,watch core persistentvolumeclaims",
        ],
    ),
];

/// What a node may do; the node authorizer narrows some of it to the node itself.
pub const NODE: &[&str] = &[
    "create authentication.k8s.io tokenreviews",
    "create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews",
    "read core services",
    "create,get,list,watch core nodes",
    "patch,update core nodes/status",
    "patch,update core nodes",
    EVENTS,
    "read core pods",
    "create,delete core pods",
    "patch,update core pods/status",
    "create core pods/eviction",
    "read core configmaps,secrets",
    "get core persistentvolumeclaims,persistentvolumes",
    "get core endpoints",
    "create,get,list,watch certificates.k8s.io certificatesigningrequests",
    "create,delete,get,patch,update coordination.k8s.io leases",
    "get storage.k8s.io volumeattachments",
    "create core serviceaccounts/token",
    "get,patch,update core persistentvolumeclaims/status",
    "read storage.k8s.io csidrivers",
    "create,delete,get,patch,update storage.k8s.io csinodes",
    "read node.k8s.io runtimeclasses",
];

/// What this node agent reads beyond that: it keeps one cache per kind, and makes service rules and network policies too.
pub const NODE_READS: &[&str] = &[
    "read core endpoints,limitranges,namespaces,persistentvolumeclaims,persistentvolumes,serviceaccounts",
    "read discovery.k8s.io endpointslices",
    "read networking.k8s.io networkpolicies,servicecidrs,ipaddresses",
    "read scheduling.k8s.io priorityclasses",
    "read storage.k8s.io csinodes,storageclasses,volumeattachments",
    "get,list,watch coordination.k8s.io leases",
];

/// Roles of a namespace.
pub const NAMESPACED: &[(&str, Role)] = &[
    ("kube-public", role("system:controller:bootstrap-signer", BOOTSTRAP_SIGNER)),
    (
        "kube-system",
        role("extension-apiserver-authentication-reader", &["read core configmaps extension-apiserver-authentication"]),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-controller-manager",
            &["watch core configmaps", "get,update core configmaps kube-controller-manager"],
        ),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-scheduler",
            &["watch core configmaps", "get,update core configmaps kube-scheduler"],
        ),
    ),
    ("kube-system", role("system:controller:bootstrap-signer", &["read core secrets"])),
    ("kube-system", role("system:controller:cloud-provider", &["create,get,list,watch core configmaps"])),
    ("kube-system", role("system:controller:token-cleaner", &["delete,get,list,watch core secrets", EVENTS])),
];

const BOOTSTRAP_SIGNER: &[&str] = &["read core configmaps", "update core configmaps cluster-info", EVENTS];
