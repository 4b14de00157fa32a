//! The values that flags and files have: amounts, durations, ports and mounts, as text and parsed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A port of this machine that leads to a port of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// The address to listen on; the profile's usual one when left out.
    pub address: Option<IpAddr>,
    pub host: u16,
    pub node: u16,
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A folder of this machine that the node sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    pub source: PathBuf,
    pub target: PathBuf,
    #[serde(default)]
    pub read_only: bool,
}

/// A chart that a cluster file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chart {
    /// Name of the release.
    pub name: String,
    /// A folder, an archive or a reference.
    pub chart: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub version: String,
    /// Files of values.
    #[serde(default)]
    pub values: Vec<String>,
    /// `key=value` pairs.
    #[serde(default)]
    pub set: Vec<String>,
}

impl FromStr for Port {
    type Err = String;

    /// `[ADDRESS:]HOST:NODE[/PROTOCOL]`, as Docker has it; one number stands for both.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no port mapping: [ADDRESS:]HOST:NODE[/tcp|udp]");
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(wrong()),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        let Some((before, node)) = ports.rsplit_once(':') else {
            let port = number(ports)?;
            return Ok(Self { address: None, host: port, node: port, protocol });
        };
        let (address, host) = match before.rsplit_once(':') {
            None => (None, before),
            Some((address, host)) => {
                let bare = address.trim_start_matches('[').trim_end_matches(']');
                (Some(bare.parse().map_err(|_| wrong())?), host)
            }
        };
        Ok(Self { address, host: number(host)?, node: number(node)?, protocol })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}:{}", self.host, self.node)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl FromStr for Mount {
    type Err = String;

    /// `SOURCE:TARGET[:ro]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (paths, read_only) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let wrong = || format!("`{text}` is no mount: SOURCE:TARGET[:ro], TARGET absolute");
        let (source, target) = paths.split_once(':').ok_or_else(wrong)?;
        if source.is_empty() || !target.starts_with('/') || target == "/" || target.contains("..") {
            return Err(wrong());
        }
        Ok(Self { source: source.into(), target: target.into(), read_only })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.display(), self.target.display())?;
        if self.read_only { f.write_str(":ro") } else { Ok(()) }
    }
}

/// Whether a word that names an image or a file is more likely the latter: a path, or an archive.
pub fn looks_like_file(word: &str) -> bool {
    let path = std::path::Path::new(word);
    let is_archive = path.extension().is_some_and(|end| ["tar", "tgz", "gz", "zst"].iter().any(|one| end == *one));
    is_archive || path.is_absolute() || path.starts_with(".") || path.starts_with("..")
}

/// Processors in thousandths: `2`, `1.5`, `500m`; `max` is all, `no-limit` is nothing.
pub fn cpus(text: &str) -> Result<Option<u32>, String> {
    let wrong = || format!("`{text}` is no number of processors: 2, 1.5, 500m, max or no-limit");
    let thousandths = match text {
        "no-limit" => return Ok(None),
        "max" => f64::from(all_cpus()),
        _ => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<u32>().map_err(|_| wrong())?.into(),
            None => text.parse::<f64>().map_err(|_| wrong())? * 1000.0,
        },
    };
    match thousandths {
        few if few < 100.0 => Err(format!("`{text}` is too little: a node needs 0.1 processors at least")),
        many if many.is_finite() && many <= 1e7 => Ok(Some(many.round() as u32)),
        _ => Err(wrong()),
    }
}

/// Processors that this machine has, in thousandths.
pub fn all_cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, usize::from) as u32 * 1000
}

/// Processors as text; the other direction of [`cpus`].
pub fn cpus_text(thousandths: u32) -> String {
    match thousandths % 1000 {
        0 => (thousandths / 1000).to_string(),
        _ => format!("{thousandths}m"),
    }
}

/// The least memory of a node, in bytes.
pub const LEAST_MEMORY: u64 = 256 << 20;

/// Bytes: `4g`, `512mb`, `2Gi`; a bare number is megabytes, as minikube has it; `max` is all, `no-limit` is nothing.
pub fn memory(text: &str) -> Result<Option<u64>, String> {
    let wrong = || format!("`{text}` is no amount of memory: 4g, 512mb, 2Gi, max or no-limit");
    let bytes = match text {
        "no-limit" => return Ok(None),
        "max" => all_memory().ok_or_else(wrong)?,
        _ => {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = text[digits.len()..].to_ascii_lowercase();
            let power = match unit.trim_end_matches('b').trim_end_matches('i') {
                "" if unit == "b" => 0,
                "k" => 10,
                "" | "m" => 20,
                "g" => 30,
                "t" => 40,
                _ => return Err(wrong()),
            };
            let number: f64 = digits.parse().map_err(|_| wrong())?;
            let bytes = number * (1u64 << power) as f64;
            if !(0.0..1e18).contains(&bytes) {
                return Err(wrong());
            }
            bytes as u64
        }
    };
    if bytes < LEAST_MEMORY {
        return Err(format!("`{text}` is too little: a node needs {} MiB at least", LEAST_MEMORY >> 20));
    }
    Ok(Some(bytes))
}

/// Bytes of memory that this machine has, if the kernel tells.
pub fn all_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Memory as text; the other direction of [`memory`].
pub fn memory_text(bytes: u64) -> String {
    [(30, "g"), (20, "m"), (10, "k")]
        .iter()
        .find(|(power, _)| bytes.is_multiple_of(1 << power))
        .map_or_else(|| format!("{bytes}b"), |(power, unit)| format!("{}{unit}", bytes >> power))
}

/// A duration as Go writes it: `1h30m`, `90s`, `26280h0m0s`, `1.5h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: 30s, 5m, 1h30m");
    let mut rest = text;
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// A duration as text; the other direction of [`duration`], whole seconds.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_writes_them() {
        for (text, printed) in [
            ("80", "80:80"),
            ("8080:80", "8080:80"),
            ("8080:80/tcp", "8080:80"),
            ("5353:53/udp", "5353:53/udp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080:80"),
            ("[::1]:8080:80", "[::1]:8080:80"),
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), printed);
        }
        for wrong in ["", "0", "a:80", "80:a", "80/sctp", "1.2.3:1:2", "70000"] {
            assert!(wrong.parse::<Port>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn mounts_have_an_absolute_target() {
        let mount: Mount = "./src:/data/src:ro".parse().unwrap();
        assert_eq!(mount.to_string(), "./src:/data/src:ro");
        for wrong in ["/a", "/a:b", ":/b", "/a:/", "/a:/b/../c"] {
            assert!(wrong.parse::<Mount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn archives_and_paths_are_files_and_other_words_are_images() {
        assert!(["missing.tar", "./web", "/web", "../web.tar.gz"].iter().all(|word| looks_like_file(word)));
        assert!(!["web", "example.org/web:1.2", "web:latest"].iter().any(|word| looks_like_file(word)));
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!(cpus("1.5").unwrap(), Some(1500));
        assert_eq!(cpus("250m").unwrap(), Some(250));
        assert_eq!(cpus("no-limit").unwrap(), None);
        assert!(cpus("0").is_err() && cpus("two").is_err() && cpus("inf").is_err());
        assert_eq!(memory("4g").unwrap(), Some(4 << 30));
        assert_eq!(memory("2048").unwrap(), Some(2 << 30));
        assert_eq!(memory("512mb").unwrap(), memory("512Mi").unwrap());
        assert!(memory("1m").is_err() && memory("4x").is_err() && memory("-1g").is_err());
        assert_eq!(memory_text(4 << 30), "4g");
        assert_eq!((cpus_text(2000), cpus_text(1500)), ("2".into(), "1500m".into()));
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("26280h0m0s").unwrap(), Duration::from_secs(26_280 * 3600));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration_text(Duration::from_secs(5400)), "1h30m0s");
        for wrong in ["", "5", "m", "5x", "-1h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
