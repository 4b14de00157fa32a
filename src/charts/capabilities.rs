//! `.Capabilities`: what the templates are told about the cluster.

use super::template::{Element, Failure, Method, Object, Type, Value};
use super::version::Version;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// The Helm whose behaviour this is; charts may ask for it.
pub const HELM_VERSION: &str = "v4.3.1";
/// The Kubernetes version that is assumed without a cluster.
pub const KUBE_VERSION: &str = "v1.37.0";

/// Group versions that are assumed without a cluster: those that Kubernetes' own client library knows, in its order.
const KNOWN: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// What is known about a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of Kubernetes.
    pub kube_version: KubeVersion,
    /// Group versions (`apps/v1`) and kinds in them (`apps/v1/Deployment`).
    pub api_versions: Vec<String>,
}

impl Default for Capabilities {
    /// What is assumed without a cluster.
    fn default() -> Self {
        let (version, minor) = (KUBE_VERSION.to_string(), KUBE_VERSION.split('.').nth(1).unwrap_or_default());
        let kube_version = KubeVersion { normal: version.clone(), version, major: "1".into(), minor: minor.into() };
        Self { kube_version, api_versions: KNOWN.iter().map(|name| (*name).to_string()).collect() }
    }
}

/// A version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeVersion {
    /// As the cluster says it: `v1.33.4-gke.1245000`.
    pub version: String,
    /// Without what providers add, with as many numbers as are given: `v1.33.4`.
    pub normal: String,
    /// `1`
    pub major: String,
    /// `33`
    pub minor: String,
}

impl KubeVersion {
    /// Reads a version as the user gives it: with or without `v`, with two numbers at least.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || format!("could not parse {text:?} as version");
        let rest = text.trim();
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let numbers: Vec<&str> = rest[..length].split('.').collect();
        if numbers.len() < 2 {
            return Err(problem());
        }
        let mut parsed = Vec::new();
        for number in numbers {
            if number.len() > 1 && number.starts_with('0') {
                return Err(format!("illegal zero-prefixed version component {number:?} in {text:?}"));
            }
            parsed.push(number.parse::<u64>().map_err(|_| problem())?);
        }
        let (major, minor) = (parsed[0].to_string(), parsed[1].to_string());
        let normal = parsed.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let version = if text.starts_with('v') { text.to_string() } else { format!("v{text}") };
        Ok(Self { version, normal: format!("v{normal}"), major, minor })
    }

    /// The version that constraints are held against.
    pub fn semantic(&self) -> Option<Version> {
        Version::parse(&self.normal).ok()
    }
}

/// The template's view of capabilities.
pub struct View(pub Arc<Capabilities>);

impl Object for View {
    fn type_name(&self) -> Cow<'static, str> {
        "*common.Capabilities".into()
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("KubeVersion", Value::Object(Rc::new(KubeVersionView(self.0.clone())))),
            ("APIVersions", Value::Object(Rc::new(ApiVersions(self.0.clone())))),
            ("HelmVersion", build_info("")),
        ]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct KubeVersionView(Arc<Capabilities>);

impl Object for KubeVersionView {
    fn type_name(&self) -> Cow<'static, str> {
        "common.KubeVersion".into()
    }

    fn methods(&self) -> &'static [Method] {
        &[
            Method { name: "String", parameters: &[], variadic: false },
            Method { name: "GitVersion", parameters: &[], variadic: false },
        ]
    }

    fn call(&self, name: &str, _arguments: &[Value]) -> Result<Value, Failure> {
        let version = &self.0.kube_version;
        Ok(if name == "String" { version.normal.as_str().into() } else { version.version.as_str().into() })
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let version = &self.0.kube_version;
        vec![
            ("Version", version.version.as_str().into()),
            ("Major", version.major.as_str().into()),
            ("Minor", version.minor.as_str().into()),
        ]
    }

    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.fields();
        fields.insert(1, ("normalizedVersion", self.0.kube_version.normal.as_str().into()));
        fields
    }

    // `String` is a method of the pointer only.
    fn text_in_place(&self) -> Option<String> {
        Some(self.0.kube_version.normal.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct ApiVersions(Arc<Capabilities>);

impl Object for ApiVersions {
    fn type_name(&self) -> Cow<'static, str> {
        "common.VersionSet".into()
    }

    fn kind(&self) -> &'static str {
        "slice"
    }

    fn methods(&self) -> &'static [Method] {
        &[Method { name: "Has", parameters: &[Type::Str], variadic: false }]
    }

    fn call(&self, _name: &str, arguments: &[Value]) -> Result<Value, Failure> {
        let Some(Value::Str(wanted)) = arguments.first() else { return Ok(false.into()) };
        Ok(self.0.api_versions.iter().any(|known| known.as_bytes() == wanted.as_bytes()).into())
    }

    fn underlying(&self) -> Option<Value> {
        let items = self.0.api_versions.iter().map(|name| name.as_str().into()).collect();
        Some(Value::list_of(Element::Str, items))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What `version` is a template over: the Helm whose behaviour this is, as built with a language.
pub fn build_info(language: &'static str) -> Value {
    Value::Object(Rc::new(HelmVersion(language)))
}

/// Helm's version, and the language that it is built with.
struct HelmVersion(&'static str);

impl Object for HelmVersion {
    fn type_name(&self) -> Cow<'static, str> {
        "version.BuildInfo".into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let minor = KUBE_VERSION.rsplit_once('.').map_or(KUBE_VERSION, |(version, _)| version);
        vec![
            ("Version", HELM_VERSION.into()),
            ("GitCommit", "".into()),
            ("GitTreeState", "clean".into()),
            ("GoVersion", self.0.into()),
            ("KubeClientVersion", minor.into()),
        ]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_versions_are_read_as_users_write_them() {
        let version = KubeVersion::parse("1.29").unwrap();
        assert_eq!((version.version.as_str(), version.normal.as_str()), ("v1.29", "v1.29"));
        let version = KubeVersion::parse("v1.33.4-gke.1245000").unwrap();
        assert_eq!((version.version.as_str(), version.normal.as_str()), ("v1.33.4-gke.1245000", "v1.33.4"));
        assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "33"));
        assert_eq!(KubeVersion::parse("abc").unwrap_err(), "could not parse \"abc\" as version");
        assert!(KubeVersion::parse("1").is_err());
    }
}
