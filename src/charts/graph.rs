//! `chart graph`: what a chart makes, or what a release has on a cluster, drawn as SVG: objects by kind, lines from who
//! uses to what is used, thick ones from owners to what they own, and how far each object is.

use super::manifests::{Hook, Manifest};
use super::values::Value;
use super::{Rendered, decode};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Size of a box, and the space between boxes.
const BOX: (usize, usize) = (210, 46);
const GAP: (usize, usize) = (90, 18);
const MARGIN: usize = 30;
/// Columns of kinds, from what is met first to what is met last.
const COLUMNS: &[(&str, &[&str])] = &[
    ("Traffic", &["Ingress", "HTTPRoute", "Gateway", "IngressClass", "NetworkPolicy"]),
    ("Services", &["Service", "ServiceMonitor", "PodMonitor", "HorizontalPodAutoscaler", "PodDisruptionBudget"]),
    ("Workloads", &["Deployment", "StatefulSet", "DaemonSet", "CronJob", "ReplicationController"]),
    ("Replicas and jobs", &["ReplicaSet", "Job"]),
    ("Pods", &["Pod"]),
    ("Configuration", &["ConfigMap", "Secret", "PersistentVolumeClaim", "PersistentVolume", "StorageClass"]),
    ("Accounts", &["ServiceAccount", "RoleBinding", "ClusterRoleBinding", "Role", "ClusterRole"]),
    ("Other", &[]),
];
const COLORS: &[&str] = &["#7c3aed", "#2563eb", "#0f766e", "#0e7490", "#4d7c0f", "#b45309", "#be185d", "#475569"];
/// The same, faint: the ground of a box, which hides the lines behind it.
const TINTS: &[&str] = &["#f4effd", "#eef3fd", "#ecf4f4", "#ecf4f6", "#f1f5ec", "#f9f3ec", "#faedf4", "#f1f2f4"];

/// How far an object of a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    Underway,
    Bad,
    /// It is in the release and not on the cluster.
    Missing,
}

impl Health {
    fn color(self) -> &'static str {
        match self {
            Health::Good => "#16a34a",
            Health::Underway => "#d97706",
            Health::Bad => "#dc2626",
            Health::Missing => "#94a3b8",
        }
    }
}

/// An object of a cluster to draw.
#[derive(Clone, Debug)]
pub struct Live {
    /// As the cluster has it, or as it should be.
    pub object: Value,
    pub health: Health,
    /// Why it is so.
    pub message: String,
}

struct Node {
    kind: String,
    name: String,
    column: usize,
    is_hook: bool,
    object: Value,
    health: Option<(Health, String)>,
}

impl Node {
    fn new(kind: &str, name: &str, object: Value) -> Self {
        let column = COLUMNS.iter().position(|(_, kinds)| kinds.contains(&kind)).unwrap_or(COLUMNS.len() - 1);
        Self { kind: kind.into(), name: name.into(), column, is_hook: false, object, health: None }
    }
}

/// A picture of everything that was rendered.
pub fn svg(title: &str, rendered: &Rendered) -> String {
    picture(title, &nodes(&rendered.manifests, &rendered.hooks))
}

/// A picture of objects of a cluster.
pub fn svg_of_objects(title: &str, objects: Vec<Live>) -> String {
    let node = |live: Live| {
        let text = |pointer: &str| live.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        Node { health: Some((live.health, live.message)), ..Node::new(&kind, &name, live.object) }
    };
    picture(title, &objects.into_iter().map(node).collect::<Vec<_>>())
}

fn picture(title: &str, nodes: &[Node]) -> String {
    let mut rows = vec![0; COLUMNS.len()];
    let places: Vec<(usize, usize)> = nodes
        .iter()
        .map(|node| {
            let row = rows[node.column];
            rows[node.column] += 1;
            (node.column, row)
        })
        .collect();
    // Columns that are empty take no room.
    let used: Vec<usize> = (0..COLUMNS.len()).filter(|column| rows[*column] > 0).collect();
    let x = |column: usize| {
        let index = used.iter().position(|one| *one == column).unwrap_or(0);
        MARGIN + index * (BOX.0 + GAP.0)
    };
    let y = |row: usize| MARGIN + 60 + row * (BOX.1 + GAP.1);
    let width = MARGIN * 2 + used.len().max(1) * (BOX.0 + GAP.0) - GAP.0;
    let height = y(rows.iter().copied().max().unwrap_or(0)) + MARGIN;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#ffffff\"/>\n<text x=\"{MARGIN}\" y=\"32\" font-size=\"18\" font-weight=\"600\" \
         fill=\"#0f172a\">{title}</text>\n",
        title = escaped(title),
    );
    for column in &used {
        let (name, x, y) = (COLUMNS[*column].0, x(*column), MARGIN + 46);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"12\" fill=\"#64748b\">{name}</text>");
    }
    let owned = owned(nodes);
    let children: BTreeSet<usize> = owned.iter().map(|(_, child)| *child).collect();
    // Who uses an owner uses what it owns: one line says both.
    let uses: BTreeSet<(usize, usize)> =
        edges(nodes).into_iter().filter(|(from, to)| !children.contains(from) && !children.contains(to)).collect();
    let lines =
        uses.iter().map(|edge| (edge, "#94a3b8", "1.5")).chain(owned.iter().map(|edge| (edge, "#0f766e", "2.5")));
    for ((from, to), color, thickness) in lines.map(|((from, to), color, thickness)| ((*from, *to), color, thickness)) {
        let ((from_column, from_row), (to_column, to_row)) = (places[from], places[to]);
        let forward = x(to_column) > x(from_column);
        let start = (if forward { x(from_column) + BOX.0 } else { x(from_column) }, y(from_row) + BOX.1 / 2);
        let same = from_column == to_column;
        let end = (if forward || same { x(to_column) } else { x(to_column) + BOX.0 }, y(to_row) + BOX.1 / 2);
        let bend = if same { end.0.saturating_sub(GAP.0 / 2) } else { usize::midpoint(start.0, end.0) };
        let _ = writeln!(
            out,
            "<path d=\"M {} {} C {bend} {}, {bend} {}, {} {}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{thickness}\"/>",
            start.0, start.1, start.1, end.1, end.0, end.1
        );
    }
    for (node, (column, row)) in nodes.iter().zip(&places) {
        draw(&mut out, node, x(*column), y(*row));
    }
    out.push_str("</svg>\n");
    out
}

/// From owners to what they own, by places in the list.
fn owned(nodes: &[Node]) -> BTreeSet<(usize, usize)> {
    let uid = |node: &Node| node.object.pointer("/metadata/uid").and_then(Value::as_str).map(String::from);
    let by_uid: BTreeMap<String, usize> =
        nodes.iter().enumerate().filter_map(|(index, node)| Some((uid(node)?, index))).collect();
    let mut found = BTreeSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let owners = node.object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        for owner in owners.into_iter().flatten() {
            let owner = owner.get("uid").and_then(Value::as_str).and_then(|uid| by_uid.get(uid));
            found.extend(owner.map(|owner| (*owner, index)));
        }
    }
    found
}

fn draw(out: &mut String, node: &Node, x: usize, y: usize) {
    let (color, tint) = (COLORS[node.column], TINTS[node.column]);
    let told = match &node.health {
        Some((_, message)) if !message.is_empty() => format!(": {message}"),
        _ => String::new(),
    };
    let dashes = if node.is_hook { " stroke-dasharray=\"5 3\"" } else { "" };
    let kind = if node.is_hook { format!("{} (hook)", node.kind) } else { node.kind.clone() };
    let _ = writeln!(
        out,
        "<g><title>{kind} {name}{told}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{tint}\" \
         stroke=\"{color}\"{dashes}/><text x=\"{}\" y=\"{}\" font-size=\"11\" \
         fill=\"{color}\">{kind}</text><text x=\"{}\" y=\"{}\" font-size=\"13\" fill=\"#0f172a\">{short}</text></g>",
        BOX.0,
        BOX.1,
        x + 12,
        y + 18,
        x + 12,
        y + 35,
        kind = escaped(&kind),
        name = escaped(&node.name),
        short = escaped(&shortened(&node.name)),
        told = escaped(&told),
    );
    if let Some((health, _)) = &node.health {
        let (x, y, color) = (x + BOX.0 - 16, y + 16, health.color());
        let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{color}\"/>");
    }
}

fn shortened(name: &str) -> String {
    const LONGEST: usize = 27;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_string(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn nodes(manifests: &[Manifest], hooks: &[Hook]) -> Vec<Node> {
    let plain = manifests.iter().map(|one| (&one.kind, &one.name, &one.text, false));
    let hooks = hooks.iter().map(|one| (&one.kind, &one.name, &one.manifest, true));
    let all = plain.chain(hooks).filter(|(kind, ..)| !kind.is_empty());
    // It was read before; what could not be read has no lines.
    let read = |text: &str| decode::yaml(text).unwrap_or_default();
    all.map(|(kind, name, text, is_hook)| Node { is_hook, ..Node::new(kind, name, read(text)) }).collect()
}

/// Who uses what, by places in the list.
fn edges(nodes: &[Node]) -> BTreeSet<(usize, usize)> {
    let by_name: BTreeMap<(&str, &str), usize> =
        nodes.iter().enumerate().map(|(index, node)| ((node.kind.as_str(), node.name.as_str()), index)).collect();
    let mut edges = BTreeSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let mut named = Vec::new();
        references(&node.object, None, &mut named);
        for (kind, name) in &named {
            if let Some(target) = by_name.get(&(kind.as_str(), name.as_str()))
                && *target != index
            {
                edges.insert((index, *target));
            }
        }
        if matches!(node.kind.as_str(), "Service" | "PodDisruptionBudget" | "NetworkPolicy") {
            edges.extend(selected(node, nodes).map(|target| (index, target)));
        }
    }
    edges
}

/// Names of other objects in the fields where Kubernetes has them.
fn references(value: &Value, field: Option<&str>, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            let text = |key: &str| table.get(key).and_then(Value::as_str).map(String::from);
            let kind = match field {
                Some("configMap" | "configMapRef" | "configMapKeyRef") => Some("ConfigMap".to_string()),
                Some("secret" | "secretRef" | "secretKeyRef" | "imagePullSecrets") => Some("Secret".into()),
                Some("persistentVolumeClaim") => Some("PersistentVolumeClaim".into()),
                Some("service" | "backendRefs") => text("kind").or(Some("Service".into())),
                Some("scaleTargetRef" | "roleRef" | "subjects" | "parentRefs") => text("kind"),
                _ => None,
            };
            let name = ["name", "secretName", "claimName"].iter().find_map(|key| text(key));
            found.extend(kind.zip(name));
            for (key, inner) in table {
                match (key.as_str(), inner) {
                    ("serviceAccountName", Value::String(name)) => found.push(("ServiceAccount".into(), name.clone())),
                    ("secretName", Value::String(name)) => found.push(("Secret".into(), name.clone())),
                    ("serviceName", Value::String(name)) => found.push(("Service".into(), name.clone())),
                    _ => references(inner, Some(key), found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, field, found)),
        _ => {}
    }
}

/// Workloads whose pods have the labels that are selected.
fn selected<'a>(node: &Node, nodes: &'a [Node]) -> impl Iterator<Item = usize> + 'a {
    let pointers = ["/spec/selector/matchLabels", "/spec/podSelector/matchLabels", "/spec/selector"];
    let wanted = pointers.iter().find_map(|pointer| node.object.pointer(pointer)).and_then(Value::as_object).cloned();
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    nodes.iter().enumerate().filter_map(move |(index, other)| {
        let wanted = wanted.as_ref()?;
        let pointer = if other.kind == "Pod" { "/metadata/labels" } else { "/spec/template/metadata/labels" };
        let labels = other.object.pointer(pointer)?.as_object()?;
        wanted.iter().all(|(key, value)| labels.get(key) == Some(value)).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::manifests::{Printed, Sheet};

    #[test]
    fn objects_are_boxes_and_uses_are_lines() {
        let text = "kind: Service\nmetadata: {name: s}\nspec: {selector: {app: x}}\n---\nkind: Deployment\nmetadata: {name: d}\n\
                    spec:\n  template:\n    metadata: {labels: {app: x, y: z}}\n    spec:\n      serviceAccountName: a\n      \
                    volumes: [{configMap: {name: c}}]\n---\nkind: ConfigMap\nmetadata: {name: c}\n---\nkind: ServiceAccount\n\
                    metadata: {name: \"a\"}\n---\nkind: Odd<Kind>\nmetadata: {name: o}\n";
        let mut printed = Printed::default();
        printed.add("t/templates/a.yaml", Sheet::new("t/templates/a.yaml", text.into()));
        let (manifests, hooks) = super::super::manifests::sort(&mut printed, &mut Vec::new()).unwrap();
        let picture = svg("t", &Rendered { manifests, hooks, ..Rendered::default() });
        assert_eq!(picture.matches("<rect x=").count(), 5);
        assert_eq!(picture.matches("<path ").count(), 3);
        assert!(picture.contains("Odd&lt;Kind&gt;"));
    }

    #[test]
    fn owners_are_tied_to_what_they_own_and_states_are_dots() {
        let object = |text: &str| decode::yaml(text).unwrap();
        let live = |text: &str, health, message: &str| Live { object: object(text), health, message: message.into() };
        let picture = svg_of_objects(
            "web",
            vec![
                live("{kind: Service, metadata: {name: s}, spec: {selector: {app: x}}}", Health::Good, ""),
                live(
                    "{kind: Deployment, metadata: {name: d, uid: 1a}, spec: {template: {metadata: {labels: {app: x}}}}}",
                    Health::Underway,
                    "Available: 0/1",
                ),
                live(
                    "{kind: ReplicaSet, metadata: {name: r, uid: 2a, ownerReferences: [{uid: 1a}]}}",
                    Health::Good,
                    "",
                ),
                live(
                    "{kind: Pod, metadata: {name: p, uid: 3a, labels: {app: x}, ownerReferences: [{uid: 2a}]}}",
                    Health::Bad,
                    "ErrImagePull",
                ),
            ],
        );
        assert_eq!(picture.matches("stroke-width=\"2.5\"").count(), 2);
        assert_eq!(picture.matches("stroke-width=\"1.5\"").count(), 1, "the Service is tied to the Deployment only");
        assert_eq!(picture.matches("<circle ").count(), 4);
        assert!(picture.contains("<title>Pod p: ErrImagePull</title>"), "{picture}");
    }
}
