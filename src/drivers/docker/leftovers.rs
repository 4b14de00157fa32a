//! What an engine has of a machine whose profile is gone: everything that carries its mark.

use super::super::Error;
use super::engine::{Engine, gone, refused};
use super::{LABEL_MARK, network};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};
use std::collections::HashMap;

/// Removes containers, volumes and networks, in this order: each is in use by the ones before. Tells which kinds there were.
pub async fn remove(engine: &Engine, mark: &str) -> Result<Vec<&'static str>, Error> {
    let label = HashMap::from([("label".to_string(), vec![format!("{LABEL_MARK}={mark}")])]);
    let cannot = "cannot look for what is left of the cluster";
    let mut found = Vec::new();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&label).build();
    for container in engine.docker.list_containers(Some(options)).await.map_err(refused(cannot))? {
        found.push("a container");
        network::remove_container(engine, &container.id.unwrap_or_default()).await?;
    }
    let options = ListVolumesOptionsBuilder::default().filters(&label).build();
    let volumes = engine.docker.list_volumes(Some(options)).await.map_err(refused(cannot))?.volumes;
    for volume in volumes.into_iter().flatten() {
        found.push("a volume");
        let removed = engine.docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
        gone(removed, "cannot remove the node's volume")?;
    }
    let options = ListNetworksOptionsBuilder::default().filters(&label).build();
    for network in engine.docker.list_networks(Some(options)).await.map_err(refused(cannot))? {
        found.push("a network");
        gone(engine.docker.remove_network(&network.id.unwrap_or_default()).await, "cannot remove the node's network")?;
    }
    Ok(found)
}
