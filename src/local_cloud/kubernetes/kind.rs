//! The kinds of objects that a cluster's API serves, as discovery and paths name them. No object's meaning is here.

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    /// As paths name it.
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    /// As objects name it.
    pub(crate) name: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) subresources: &'static [&'static str],
}

impl Kind {
    /// `v1`, `batch/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, `jobs.batch`: what messages call it, and what its rows are kept by.
    pub(crate) fn id(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

macro_rules! kinds {
    ($($constant:ident: $group:literal $version:literal $plural:literal $singular:literal $name:literal $namespaced:literal
        $short:tt $categories:tt $subresources:tt;)*) => {
        $(pub(crate) static $constant: Kind = Kind {
            group: $group, version: $version, plural: $plural, singular: $singular, name: $name, namespaced: $namespaced,
            short: &$short, categories: &$categories, subresources: &$subresources,
        };)*
        /// Every kind.
        pub(crate) static ALL: &[&Kind] = &[$(&$constant),*];
    };
}

kinds! {
    NAMESPACES: "" "v1" "namespaces" "namespace" "Namespace" false ["ns"] [] ["status", "finalize"];
    NODES: "" "v1" "nodes" "node" "Node" false ["no"] [] ["status"];
    PODS: "" "v1" "pods" "pod" "Pod" true ["po"] ["all"] ["log", "status"];
    CONFIG_MAPS: "" "v1" "configmaps" "configmap" "ConfigMap" true ["cm"] [] [];
    SECRETS: "" "v1" "secrets" "secret" "Secret" true [] [] [];
    SERVICE_ACCOUNTS: "" "v1" "serviceaccounts" "serviceaccount" "ServiceAccount" true ["sa"] [] [];
    EVENTS: "" "v1" "events" "event" "Event" true ["ev"] [] [];
    JOBS: "batch" "v1" "jobs" "job" "Job" true [] ["all"] ["status"];
    ROLES: "rbac.authorization.k8s.io" "v1" "roles" "role" "Role" true [] [] [];
    ROLE_BINDINGS: "rbac.authorization.k8s.io" "v1" "rolebindings" "rolebinding" "RoleBinding" true [] [] [];
    CLUSTER_ROLES: "rbac.authorization.k8s.io" "v1" "clusterroles" "clusterrole" "ClusterRole" false [] [] [];
    CLUSTER_ROLE_BINDINGS: "rbac.authorization.k8s.io" "v1" "clusterrolebindings" "clusterrolebinding" "ClusterRoleBinding" false [] [] [];
}

/// The kind of a path.
pub(crate) fn of_path(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The kind that an object names.
pub(crate) fn of_object(api_version: &str, name: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|kind| kind.name == name && kind.api_version() == api_version)
}

/// The kind of an `id`.
pub(crate) fn of_id(id: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|kind| kind.id() == id)
}
