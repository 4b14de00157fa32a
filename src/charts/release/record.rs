//! What Helm remembers of a release, in Helm's own JSON, and how it is packed.
//!
//! Source: helm/helm `pkg/release/v1`, `pkg/chart/v2/chart.go`, `pkg/storage/driver/util.go`.

use super::time::{self, Time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};

/// What a packed release begins with when it is compressed.
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// What a release may have when it is unpacked, bytes: a Secret holds 1 MiB, which text compresses into tenfold.
const LARGEST: u64 = 256 << 20;

/// One revision of a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub info: Info,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// What the user said beyond the chart's own values.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Labels of the object that holds the record, Helm's own among them once it was read.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
    /// `ssa` or `csa`; empty in releases of Helm 3, which means `csa`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply_method: String,
}

/// Where a release stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Info {
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub first_deployed: Option<Time>,
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub last_deployed: Option<Time>,
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Time>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default)]
    pub status: Status,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rollback_revision: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Objects of the cluster by `version/kind`: only `status` fills it, it is not stored.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Vec<Value>>,
}

/// The state of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Whether somebody works on it, or died doing so.
    pub fn is_pending(self) -> bool {
        matches!(self, Status::PendingInstall | Status::PendingUpgrade | Status::PendingRollback)
    }

    /// The word that Helm stores and prints.
    pub fn word(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Deployed => "deployed",
            Status::Uninstalled => "uninstalled",
            Status::Superseded => "superseded",
            Status::Failed => "failed",
            Status::Uninstalling => "uninstalling",
            Status::PendingInstall => "pending-install",
            Status::PendingUpgrade => "pending-upgrade",
            Status::PendingRollback => "pending-rollback",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Writes what `Chart.yaml` says in the order in which Helm does, unless somebody's Helm knows more fields.
fn in_order<S: serde::Serializer>(metadata: &Value, to: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_value::<crate::charts::chart::Metadata>(metadata.clone()) {
        Ok(known) if serde_json::to_value(&known).is_ok_and(|again| again == *metadata) => known.serialize(to),
        _ => metadata.serialize(to),
    }
}

/// The chart of a release, without its dependencies, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// `Chart.yaml`.
    #[serde(serialize_with = "in_order")]
    pub metadata: Value,
    #[serde(default)]
    pub lock: Value,
    #[serde(default)]
    pub templates: Option<Vec<File>>,
    #[serde(default)]
    pub values: Value,
    /// Base64 of `values.schema.json`.
    #[serde(default)]
    pub schema: Option<String>,
    #[serde(default = "zero_time")]
    pub schemamodtime: String,
    #[serde(default)]
    pub files: Option<Vec<File>>,
}

fn zero_time() -> String {
    "0001-01-01T00:00:00Z".into()
}

impl Chart {
    fn text(&self, field: &str) -> &str {
        self.metadata.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// The chart's version.
    pub fn version(&self) -> &str {
        self.text("version")
    }

    /// The version of what the chart installs.
    pub fn app_version(&self) -> &str {
        self.text("appVersion")
    }
}

/// A file of a chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub name: String,
    /// Base64: nobody reads it but Helm, so it stays as it is.
    #[serde(default, deserialize_with = "or_default")]
    pub data: String,
}

impl File {
    /// A file of its bytes.
    pub fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self { name: name.into(), data: STANDARD.encode(bytes) }
    }
}

/// An object that is made at a certain moment of a release's life, and is none of its objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The template that it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// For example `pre-install`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub last_run: Run,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight: i64,
    /// For example `hook-succeeded`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub output_log_policies: Vec<String>,
}

/// How a hook ran last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// `Unknown`, `Running`, `Succeeded`, `Failed`, or nothing before the first run.
    #[serde(default)]
    pub phase: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Labels that Helm gives the object of a record itself.
pub const SYSTEM_LABELS: [&str; 6] = ["name", "owner", "status", "version", "createdAt", "modifiedAt"];

impl Release {
    /// `sh.helm.release.v1.NAME.vN`.
    pub fn key(&self) -> String {
        key(&self.name, self.version)
    }

    /// Sets status and description together.
    pub fn set_status(&mut self, status: Status, description: impl Into<String>) {
        self.info.status = status;
        self.info.description = description.into();
    }

    /// The labels that users gave the release.
    pub fn user_labels(&self) -> BTreeMap<String, String> {
        let is_own = |key: &&String| !SYSTEM_LABELS.contains(&key.as_str());
        self.labels.iter().filter(|(key, _)| is_own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether its objects were made by server-side apply.
    pub fn is_server_side(&self) -> bool {
        self.apply_method == "ssa"
    }

    /// `NAME-VERSION` of the chart.
    pub fn chart_label(&self) -> String {
        self.chart.as_ref().map_or("MISSING".into(), |chart| format!("{}-{}", chart.name(), chart.version()))
    }

    /// The chart's `appVersion`.
    pub fn app_version(&self) -> &str {
        self.chart.as_ref().map_or("MISSING", Chart::app_version)
    }

    /// When it was deployed last.
    pub fn deployed_at(&self) -> Option<Time> {
        self.info.last_deployed
    }
}

/// The name of the object that holds a revision.
pub fn key(name: &str, version: i64) -> String {
    format!("sh.helm.release.v1.{name}.v{version}")
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("illegal base64 data at input byte {}", place(.0))]
    Base64(#[from] base64::DecodeError),
    #[error("{0}")]
    Gzip(#[from] std::io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Where the first letter is that does not belong there.
fn place(error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(place, _) | base64::DecodeError::InvalidLastSymbol(place, _) => *place,
        base64::DecodeError::InvalidLength(length) => *length,
        base64::DecodeError::InvalidPadding => 0,
    }
}

/// The text that is stored: base64 of the compressed JSON.
pub fn encode(release: &Release) -> Result<String, Broken> {
    let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
    serde_json::to_writer(std::io::BufWriter::with_capacity(1 << 16, &mut compressed), release)?;
    compressed.flush()?;
    Ok(STANDARD.encode(compressed.finish()?))
}

/// The release in a stored text.
pub fn decode(text: &[u8]) -> Result<Release, Broken> {
    let bytes = STANDARD.decode(text)?;
    if bytes.len() <= 3 || !bytes.starts_with(GZIP) {
        return Ok(serde_json::from_slice(&bytes)?);
    }
    let mut json = Vec::with_capacity(bytes.len() * 6);
    GzDecoder::new(&bytes[..]).take(LARGEST).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A record as Go writes one: field order, nulls, zero times and escapes as `encoding/json` has them.
    const GO: &str = concat!(
        r#"{"name":"web","info":{"first_deployed":"2024-03-01T10:00:00.123456789+01:00","last_deployed":"2024-03-01T10:00:00.5+01:00","#,
        r#""deleted":"","description":"Install complete","status":"deployed","notes":"a \u003c b \u0026 c"},"#,
        r#""chart":{"metadata":{"name":"site","version":"1.2.3","apiVersion":"v2","appVersion":"9"},"lock":null,"#,
        r#""templates":[{"name":"templates/a.yaml","data":"YTogMQo="}],"values":{"replicas":2,"big":1e+06},"schema":null,"#,
        r#""schemamodtime":"0001-01-01T00:00:00Z","files":null},"config":{"replicas":3},"manifest":"---\n# Source: site/templates/a.yaml\na: 1\n","#,
        r#""hooks":[{"name":"h","kind":"Job","path":"site/templates/h.yaml","manifest":"kind: Job","events":["pre-install"],"#,
        r#""last_run":{"started_at":"","completed_at":"","phase":""},"weight":-5,"delete_policies":["before-hook-creation"]}],"#,
        r#""version":1,"namespace":"default","apply_method":"ssa"}"#
    );

    fn packed(json: &str) -> String {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        compressed.write_all(json.as_bytes()).unwrap();
        STANDARD.encode(compressed.finish().unwrap())
    }

    #[test]
    fn a_record_of_helm_is_read_and_written_back_with_the_same_meaning() {
        let release = decode(packed(GO).as_bytes()).unwrap();
        assert_eq!((release.name.as_str(), release.version), ("web", 1));
        assert_eq!(release.info.status, Status::Deployed);
        assert_eq!(release.info.deleted, None);
        assert_eq!(release.info.notes, "a < b & c");
        assert_eq!(release.chart_label(), "site-1.2.3");
        assert_eq!(release.hooks[0].weight, -5);
        assert_eq!(release.hooks[0].last_run.started_at, None);
        let again = encode(&release).unwrap();
        assert_eq!(decode(again.as_bytes()).unwrap(), release);
        let mut wanted: Value = serde_json::from_str(GO).unwrap();
        wanted["info"].as_object_mut().unwrap().remove("deleted");
        wanted["hooks"][0]["last_run"] = json!({"phase": ""});
        assert_eq!(serde_json::to_value(&release).unwrap(), wanted);
    }

    #[test]
    fn a_record_that_is_not_compressed_is_read_too() {
        assert_eq!(decode(STANDARD.encode(GO).as_bytes()).unwrap().namespace, "default");
    }

    #[test]
    fn what_is_stored_is_compressed_and_inflates_to_json() {
        let bytes = STANDARD.decode(encode(&decode(packed(GO).as_bytes()).unwrap()).unwrap()).unwrap();
        assert!(bytes.starts_with(GZIP));
        let mut json = String::new();
        GzDecoder::new(&bytes[..]).read_to_string(&mut json).unwrap();
        assert!(
            json.starts_with(r#"{"name":"web","info":{"first_deployed":"2024-03-01T10:00:00.123456789+01:00","#),
            "{json}"
        );
    }

    #[test]
    fn nulls_are_as_good_as_nothing() {
        let json = r#"{"name":"x","info":null,"chart":null,"config":null,"hooks":null,"version":2}"#;
        let release = decode(STANDARD.encode(json).as_bytes()).unwrap();
        assert_eq!(
            (release.info.status, release.version, release.chart_label().as_str()),
            (Status::Unknown, 2, "MISSING")
        );
    }

    #[test]
    fn a_text_that_is_no_record_is_refused() {
        for text in ["%%%", "YTogMQo=", ""] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_of_the_system_are_no_labels_of_the_user() {
        let labels = [("owner", "helm"), ("team", "a"), ("modifiedAt", "1")];
        let labels = labels.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let release = Release { labels, ..Release::default() };
        assert_eq!(release.user_labels().into_keys().collect::<Vec<_>>(), ["team"]);
    }
}
