//! How many replicas each ReplicaSet of a Deployment gets next. Pure: sets in, sizes out, one step at a time.
//!
//! Source of the rules: kubernetes `pkg/controller/deployment/{rolling,recreate,sync}.go` and `util/deployment_util.go`.

use super::revision::{DESIRED, MAX, number};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;

/// A ReplicaSet and the size that it is to have.
pub type Resize = (Arc<ReplicaSet>, i32);

/// The ReplicaSets of a Deployment.
pub struct Sets {
    /// That of the present template.
    pub new: Option<Arc<ReplicaSet>>,
    /// All others.
    pub old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.new.iter().chain(&self.old)
    }

    /// Old ones that are to have pods, oldest first.
    pub fn old_active(&self) -> Vec<&Arc<ReplicaSet>> {
        let mut active: Vec<_> = self.old.iter().filter(|set| size(set) > 0).collect();
        active.sort_by_key(|set| created(set));
        active
    }
}

/// `spec.replicas`, 1 if it is left out.
pub fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// `status.availableReplicas`.
pub fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// `status.replicas`.
pub fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// The sum of a count over sets.
pub fn total<'a>(sets: impl IntoIterator<Item = &'a Arc<ReplicaSet>>, count: fn(&ReplicaSet) -> i32) -> i32 {
    sets.into_iter().map(|set| count(set)).sum()
}

/// `spec.replicas` of the Deployment, 1 if it is left out.
pub fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Whether pods are replaced step by step, not all at once.
pub fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
}

/// How many pods there may be above, and may lack below, the wanted number. Not both 0, else nothing could move.
fn fences(deployment: &Deployment) -> (i32, i32) {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let quarter = IntOrString::String("25%".into());
    let value = |given: Option<&IntOrString>, up| portion(given.unwrap_or(&quarter), wanted(deployment), up);
    let surge = value(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
    let unavailable = value(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// A number, or a percentage of `of`, rounded up or down.
pub fn portion(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = percent * i64::from(of);
            ((if up { hundredths + 99 } else { hundredths }) / 100) as i32
        }
    }
}

/// Pods above the wanted number.
pub fn max_surge(deployment: &Deployment) -> i32 {
    if is_rolling(deployment) { fences(deployment).0 } else { 0 }
}

/// Pods that may be unavailable, at most the wanted number.
pub fn max_unavailable(deployment: &Deployment) -> i32 {
    if is_rolling(deployment) { fences(deployment).1.min(wanted(deployment)) } else { 0 }
}

/// The size of the new set: as large as the surge allows beside the others.
pub fn new_size(deployment: &Deployment, sets: &Sets) -> i32 {
    let wanted = wanted(deployment);
    if !is_rolling(deployment) {
        return wanted;
    }
    let present = sets.new.as_deref().map_or(0, size);
    let room = wanted + max_surge(deployment) - total(sets.all(), size);
    if room <= 0 { present } else { present + room.min(wanted - present) }
}

/// The next size of the new set, if it is another.
pub fn scale_new(deployment: &Deployment, sets: &Sets) -> Option<Resize> {
    let new = sets.new.as_ref()?;
    let wanted = wanted(deployment);
    let next = if size(new) >= wanted { wanted } else { new_size(deployment, sets) };
    (next != size(new)).then(|| (new.clone(), next))
}

/// The next sizes of old sets in a rolling update: unhealthy pods go first, then as many as availability allows.
pub fn scale_old(deployment: &Deployment, sets: &Sets) -> Vec<Resize> {
    let old = sets.old_active();
    let minimum = wanted(deployment) - max_unavailable(deployment);
    let new_unavailable = sets.new.as_deref().map_or(0, |set| size(set) - available(set));
    let mut room = total(sets.all(), size) - minimum - new_unavailable;
    if old.is_empty() || room <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i32> = old.iter().map(|set| size(set)).collect();
    for (set, size) in old.iter().zip(&mut sizes) {
        let unhealthy = (*size - available(set)).clamp(0, room);
        *size -= unhealthy;
        room -= unhealthy;
    }
    let mut surplus = total(sets.all(), available) - minimum;
    for size in &mut sizes {
        let less = (*size).min(surplus).max(0);
        *size -= less;
        surplus -= less;
    }
    let resized = old.into_iter().zip(sizes).filter(|(set, next)| size(set) != *next);
    resized.map(|(set, next)| (set.clone(), next)).collect()
}

/// All old sets to nothing, as `Recreate` does first.
pub fn empty_old(sets: &Sets) -> Vec<Resize> {
    sets.old_active().into_iter().map(|set| (set.clone(), 0)).collect()
}

/// Whether the Deployment was scaled since its sets were: then all sets are scaled before anything else.
pub fn was_scaled(deployment: &Deployment, sets: &Sets) -> bool {
    sets.all().filter(|set| size(set) > 0).any(|set| is_outdated(set, wanted(deployment)))
}

/// Whether a set was last scaled for another number.
fn is_outdated(set: &ReplicaSet, wanted: i32) -> bool {
    let desired = number(set.metadata.annotations.as_ref(), DESIRED);
    desired.is_some_and(|desired| desired != i64::from(wanted))
}

/// Sizes after the Deployment was scaled, or while it is paused: in the proportions that the sets have.
pub fn proportional(deployment: &Deployment, sets: &Sets) -> Vec<Resize> {
    let wanted = wanted(deployment);
    let mut active: Vec<&Arc<ReplicaSet>> = sets.all().filter(|set| size(set) > 0).collect();
    if active.len() <= 1 {
        let latest = sets.old.iter().max_by_key(|set| created(set));
        let only = active.first().copied().or(sets.new.as_ref()).or(latest);
        return only
            .filter(|set| size(set) != wanted || is_outdated(set, wanted))
            .map(|set| (set.clone(), wanted))
            .into_iter()
            .collect();
    }
    if sets.new.as_ref().is_some_and(|new| is_saturated(new, wanted)) {
        return empty_old(sets);
    }
    if !is_rolling(deployment) {
        return Vec::new();
    }
    let allowed = if wanted > 0 { wanted + max_surge(deployment) } else { 0 };
    let add = allowed - active.iter().map(|set| size(set)).sum::<i32>();
    // Grow from the largest and newest on; shrink from the largest and oldest on.
    active.sort_by_key(|set| created(set));
    if add > 0 {
        active.reverse();
    }
    active.sort_by_key(|set| std::cmp::Reverse(size(set)));
    let mut added = 0;
    let mut resized: Vec<Resize> = Vec::new();
    for set in active {
        let share = if add == 0 || add == added { 0 } else { share(deployment, set, add - added) };
        added += share;
        resized.push((set.clone(), size(set) + share));
    }
    if let Some((_, first)) = resized.first_mut() {
        *first = (*first + add - added).max(0);
    }
    resized.retain(|(set, next)| size(set) != *next || is_outdated(set, wanted));
    resized
}

/// What a set gets of `left` replicas that are to be added (or, below 0, taken).
fn share(deployment: &Deployment, set: &ReplicaSet, left: i32) -> i32 {
    let fraction = if wanted(deployment) == 0 {
        -size(set)
    } else {
        let whole = f64::from(wanted(deployment) + max_surge(deployment));
        let status = deployment.status.as_ref().and_then(|status| status.replicas).map(i64::from);
        let before = number(set.metadata.annotations.as_ref(), MAX).or(status).filter(|before| *before > 0);
        let before = before.unwrap_or(i64::from(size(set)).max(1)) as f64;
        (f64::from(size(set)) * whole / before).round() as i32 - size(set)
    };
    if left > 0 { fraction.min(left) } else { fraction.max(left) }
}

/// Whether the new set alone is all that is wanted.
fn is_saturated(new: &ReplicaSet, wanted: i32) -> bool {
    let desired = number(new.metadata.annotations.as_ref(), DESIRED);
    size(new) == wanted && desired == Some(i64::from(wanted)) && available(new) == wanted
}

fn created(set: &ReplicaSet) -> (Option<jiff::Timestamp>, Option<String>) {
    (set.metadata.creation_timestamp.as_ref().map(|time| time.0), set.metadata.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, set_of};
    use super::*;

    fn sets(deployment: &Deployment, new: Option<(i32, i32)>, old: &[(i32, i32)]) -> Sets {
        let named =
            |name: String, revision, (size, available)| Arc::new(set_of(deployment, &name, revision, size, available));
        let old: Vec<_> =
            old.iter().enumerate().map(|(i, counts)| named(format!("old-{i}"), i as i64, *counts)).collect();
        Sets { new: new.map(|counts| named("new".into(), 9, counts)), old }
    }

    fn sizes(resized: Vec<Resize>) -> Vec<(String, i32)> {
        resized.into_iter().map(|(set, size)| (set.metadata.name.clone().unwrap(), size)).collect()
    }

    #[test]
    fn percentages_round_surge_up_and_unavailable_down() {
        let deployment = deployment(3);
        assert_eq!((max_surge(&deployment), max_unavailable(&deployment)), (1, 0));
    }

    #[test]
    fn the_new_set_grows_by_the_surge() {
        let deployment = deployment(4);
        assert_eq!(new_size(&deployment, &sets(&deployment, None, &[(4, 4)])), 1);
        let full = sets(&deployment, Some((1, 0)), &[(4, 4)]);
        assert_eq!(scale_new(&deployment, &full), None);
        let room = sets(&deployment, Some((1, 0)), &[(3, 3)]);
        assert_eq!(scale_new(&deployment, &room).unwrap().1, 2);
    }

    #[test]
    fn old_sets_shrink_as_far_as_availability_allows() {
        let deployment = deployment(4);
        assert_eq!(sizes(scale_old(&deployment, &sets(&deployment, Some((1, 0)), &[(4, 4)]))), [("old-0".into(), 3)]);
        assert_eq!(sizes(scale_old(&deployment, &sets(&deployment, Some((2, 0)), &[(3, 3)]))), []);
        assert_eq!(sizes(scale_old(&deployment, &sets(&deployment, Some((2, 1)), &[(3, 3)]))), [("old-0".into(), 2)]);
    }

    #[test]
    fn unhealthy_old_pods_go_first() {
        let deployment = deployment(4);
        let sets = sets(&deployment, Some((1, 1)), &[(2, 0), (2, 2)]);
        assert_eq!(sizes(scale_old(&deployment, &sets)), [("old-0".into(), 0)]);
    }

    #[test]
    fn scaling_in_the_middle_of_an_update_keeps_the_proportions() {
        let mut deployment = deployment(10);
        let sets = sets(&deployment, Some((5, 5)), &[(8, 8)]);
        deployment.spec.as_mut().unwrap().replicas = Some(20);
        assert!(was_scaled(&deployment, &sets));
        let mut resized = sizes(proportional(&deployment, &sets));
        resized.sort();
        assert_eq!(resized.iter().map(|(_, size)| size).sum::<i32>(), 25);
        assert_eq!(resized, [("new".into(), 10), ("old-0".into(), 15)]);
    }

    #[test]
    fn a_single_active_set_takes_all() {
        let deployment = deployment(5);
        let sets = sets(&deployment, Some((3, 3)), &[(0, 0)]);
        assert_eq!(sizes(proportional(&deployment, &sets)), [("new".into(), 5)]);
    }
}
