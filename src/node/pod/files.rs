//! Files that the node gives every container: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname` and the termination message.
//!
//! Source: kubelet `pkg/kubelet/kubelet_pods.go` (ensureHostsFile), `pkg/kubelet/network/dns/dns.go`.

use super::start::Start;
use super::{messages, parts, sandbox};
use crate::node::context::Node;
use crate::runtime::{Mount, Propagation};
use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfig};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const HOSTS: &str = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";
const HOSTS_OF_NODE: &str = "# Kubernetes-managed hosts file (host network).\n";
/// Where a container writes why it ended, if it does not say.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Writes the files of the container and says where they are to be seen. `taken` are the paths of its own volumes.
pub fn mounts(start: &Start, taken: &[&str]) -> Result<Vec<Mount>, String> {
    write(start, taken).map_err(|error| format!("cannot write the container's files: {error}"))
}

fn write(start: &Start, taken: &[&str]) -> io::Result<Vec<Mount>> {
    let (node, pod) = (&start.node, &start.pod);
    let folder = node.pod_folder(parts::uid(pod));
    std::fs::create_dir_all(&folder)?;
    let read_only =
        start.container.security_context.as_ref().and_then(|own| own.read_only_root_filesystem) == Some(true);
    let address = start.addresses.first().copied();
    let etc = [
        ("/etc/hosts", "etc-hosts", hosts(node, pod, address), false),
        ("/etc/resolv.conf", "etc-resolv.conf", resolv_conf(node, pod), read_only),
        ("/etc/hostname", "etc-hostname", sandbox::hostname(node, pod) + "\n", read_only),
    ];
    let mut mounts = Vec::new();
    for (path, name, text, read_only) in etc {
        if taken.contains(&path) {
            continue;
        }
        let file = folder.join(name);
        replace(&file, &text)?;
        mounts.push(mount(path, file, read_only));
    }
    let message = messages::file(node, pod, &start.container.name, start.attempt);
    if let Some(parent) = message.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&message, "")?;
    // Whoever the container runs as may write it.
    std::fs::set_permissions(&message, PermissionsExt::from_mode(0o666))?;
    let path = start.container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    mounts.push(mount(path.unwrap_or(TERMINATION_LOG), message, false));
    Ok(mounts)
}

/// Containers that run have the file mounted: it is written in place, and only when it differs.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    match std::fs::read(file) {
        Ok(known) if known == text.as_bytes() => Ok(()),
        _ => {
            std::fs::write(file, text)?;
            std::fs::set_permissions(file, PermissionsExt::from_mode(0o644))
        }
    }
}

fn mount(path: &str, file: PathBuf, read_only: bool) -> Mount {
    Mount {
        container_path: path.to_string(),
        host_path: file,
        read_only,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

fn hosts(node: &Node, pod: &Pod, address: Option<IpAddr>) -> String {
    let mut text = String::new();
    if parts::host_network(pod) {
        text += HOSTS_OF_NODE;
        // A node without the file has no names to give.
        text += &std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    } else {
        text += HOSTS;
        let short = sandbox::short_hostname(pod);
        match (address, sandbox::domain(node, pod)) {
            (Some(address), Some(domain)) => text += &format!("{address}\t{short}.{domain}\t{short}\n"),
            (Some(address), None) => text += &format!("{address}\t{}\n", sandbox::hostname(node, pod)),
            (None, _) => {}
        }
    }
    text + &aliases(parts::spec(pod).host_aliases.as_deref().unwrap_or_default())
}

fn aliases(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let line = |alias: &HostAlias| {
        format!("{}\t{}\n", alias.ip, alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t"))
    };
    format!("\n# Entries added by HostAliases.\n{}", aliases.iter().map(line).collect::<String>())
}

/// What a resolver is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

fn resolv_conf(node: &Node, pod: &Pod) -> String {
    let spec = parts::spec(pod);
    let of_node = || Resolver::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let mut resolver = match (spec.dns_policy.as_deref(), parts::host_network(pod)) {
        (Some("None"), _) => Resolver::default(),
        (Some("Default"), _) | (Some("ClusterFirst") | None, true) => of_node(),
        _ => Resolver::of_cluster(node, parts::namespace(pod), of_node().searches),
    };
    if let Some(config) = &spec.dns_config {
        resolver.merge(config);
    }
    resolver.text()
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(String::from);
            match words.next().as_deref() {
                Some("nameserver") => resolver.servers.extend(words.next()),
                Some("search" | "domain") => resolver.searches = words.collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        resolver
    }

    fn of_cluster(node: &Node, namespace: &str, more: Vec<String>) -> Self {
        let network = &node.profile.network;
        let domain = &network.domain;
        let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        searches.extend(more.into_iter().filter(|one| one != "."));
        Self {
            servers: vec![network.dns_address.to_string()],
            searches: distinct(searches),
            options: vec!["ndots:5".into()],
        }
    }

    fn merge(&mut self, config: &PodDNSConfig) {
        self.servers.extend(config.nameservers.iter().flatten().cloned());
        self.searches.extend(config.searches.iter().flatten().cloned());
        self.servers = distinct(std::mem::take(&mut self.servers));
        self.searches = distinct(std::mem::take(&mut self.searches));
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            self.options.retain(|known| known.split(':').next() != Some(&name));
            self.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name,
            });
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text += &format!("search {}\n", self.searches.join(" "));
        }
        self.servers.iter().for_each(|server| text += &format!("nameserver {server}\n"));
        if !self.options.is_empty() {
            text += &format!("options {}\n", self.options.join(" "));
        }
        text
    }
}

fn distinct(list: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in list {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fake::{FakeApi, FakeRuntime, node, pod};
    use serde_json::json;

    #[tokio::test]
    async fn names_are_looked_for_in_the_cluster_first() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let first = resolv_conf(&node, &pod(json!({"containers": []})));
        assert!(first.starts_with("search default.svc.cluster.local svc.cluster.local cluster.local"), "{first}");
        assert!(first.contains("nameserver 10.96.0.10\n") && first.ends_with("options ndots:5\n"), "{first}");
        let own = resolv_conf(
            &node,
            &pod(json!({"containers": [], "dnsPolicy": "None", "dnsConfig":
            {"nameservers": ["1.1.1.1", "1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}})),
        );
        assert_eq!(own, "search a.b\nnameserver 1.1.1.1\noptions ndots:2 edns0\n");
    }

    #[tokio::test]
    async fn the_hosts_file_has_the_pod_and_its_aliases() {
        let (node, _folder) = node(&FakeApi::default(), &FakeRuntime::default());
        let address = Some("10.244.0.7".parse().unwrap());
        let pod = pod(json!({"containers": [], "hostname": "h", "subdomain": "s",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let text = hosts(&node, &pod, address);
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.contains("10.244.0.7\th.s.default.svc.cluster.local\th\n"), "{text}");
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
    }

    #[test]
    fn options_of_the_pod_replace_those_of_the_node() {
        let mut resolver = Resolver::parse("nameserver 1.1.1.1\nsearch a b\noptions ndots:5 rotate\n");
        let config = json!({"options": [{"name": "ndots", "value": "1"}]});
        resolver.merge(&serde_json::from_value(config).unwrap());
        assert_eq!(resolver.options, ["rotate", "ndots:1"]);
        assert_eq!(resolver.text(), "search a b\nnameserver 1.1.1.1\noptions rotate ndots:1\n");
    }
}
