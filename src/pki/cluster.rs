//! Every key and certificate of one cluster, made in one go before its node starts.

use super::authority::{RENEW_DAYS, seconds_left};
use super::{Authority, Error, Identity, file};
use crate::base::atomic;
use crate::config::Profile;
use rcgen::KeyPair;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

/// How long certificates of servers and clients are valid: three years, as minikube has it.
const VALID: Duration = Duration::from_secs(26_280 * 3600);
/// File and name of each authority.
const AUTHORITIES: [(&str, &str); 2] = [("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca")];

/// The names and addresses of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    pub node_name: String,
    pub node_addresses: Vec<IpAddr>,
    /// The `kubernetes` service.
    pub service_address: IpAddr,
    /// `cluster.local`.
    pub domain: String,
    /// Further names or addresses of the API server.
    pub extra: Vec<String>,
}

impl ClusterNames {
    /// Those of a profile.
    pub fn of(profile: &Profile) -> Self {
        let network = &profile.network;
        Self {
            node_name: profile.name.clone(),
            node_addresses: vec![network.node_address],
            service_address: network.api_service_address,
            domain: network.domain.clone(),
            extra: profile.api_names.clone(),
        }
    }
}

/// How long the certificates of a profile are valid.
pub fn valid(profile: &Profile) -> Duration {
    profile.certificate_seconds.map_or(VALID, Duration::from_secs)
}

/// What [`ensure_cluster_for`] found of the certificates that were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Some were made anew because of their names or because their end was near.
    pub some: bool,
    /// Some were past their end.
    pub expired: bool,
}

/// The same as [`ensure_cluster_for`], for the usual time.
pub fn ensure_cluster(folder: &Path, names: &ClusterNames) -> Result<Renewed, Error> {
    ensure_cluster_for(folder, names, VALID)
}

/// Makes what is missing, expired or for other names, valid for a time; leaves the rest. Files: see [`entries`], and `sa.key`,
/// `sa.pub`.
pub fn ensure_cluster_for(folder: &Path, names: &ClusterNames, valid: Duration) -> Result<Renewed, Error> {
    std::fs::create_dir_all(folder).map_err(file(folder))?;
    let _alone = lock(folder)?;
    let mut renewed = Renewed::default();
    for (name, common_name) in AUTHORITIES {
        renewed.some |= Authority::renew(folder, name, common_name)?;
    }
    let [authority, front_proxy] =
        AUTHORITIES.map(|(name, common_name)| Authority::load_or_create(folder, name, common_name));
    let (authority, front_proxy) = (authority?, front_proxy?);
    let mut ensure = |authority: &Authority, name: &str, identity: &Identity| {
        let found = look(folder, name, identity, valid);
        if found == Found::Usable {
            return Ok(());
        }
        renewed.some |= found != Found::Nothing;
        renewed.expired |= found == Found::Expired;
        authority.issue(identity, valid)?.write(folder, name)
    };
    for (name, identity) in entries(names) {
        ensure(&authority, name, &identity)?;
    }
    ensure(&front_proxy, "front-proxy-client", &Identity::client("front-proxy-client", ""))?;
    ensure_token_key(folder)?;
    Ok(renewed)
}

/// Held while files are made: the command line and a node that runs may do so at the same time. The kernel lets go of it with
/// the file.
fn lock(folder: &Path) -> Result<std::fs::File, Error> {
    let opened = std::fs::File::open(folder).map_err(file(folder))?;
    opened.lock().map_err(file(folder))?;
    Ok(opened)
}

/// Makes the administrator's certificate anew if its end is near; `false` if there was no need.
pub fn ensure_admin(folder: &Path, names: &ClusterNames, valid: Duration) -> Result<bool, Error> {
    let entries = entries(names);
    let Some((name, identity)) = entries.iter().find(|(name, _)| *name == "admin") else { return Ok(false) };
    if look(folder, name, identity, valid) == Found::Usable {
        return Ok(false);
    }
    let _alone = lock(folder)?;
    Authority::load(folder, "ca")?.issue(identity, valid)?.write(folder, name)?;
    Ok(true)
}

/// How long it takes until a certificate of the cluster is to be made anew; zero if one is now, or is not there.
pub fn until_renewal(folder: &Path, names: &ClusterNames, valid: Duration) -> Duration {
    let own = entries(names).map(|(name, _)| name);
    let left = own.into_iter().chain(["front-proxy-client"]).map(|name| seconds_left(folder, name).unwrap_or(0));
    let authorities = AUTHORITIES.iter().map(|(name, _)| seconds_left(folder, name).unwrap_or(0));
    let of_authorities = authorities.min().unwrap_or(0) - RENEW_DAYS * 86_400;
    let least = of_authorities.min(left.min().unwrap_or(0) - least(valid));
    // A second beyond it, because an end is written in whole seconds.
    Duration::from_secs(u64::try_from(least + 1).unwrap_or(0))
}

/// Seconds that must be left of a certificate: a month, or a third of a shorter time.
fn least(valid: Duration) -> i64 {
    (RENEW_DAYS * 86_400).min(valid.as_secs() as i64 / 3)
}

/// What there is of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// It is for other names, or its end is near.
    Old,
    Expired,
    Usable,
}

/// Whether a certificate of the cluster is past its end.
pub fn is_expired(folder: &Path) -> bool {
    look(folder, "apiserver", &Identity::default(), VALID) == Found::Expired
}

/// File name and identity of every certificate that the cluster's authority signs.
fn entries(names: &ClusterNames) -> [(&'static str, Identity); 7] {
    let node = format!("system:node:{}", names.node_name);
    [
        ("apiserver", api_server(names)),
        ("kubelet", kubelet(names)),
        ("admin", Identity::client("kubernetes-admin", "system:masters")),
        ("apiserver-kubelet-client", Identity::client("kube-apiserver-kubelet-client", "system:masters")),
        ("node", Identity::client(&node, "system:nodes")),
        ("controller-manager", Identity::client("system:kube-controller-manager", "")),
        ("scheduler", Identity::client("system:kube-scheduler", "")),
    ]
}

fn api_server(names: &ClusterNames) -> Identity {
    let (extra_addresses, extra_names): (Vec<&String>, Vec<&String>) =
        names.extra.iter().partition(|extra| extra.parse::<IpAddr>().is_ok());
    let mut all = vec!["kubernetes".to_string(), "kubernetes.default".into(), "kubernetes.default.svc".into()];
    all.push(format!("kubernetes.default.svc.{}", names.domain));
    all.extend(["localhost".into(), names.node_name.clone()]);
    all.extend(extra_names.into_iter().cloned());
    let mut addresses = vec![names.service_address, IpAddr::V4(Ipv4Addr::LOCALHOST)];
    addresses.extend(&names.node_addresses);
    addresses.extend(extra_addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()));
    Identity { common_name: "kube-apiserver".into(), names: all, addresses, ..Identity::default() }
}

fn kubelet(names: &ClusterNames) -> Identity {
    let mut addresses = names.node_addresses.clone();
    addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Identity {
        common_name: format!("system:node:{}", names.node_name),
        organization: "system:nodes".into(),
        names: vec![names.node_name.clone(), "localhost".into()],
        addresses,
    }
}

/// Looks whether the files are there, for these names, and good for a while.
fn look(folder: &Path, name: &str, identity: &Identity, valid: Duration) -> Found {
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).ok();
    let (Some(certificate), Some(_)) = (read("crt"), read("key")) else { return Found::Nothing };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()) else { return Found::Nothing };
    let Ok(certificate) = pem.parse_x509() else { return Found::Nothing };
    let left = certificate.validity().not_after.timestamp() - jiff::Timestamp::now().as_second();
    match left {
        ..=0 => Found::Expired,
        left if left > least(valid) && alternative_names(&certificate) == wanted_names(identity) => Found::Usable,
        _ => Found::Old,
    }
}

fn alternative_names(certificate: &x509_parser::certificate::X509Certificate) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => name.to_string(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
        other => other.to_string(),
    };
    let mut names: Vec<String> = extension.value.general_names.iter().map(text).collect();
    names.sort();
    names
}

fn wanted_names(identity: &Identity) -> Vec<String> {
    let octets = |address: &IpAddr| match address {
        IpAddr::V4(address) => format!("{:?}", address.octets()),
        IpAddr::V6(address) => format!("{:?}", address.octets()),
    };
    let mut names: Vec<String> = identity.names.iter().cloned().chain(identity.addresses.iter().map(octets)).collect();
    names.sort();
    names
}

/// The key that signs service-account tokens. Never replaced: every token would become worthless.
fn ensure_token_key(folder: &Path) -> Result<(), Error> {
    let (private, public) = (folder.join("sa.key"), folder.join("sa.pub"));
    if private.exists() && public.exists() {
        return Ok(());
    }
    let key = KeyPair::generate()?;
    atomic::write(&private, key.serialize_pem().as_bytes(), 0o600).map_err(file(&private))?;
    atomic::write(&public, key.public_key_pem().as_bytes(), 0o644).map_err(file(&public))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names() -> ClusterNames {
        ClusterNames {
            node_name: "one".into(),
            node_addresses: vec!["192.168.49.2".parse().unwrap()],
            service_address: "10.96.0.1".parse().unwrap(),
            domain: "cluster.local".into(),
            extra: Vec::new(),
        }
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        ensure_cluster(folder.path(), &names()).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().unwrap() == "key" {
                assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
            }
        }
    }

    #[test]
    fn only_what_changed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        ensure_cluster(folder.path(), &names()).unwrap();
        let (api, admin, token) = (read("apiserver.crt"), read("admin.crt"), read("sa.key"));
        ensure_cluster(folder.path(), &names()).unwrap();
        assert_eq!(api, read("apiserver.crt"));
        let extra = ClusterNames { extra: vec!["dev.example".into(), "10.0.0.7".into()], ..names() };
        ensure_cluster(folder.path(), &extra).unwrap();
        assert_ne!(api, read("apiserver.crt"));
        assert_eq!((admin, token), (read("admin.crt"), read("sa.key")));
    }

    #[test]
    fn the_first_certificate_that_nears_its_end_says_when_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let valid = Duration::from_secs(600);
        ensure_cluster_for(folder.path(), &names(), valid).unwrap();
        let left = until_renewal(folder.path(), &names(), valid).as_secs();
        assert!((390..=401).contains(&left), "{left}");
        let authority = Authority::load(folder.path(), "ca").unwrap();
        let (_, admin) = entries(&names()).into_iter().find(|(name, _)| *name == "admin").unwrap();
        authority.issue(&admin, Duration::from_secs(190)).unwrap().write(folder.path(), "admin").unwrap();
        assert_eq!(until_renewal(folder.path(), &names(), valid), Duration::ZERO);
        assert!(ensure_admin(folder.path(), &names(), valid).unwrap());
        assert!(!ensure_admin(folder.path(), &names(), valid).unwrap());
    }

    #[test]
    fn an_authority_near_its_end_keeps_its_key_and_what_it_signed() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        ensure_cluster(folder.path(), &names()).unwrap();
        let (key, admin) = (read("ca.key"), read("admin.crt"));
        Authority::short_lived(folder.path(), "ca", "kubernetes", Duration::from_secs(86_400)).unwrap();
        assert_eq!(until_renewal(folder.path(), &names(), VALID), Duration::ZERO);
        let near = read("ca.crt");
        assert_eq!(ensure_cluster(folder.path(), &names()).unwrap(), Renewed { some: true, expired: false });
        assert!(read("ca.crt") != near && read("ca.key") == key && read("admin.crt") == admin);
        let der = |name: &str| x509_parser::pem::parse_x509_pem(read(name).as_bytes()).unwrap().1;
        let (authority, admin) = (der("ca.crt"), der("admin.crt"));
        let (authority, admin) = (authority.parse_x509().unwrap(), admin.parse_x509().unwrap());
        assert_eq!(authority.subject(), admin.issuer());
        assert!(until_renewal(folder.path(), &names(), VALID) > Duration::from_secs(86_400));
        assert_eq!(ensure_cluster(folder.path(), &names()).unwrap(), Renewed::default());
    }

    #[test]
    fn what_is_past_its_end_is_made_anew_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let short = Duration::from_secs(600);
        assert_eq!(ensure_cluster_for(folder.path(), &names(), short).unwrap(), Renewed::default());
        assert_eq!(ensure_cluster_for(folder.path(), &names(), short).unwrap(), Renewed::default());
        // Nothing of its time is left.
        let authority = Authority::load(folder.path(), "ca").unwrap();
        let (_, admin) = entries(&names()).into_iter().find(|(name, _)| *name == "admin").unwrap();
        authority.issue(&admin, Duration::ZERO).unwrap().write(folder.path(), "admin").unwrap();
        let renewed = ensure_cluster_for(folder.path(), &names(), short).unwrap();
        assert_eq!(renewed, Renewed { some: true, expired: true });
        assert_eq!(ensure_cluster_for(folder.path(), &names(), short).unwrap(), Renewed::default());
    }
}
