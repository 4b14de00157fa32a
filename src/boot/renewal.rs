//! Certificates of a node that runs are made anew before their end. Servers take theirs when they begin, so the server process
//! ends then, and PID 1 starts it again at once; the listening socket and the pods outlive it.

use crate::base::Jumps;
use crate::base::causes::chain;
use crate::config::{NodePaths, Profile};
use crate::pki::{self, ClusterNames};
use std::time::Duration;

/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Returns when certificates were made anew.
pub async fn renewed(profile: &Profile, paths: &NodePaths) {
    let (names, valid) = (ClusterNames::of(profile), pki::valid(profile));
    let folder = paths.pki();
    // A machine that sleeps stops the clock of timers, and not that of certificates.
    let mut jumps = Jumps::watch();
    loop {
        let left = pki::until_renewal(&folder, &names, valid);
        if !left.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = jumps.next() => {}
            }
            continue;
        }
        match pki::ensure_cluster_for(&folder, &names, valid) {
            Ok(renewed) if renewed.some => {
                tracing::info!(
                    "certificates were near their end and were made anew; the server begins again with them"
                );
                return;
            }
            Ok(_) => {}
            // A full disk, perhaps.
            Err(error) => tracing::error!(error = chain(&error), "certificates near their end were not made anew"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
