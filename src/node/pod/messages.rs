//! What a container leaves behind: its termination message, its log, its folder.

use super::parts;
use crate::node::context::Node;
use crate::node::volumes;
use crate::runtime::{Container, State};
use k8s_openapi::api::core::v1::Pod;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest termination message (kubelet: MaxContainerTerminationMessageLength).
const LONGEST: u64 = 4096;
/// Of a log that stands in for a message: bytes and lines.
const LONGEST_LOG: u64 = 2048;
const LINES: usize = 80;

/// The file on the node that a container's `terminationMessagePath` is.
pub fn file(node: &Node, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
    node.pod_folder(parts::uid(pod)).join("containers").join(container).join(format!("termination-{attempt}"))
}

/// The pod's folder of logs.
pub fn log_folder(node: &Node, pod: &Pod) -> PathBuf {
    node.paths.pod_logs().join(format!("{}_{}_{}", parts::namespace(pod), parts::name(pod), parts::uid(pod)))
}

/// What an ended container said: its message file, or the end of its log where the policy says so.
pub fn of(node: &Node, pod: &Pod, container: &Container) -> String {
    let spec = &container.spec;
    let message = tail(&file(node, pod, &spec.name, spec.attempt), LONGEST).unwrap_or_default();
    let failed = matches!(container.state, State::Exited { exit_code, .. } if exit_code != 0);
    let fallback = parts::container(pod, &spec.name)
        .is_some_and(|(_, one)| one.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"));
    if !message.is_empty() || !failed || !fallback {
        return String::from_utf8_lossy(&message).into_owned();
    }
    let log = tail(&log_folder(node, pod).join(&spec.log_path), 4 * LONGEST_LOG).unwrap_or_default();
    let lines = String::from_utf8_lossy(&log).into_owned();
    let text: String = lines.lines().filter_map(content).collect();
    last(&text)
}

/// The text of a line in CRI's format: `TIME STREAM TAG TEXT`.
fn content(line: &str) -> Option<String> {
    let mut words = line.splitn(4, ' ');
    let (tag, text) = (words.nth(2)?, words.next()?);
    Some(if tag == "P" { text.to_string() } else { format!("{text}\n") })
}

fn last(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let text = lines[lines.len().saturating_sub(LINES)..].concat();
    let mut from = text.len().saturating_sub(LONGEST_LOG as usize);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_string()
}

fn tail(path: &Path, bytes: u64) -> Option<Vec<u8>> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes))).ok()?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Removes an attempt that nobody asks for any more.
pub async fn remove_container(node: Arc<Node>, pod: Arc<Pod>, container: Container) {
    if let Err(error) = node.runtime.remove_container(&container.id).await {
        tracing::warn!(%error, container = container.id, "container not removed");
        return;
    }
    // Both may never have been written.
    remove_logs(&log_folder(&node, &pod).join(&container.spec.log_path));
    std::fs::remove_file(file(&node, &pod, &container.spec.name, container.spec.attempt)).ok();
}

/// The log and what was put aside when it grew.
fn remove_logs(log: &Path) {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { return };
    let name = name.to_string_lossy();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(name.as_ref()) {
            // One that stays goes with the pod.
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

/// Removes what is left of a pod: sandboxes with their containers, logs, its folder.
pub async fn remove_pod(node: Arc<Node>, pod: Arc<Pod>, sandboxes: Vec<String>) {
    for id in &sandboxes {
        if let Err(error) = node.runtime.remove_sandbox(id).await {
            tracing::warn!(%error, sandbox = id, "sandbox not removed");
        }
    }
    for folder in [log_folder(&node, &pod), node.pod_folder(parts::uid(&pod))] {
        if let Err(error) = volumes::remove_unmounted(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "folder not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stands_in_for_a_message_without_its_prefixes() {
        let line = "2026-11-24T00:00:00.000000000Z stdout F cannot start";
        assert_eq!(content(line).unwrap(), "cannot start\n");
        let long = "x".repeat(5000);
        assert_eq!(last(&long).len(), 2048);
        assert_eq!(last(&"line\n".repeat(100)).lines().count(), 80);
    }
}
