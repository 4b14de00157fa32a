//! The node's network in the engine, and the routes of this machine to service and pod addresses behind it.
//!
//! The bridge is called `cor-MARK`, as the native driver's link. Whoever may talk to the engine may have the routes made by a
//! container in the machine's own network namespace, so the command line needs no root for them.

use super::super::native::links;
use super::super::{Error, Machine};
use super::engine::{Engine, found, gone, is_ours, refused};
use super::{LABEL_ROLE, container, labels};
use crate::config::Network;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkInspect,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectNetworkOptions, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures::TryStreamExt;
use std::collections::HashMap;

/// Makes the network, or the network again when its addresses are other ones.
pub async fn ensure(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let name = &machine.profile.name;
    let there = engine.docker.inspect_network(name, None::<InspectNetworkOptions>).await;
    match found(there, "cannot look for the node's network")? {
        Some(there) if !is_ours(there.labels.as_ref(), machine) => {
            return Err(Error::Taken { what: "network", name: name.clone() });
        }
        Some(there) if has_subnet(&there, &machine.profile.network) => return Ok(()),
        Some(_) => remove(engine, machine).await?,
        None => {}
    }
    let request = request(machine);
    engine.docker.create_network(request).await.map(drop).map_err(refused("cannot make the node's network"))
}

/// Puts the node's container into its network, at its address.
pub async fn join(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let profile = &machine.profile;
    let own = EndpointIpamConfig {
        ipv4_address: Some(profile.network.node_address.to_string()),
        ..EndpointIpamConfig::default()
    };
    let request = NetworkConnectRequest {
        container: profile.name.clone(),
        endpoint_config: Some(EndpointSettings { ipam_config: Some(own), ..EndpointSettings::default() }),
    };
    let joined = engine.docker.connect_network(&profile.name, request).await;
    joined.map_err(refused("cannot join the node's container to its network"))
}

/// Removes the network. Somebody else's stays.
pub async fn remove(engine: &Engine, machine: &Machine) -> Result<(), Error> {
    let name = &machine.profile.name;
    let there = engine.docker.inspect_network(name, None::<InspectNetworkOptions>).await;
    match found(there, "cannot look for the node's network")? {
        Some(there) if is_ours(there.labels.as_ref(), machine) => {
            gone(engine.docker.remove_network(name).await, "cannot remove the node's network")
        }
        _ => Ok(()),
    }
}

fn has_subnet(network: &NetworkInspect, wanted: &Network) -> bool {
    let configs = network.ipam.iter().filter_map(|ipam| ipam.config.as_ref()).flatten();
    configs.filter_map(|config| config.subnet.as_deref()).any(|subnet| subnet == subnet_of(wanted))
}

/// The link's network, from the machine's end of it.
fn subnet_of(network: &Network) -> String {
    let std::net::IpAddr::V4(address) = network.host_address else { return network.host_address.to_string() };
    let mask = u32::MAX.checked_shl(32 - u32::from(network.prefix)).unwrap_or(0);
    format!("{}/{}", std::net::Ipv4Addr::from(u32::from(address) & mask), network.prefix)
}

fn request(machine: &Machine) -> NetworkCreateRequest {
    let profile = &machine.profile;
    let network = &profile.network;
    let config = IpamConfig {
        subnet: Some(subnet_of(network)),
        gateway: Some(network.host_address.to_string()),
        ..IpamConfig::default()
    };
    let link = links::host_link(&machine.mark());
    NetworkCreateRequest {
        name: profile.name.clone(),
        driver: Some("bridge".into()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        options: Some(HashMap::from([("com.docker.network.bridge.name".to_string(), link)])),
        labels: Some(labels(&profile.name, &machine.mark(), [])),
        ..NetworkCreateRequest::default()
    }
}

/// Leads this machine's traffic for pods, services and load balancers to the node.
pub async fn add_routes(engine: &Engine, machine: &Machine, image: &str) -> Result<(), Error> {
    if rustix::process::geteuid().is_root() {
        return links::add_routes(&machine.profile).await;
    }
    let profile = serde_json::to_string(&machine.profile).map_err(|error| Error::Launch(error.to_string()))?;
    let body = ContainerCreateBody {
        image: Some(image.into()),
        entrypoint: Some(vec!["/coracle".into()]),
        cmd: Some(vec!["node-routes".into(), "--profile-json".into(), profile]),
        labels: Some(labels(&machine.profile.name, &machine.mark(), [(LABEL_ROLE, "routes".into())])),
        host_config: Some(HostConfig {
            network_mode: Some("host".into()),
            cap_drop: Some(vec!["ALL".into()]),
            cap_add: Some(vec!["NET_ADMIN".into()]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    run_once(engine, &format!("{}-routes", machine.profile.name), body).await
}

/// Runs a container to its end and removes it; what it said is the error when it failed.
async fn run_once(engine: &Engine, name: &str, body: ContainerCreateBody) -> Result<(), Error> {
    let cannot = "cannot add the routes to the cluster's addresses";
    remove_container(engine, name).await?;
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    engine.docker.create_container(Some(options), body).await.map_err(refused(cannot))?;
    let run = async {
        engine.docker.start_container(name, None::<StartContainerOptions>).await.map_err(refused(cannot))?;
        let ended = engine.docker.wait_container(name, None::<WaitContainerOptions>).try_collect::<Vec<_>>().await;
        match ended {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Launch(container::last_words(engine, name).await)),
        }
    };
    let result = run.await;
    remove_container(engine, name).await?;
    result
}

/// Removes a container, running or not. No error if there is none.
pub async fn remove_container(engine: &Engine, name: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    gone(engine.docker.remove_container(name, Some(options)).await, "cannot remove a container")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Wanted;

    #[test]
    fn a_network_has_the_addresses_and_the_name_of_its_profile() {
        let profile = Wanted::named("web").resolve(&[]).unwrap();
        let machine = Machine {
            profile,
            root: "/home/a/web/node".into(),
            folder: "/home/a/web".into(),
            cache: "/home/a/cache".into(),
            files: "/home/a/files".into(),
            executable: "/coracle".into(),
        };
        let request = request(&machine);
        assert_eq!(request.name, "web");
        let config = &request.ipam.unwrap().config.unwrap()[0];
        assert_eq!(config.subnet.as_deref(), Some("192.168.49.0/24"));
        assert_eq!(config.gateway.as_deref(), Some("192.168.49.1"));
        assert_eq!(request.options.unwrap()["com.docker.network.bridge.name"], format!("cor-{}", machine.mark()));
        assert!(is_ours(request.labels.as_ref(), &machine));
        let elsewhere = Machine { folder: "/home/b/web".into(), ..machine };
        assert!(!is_ours(request.labels.as_ref(), &elsewhere), "a profile of that name in another home");
    }
}
