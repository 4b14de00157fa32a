//! Every setting of a cluster, as a table: flags, the cluster file, `config set`, the export and the difference between two
//! states are made from it.

use super::Profile;
use super::profile::ADMISSION;
use super::shortage::{self, Shortage};
use super::values::{self, Mount, Port};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Live,
    /// When the node starts the next time.
    Restart,
    /// Only a new cluster can have it.
    New,
}

/// Writes a value into a profile, or says what is wrong with it.
pub enum Set {
    One(fn(&mut Profile, &str) -> Result<(), String>),
    List(fn(&mut Profile, &[String]) -> Result<(), String>),
}

/// One setting. Its value is a list of texts, of one text when it is no list.
pub struct Setting {
    /// Its name, that of minikube's flag where there is one.
    pub key: &'static str,
    pub effect: Effect,
    set: Set,
    /// The value that a profile has; nothing where it is as usual.
    pub get: fn(&Profile) -> Vec<String>,
}

impl Setting {
    /// Whether it can have several values.
    pub fn is_list(&self) -> bool {
        matches!(self.set, Set::List(_))
    }

    /// Writes a value into a profile, or says what is wrong with it.
    pub fn put(&self, profile: &mut Profile, value: &[String]) -> Result<(), String> {
        match (&self.set, value) {
            (Set::List(set), value) => set(profile, value),
            (Set::One(set), [value]) => set(profile, value),
            (Set::One(_), _) => Err("takes one value".into()),
        }
    }
}

/// The setting of that name.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The name of a setting that looks most like `key`, if any looks like it at all.
pub fn closest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = names.map(|name| (distance(key, name), name)).min();
    // Of a short word, few letters make another one.
    let most = 3.min(key.chars().count() / 2);
    nearest.filter(|(distance, _)| *distance <= most).map(|(_, name)| name)
}

/// How many letters have to change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The table.
pub static SETTINGS: &[Setting] = &[
    Setting {
        key: "driver",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            // What minikube calls the driver that uses the machine itself.
            profile.driver = if value == "none" { "native".into() } else { value.into() };
            Ok(())
        }),
        get: |profile| vec![profile.driver.clone()],
    },
    Setting {
        key: "cpus",
        effect: Effect::Live,
        set: Set::One(|profile, value| {
            profile.cpus = values::cpus(value)?;
            Ok(())
        }),
        get: |profile| profile.cpus.map(values::cpus_text).into_iter().collect(),
    },
    Setting {
        key: "memory",
        effect: Effect::Live,
        set: Set::One(|profile, value| {
            profile.memory = values::memory(value)?;
            Ok(())
        }),
        get: |profile| profile.memory.map(values::memory_text).into_iter().collect(),
    },
    Setting {
        key: "subnet",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            subnet(profile, value)?;
            Ok(())
        }),
        get: |_| Vec::new(),
    },
    Setting {
        key: "static-ip",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            static_ip(profile, value)?;
            Ok(())
        }),
        get: |profile| vec![profile.network.node_address.to_string()],
    },
    Setting {
        key: "dns-domain",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            profile.network.domain = domain(value)?;
            Ok(())
        }),
        get: |profile| vec![profile.network.domain.clone()],
    },
    Setting {
        key: "service-cluster-ip-range",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            service_range(profile, value)?;
            Ok(())
        }),
        get: |profile| vec![profile.network.service_cidr.clone()],
    },
    Setting {
        key: "pod-network-cidr",
        effect: Effect::New,
        set: Set::One(|profile, value| {
            profile.network.pod_cidr = range(value, 24)?.1;
            Ok(())
        }),
        get: |profile| vec![profile.network.pod_cidr.clone()],
    },
    Setting {
        key: "apiserver-port",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.api_port = port(value)?;
            Ok(())
        }),
        get: |profile| unusual(&profile.api_port.to_string(), "8443"),
    },
    Setting {
        key: "apiserver-names",
        effect: Effect::Restart,
        set: Set::List(|profile, value| {
            profile.api_names = value.to_vec();
            Ok(())
        }),
        get: |profile| profile.api_names.clone(),
    },
    Setting {
        key: "max-pods",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.max_pods = value.parse().map_err(|_| format!("`{value}` is no number of pods"))?;
            Ok(())
        }),
        get: |profile| unusual(&profile.max_pods.to_string(), "250"),
    },
    Setting {
        key: "allowed-unsafe-sysctls",
        effect: Effect::Restart,
        set: Set::List(|profile, value| {
            profile.unsafe_sysctls = value.iter().flat_map(|list| list.split(',')).map(String::from).collect();
            let wrong = profile.unsafe_sysctls.iter().find(|name| !is_namespaced(name));
            wrong.map_or(Ok(()), |name| Err(format!("`{name}` is no kernel parameter that a pod has for itself")))
        }),
        get: |profile| profile.unsafe_sysctls.clone(),
    },
    Setting {
        key: "eviction-hard",
        effect: Effect::Restart,
        set: Set::One(|profile, value| shorten(profile, |own| own.hard = Some(value.into()))),
        get: |profile| profile.shortage.hard.iter().cloned().collect(),
    },
    Setting {
        key: "eviction-soft",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            // Checked with the grace periods, which may come after it.
            profile.shortage.soft = Some(value.into());
            Ok(())
        }),
        get: |profile| profile.shortage.soft.iter().cloned().collect(),
    },
    Setting {
        key: "eviction-soft-grace-period",
        effect: Effect::Restart,
        set: Set::One(|profile, value| shorten(profile, |own| own.soft_grace = Some(value.into()))),
        get: |profile| profile.shortage.soft_grace.iter().cloned().collect(),
    },
    Setting {
        key: "image-gc-high-threshold",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.shortage.images_high = Some(shortage::percent(value)?);
            Ok(())
        }),
        get: |profile| profile.shortage.images_high.iter().map(u8::to_string).collect(),
    },
    Setting {
        key: "image-gc-low-threshold",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.shortage.images_low = Some(shortage::percent(value)?);
            Ok(())
        }),
        get: |profile| profile.shortage.images_low.iter().map(u8::to_string).collect(),
    },
    Setting {
        key: "service-node-port-range",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.network.node_ports = node_ports(value)?;
            Ok(())
        }),
        get: |profile| {
            let (first, last) = profile.network.node_ports;
            unusual(&format!("{first}-{last}"), "30000-32767")
        },
    },
    Setting {
        key: "no-kubernetes",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.kubernetes = !value.parse::<bool>().map_err(|_| format!("`{value}` is neither true nor false"))?;
            Ok(())
        }),
        get: |profile| unusual(&(!profile.kubernetes).to_string(), "false"),
    },
    Setting {
        key: "enable-admission-plugins",
        effect: Effect::Restart,
        set: Set::List(|profile, value| {
            profile.admission.enabled = plugins(value)?;
            Ok(())
        }),
        get: |profile| profile.admission.enabled.clone(),
    },
    Setting {
        key: "disable-admission-plugins",
        effect: Effect::Restart,
        set: Set::List(|profile, value| {
            profile.admission.disabled = plugins(value)?;
            Ok(())
        }),
        get: |profile| profile.admission.disabled.clone(),
    },
    Setting {
        key: "cert-expiration",
        effect: Effect::Restart,
        set: Set::One(|profile, value| {
            profile.certificate_seconds = Some(expiration(value)?);
            Ok(())
        }),
        get: |profile| {
            let text = |seconds| values::duration_text(Duration::from_secs(seconds));
            profile.certificate_seconds.map(text).into_iter().collect()
        },
    },
    Setting {
        key: "listen-address",
        effect: Effect::Live,
        set: Set::One(|profile, value| {
            profile.listen_address = Some(address(value)?);
            Ok(())
        }),
        get: |profile| profile.listen_address.map(|address| address.to_string()).into_iter().collect(),
    },
    Setting {
        key: "ports",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.ports = distinct(parsed::<Port>(value)?)?;
            Ok(())
        }),
        get: |profile| texts(&profile.ports),
    },
    Setting {
        key: "names-port",
        effect: Effect::Live,
        set: Set::One(|profile, value| {
            profile.names_port = if value == "0" { None } else { Some(port(value)?) };
            Ok(())
        }),
        get: |profile| profile.names_port.map(|port| port.to_string()).into_iter().collect(),
    },
    Setting {
        key: "disabled-addons",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.disabled_addons = value.to_vec();
            Ok(())
        }),
        get: |profile| profile.disabled_addons.clone(),
    },
    Setting {
        key: "mounts",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.mounts = parsed::<Mount>(value)?;
            Ok(())
        }),
        get: |profile| texts(&profile.mounts),
    },
    Setting {
        key: "addons",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.addons = value.to_vec();
            Ok(())
        }),
        get: |profile| profile.addons.clone(),
    },
    Setting {
        key: "docker-env",
        effect: Effect::Restart,
        set: Set::List(|profile, value| {
            profile.environment = variables(value)?;
            Ok(())
        }),
        get: |profile| profile.environment.clone(),
    },
    Setting {
        key: "images",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.images = value.to_vec();
            Ok(())
        }),
        get: |profile| profile.images.clone(),
    },
    Setting {
        key: "manifests",
        effect: Effect::Live,
        set: Set::List(|profile, value| {
            profile.manifests = value.to_vec();
            Ok(())
        }),
        get: |profile| profile.manifests.clone(),
    },
];

/// Whether a name, or a beginning with `*`, is of kernel parameters that namespaces have.
/// Source: kubelet `pkg/kubelet/sysctl/allowlist.go`.
fn is_namespaced(name: &str) -> bool {
    ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net."].iter().any(|group| name.starts_with(group))
}

/// Names of admission plugins, which may stand in one text with commas between.
fn plugins(value: &[String]) -> Result<Vec<String>, String> {
    let names = value.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let known = |name: &str| ADMISSION.iter().any(|(known, _)| *known == name);
    let check = |name: &str| match known(name) {
        true => Ok(name.to_string()),
        false => {
            let all: Vec<&str> = ADMISSION.iter().map(|(known, _)| *known).collect();
            Err(format!("there is no admission plugin `{name}`; there are {}", all.join(", ")))
        }
    };
    names.map(check).collect()
}

/// A value that is left out where it is the usual one.
fn unusual(value: &str, usual: &str) -> Vec<String> {
    if value == usual { Vec::new() } else { vec![value.into()] }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn parsed<T: std::str::FromStr<Err = String>>(values: &[String]) -> Result<Vec<T>, String> {
    values.iter().map(|value| value.parse()).collect()
}

/// Ports of which no two listen at the same place.
fn distinct(ports: Vec<Port>) -> Result<Vec<Port>, String> {
    let place = |port: &Port| (port.address, port.host, port.protocol);
    let twice = ports.iter().enumerate().find(|(at, port)| ports[..*at].iter().any(|one| place(one) == place(port)));
    match twice {
        Some((_, port)) => Err(format!("port {} of this machine is named twice", port.host)),
        None => Ok(ports),
    }
}

fn variables(values: &[String]) -> Result<Vec<String>, String> {
    let is_variable =
        |text: &str| text.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains(' '));
    match values.iter().find(|text| !is_variable(text)) {
        None => Ok(values.to_vec()),
        Some(text) => Err(format!("`{text}` is no variable: NAME=VALUE")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("`{text}` is no port"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address"))
}

fn node_ports(text: &str) -> Result<(u16, u16), String> {
    let ends = text.split_once('-').and_then(|(first, last)| Some((port(first).ok()?, port(last).ok()?)));
    ends.filter(|(first, last)| first <= last).ok_or_else(|| format!("`{text}` is no range of ports: 30000-32767"))
}

/// Seconds that a certificate is valid at least: it is made anew when a third of them is left.
const SHORTEST: u64 = 20;

fn expiration(text: &str) -> Result<u64, String> {
    match values::duration(text)?.as_secs() {
        seconds @ 0..SHORTEST => Err(format!("`{seconds}s` is too short: {SHORTEST} s at least")),
        seconds => Ok(seconds),
    }
}

fn domain(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let letters = label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.split('.').all(is_label) { Ok(text.into()) } else { Err(format!("`{text}` is no DNS domain")) }
}

/// The first address of an IPv4 range and the range as it is written in full.
fn range(text: &str, longest: u8) -> Result<(Ipv4Addr, String), String> {
    let wrong = || format!("`{text}` is no range of IPv4 addresses of /8 to /{longest}");
    let (base, length) = text.split_once('/').unwrap_or((text, "24"));
    let (base, length): (Ipv4Addr, u8) = (base.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?);
    if !(8..=longest).contains(&length) {
        return Err(wrong());
    }
    let first = Ipv4Addr::from(u32::from(base) & (u32::MAX << (32 - length)));
    Ok((first, format!("{first}/{length}")))
}

/// The network of the link to the node: this machine is its first address, the node its second, load balancers have its upper
/// half.
fn subnet(profile: &mut Profile, text: &str) -> Result<(), String> {
    let (first, full) = range(text, 28)?;
    let length: u8 = full.rsplit_once('/').and_then(|(_, length)| length.parse().ok()).unwrap_or(24);
    let last = Ipv4Addr::from(u32::from(first) | !(u32::MAX << (32 - length)));
    if !first.is_private() || !last.is_private() {
        return Err(format!("`{text}` is no private network: one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"));
    }
    let at = |offset: u32| IpAddr::V4(Ipv4Addr::from(u32::from(first) + offset));
    let network = &mut profile.network;
    (network.host_address, network.node_address, network.prefix) = (at(1), at(2), length);
    network.load_balancer_cidr = format!("{}/{}", at(1 << (31 - length)), length + 1);
    Ok(())
}

/// As minikube has it: private, IPv4, and its last number between 2 and 254. The network around it is a /24.
fn static_ip(profile: &mut Profile, text: &str) -> Result<(), String> {
    let wrong = || format!("`{text}` must be a private IPv4 address whose last number is 2 to 254");
    let address: Ipv4Addr = text.parse().map_err(|_| wrong())?;
    let [a, b, c, last] = address.octets();
    if !address.is_private() || !(2..=254).contains(&last) {
        return Err(wrong());
    }
    subnet(profile, &format!("{a}.{b}.{c}.0/24"))?;
    profile.network.node_address = IpAddr::V4(address);
    if last >= 128 {
        profile.network.load_balancer_cidr = format!("{a}.{b}.{c}.64/26");
    }
    Ok(())
}

fn service_range(profile: &mut Profile, text: &str) -> Result<(), String> {
    let (first, full) = range(text, 24)?;
    let at = |offset: u32| IpAddr::V4(Ipv4Addr::from(u32::from(first) + offset));
    let network = &mut profile.network;
    (network.service_cidr, network.api_service_address, network.dns_address) = (full, at(1), at(10));
    Ok(())
}

/// Changes when the node is short of something, if what comes out can be.
fn shorten(profile: &mut Profile, change: impl FnOnce(&mut Shortage)) -> Result<(), String> {
    let mut wanted = profile.shortage.clone();
    change(&mut wanted);
    Shortage { soft: wanted.soft.clone().filter(|_| wanted.soft_grace.is_some()), ..wanted.clone() }.thresholds()?;
    profile.shortage = wanted;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn what_a_setting_prints_it_reads_back() {
        let mut profile = Wanted::named("one").resolve(&[]).unwrap();
        let values = [
            ("cpus", "1500m"),
            ("memory", "4g"),
            ("static-ip", "192.168.77.9"),
            ("dns-domain", "boat.test"),
            ("service-cluster-ip-range", "10.32.0.0/16"),
            ("apiserver-port", "6443"),
            ("max-pods", "12"),
            ("allowed-unsafe-sysctls", "net.core.*"),
            ("eviction-hard", "memory.available<1Gi,nodefs.available<5%"),
            ("image-gc-high-threshold", "85"),
            ("service-node-port-range", "20000-20100"),
            ("no-kubernetes", "true"),
            ("enable-admission-plugins", "NamespaceAutoProvision"),
            ("cert-expiration", "24h"),
            ("ports", "8080:80"),
            ("mounts", "/src:/data:ro"),
            ("docker-env", "FOO=bar baz"),
        ];
        for (key, value) in values {
            let setting = find(key).unwrap();
            setting.put(&mut profile, &[value.to_string()]).unwrap();
            assert_eq!((setting.get)(&profile), [value], "{key}");
        }
        assert_eq!(profile.network.host_address.to_string(), "192.168.77.1");
        assert_eq!(profile.network.dns_address.to_string(), "10.32.0.10");
    }

    #[test]
    fn a_subnet_decides_the_addresses_of_both_ends_and_of_load_balancers() {
        let mut profile = Wanted::named("one").resolve(&[]).unwrap();
        find("subnet").unwrap().put(&mut profile, &["10.9.8.0/24".into()]).unwrap();
        let network = profile.network;
        assert_eq!((network.node_address.to_string(), network.prefix), ("10.9.8.2".into(), 24));
        assert_eq!(network.load_balancer_cidr, "10.9.8.128/25");
    }

    #[test]
    fn a_mistyped_name_finds_the_one_that_was_meant() {
        let names = || SETTINGS.iter().map(|setting| setting.key);
        assert_eq!(closest("memroy", names()), Some("memory"));
        assert_eq!(closest("mount", names()), Some("mounts"));
        assert_eq!(closest("entirely-different", names()), None);
        assert_eq!(closest("bogus", names()), None);
    }

    #[test]
    fn a_port_leads_to_one_place() {
        let mut profile = Wanted::named("one").resolve(&[]).unwrap();
        let mut put = |ports: &[&str]| {
            find("ports").unwrap().put(&mut profile, &ports.iter().map(|port| port.to_string()).collect::<Vec<_>>())
        };
        assert!(put(&["8080:80", "8080:81"]).unwrap_err().contains("8080"));
        assert!(put(&["8080:80", "8080:80/udp", "127.0.0.2:8080:80"]).is_ok());
    }

    #[test]
    fn none_is_minikubes_word_for_the_native_driver() {
        let mut profile = Wanted::named("one").resolve(&[]).unwrap();
        for (word, driver) in [("none", "native"), ("podman", "podman")] {
            find("driver").unwrap().put(&mut profile, &[word.into()]).unwrap();
            assert_eq!(profile.driver, driver);
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let mut profile = Wanted::named("one").resolve(&[]).unwrap();
        for (key, value) in [
            ("static-ip", "8.8.8.8"),
            ("static-ip", "192.168.1.1"),
            ("subnet", "10.0.0.0/30"),
            ("subnet", "8.8.8.0/24"),
            ("subnet", "192.0.0.0/8"),
            ("dns-domain", "Boat"),
            ("apiserver-port", "0"),
            ("service-node-port-range", "9-3"),
            ("cert-expiration", "3s"),
            ("docker-env", "=x"),
            ("enable-admission-plugins", "AlwaysSayYes"),
            ("allowed-unsafe-sysctls", "kernel.core_pattern"),
            ("allowed-unsafe-sysctls", "*"),
            ("eviction-hard", "memory<1Gi"),
            ("image-gc-low-threshold", "101"),
        ] {
            assert!(find(key).unwrap().put(&mut profile, &[value.to_string()]).is_err(), "{key} {value}");
        }
    }
}
