//! Packs endpoints into slices of at most a hundred with as few writes as possible. Pure.
//!
//! Source of the rules: kubernetes `staging/src/k8s.io/endpointslice/reconciler.go` (`reconcileByPortMapping`).

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use std::collections::HashMap;
use std::sync::Arc;

/// Endpoints of a slice at most.
pub const SLICE: usize = 100;

/// Endpoints that have the same ports.
#[derive(Clone, Debug)]
pub struct Group {
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

/// What to write.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// An existing slice while endpoints are sorted into it.
struct Draft {
    before: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

/// Makes `existing` (all of the address type of `template`) hold `groups`. New slices have the metadata of `template`;
/// where `keep_one`, an empty slice stays when there are no endpoints at all.
pub fn pack(template: &EndpointSlice, existing: &[Arc<EndpointSlice>], groups: Vec<Group>, keep_one: bool) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<Arc<EndpointSlice>> = existing.to_vec();
    let mut kept = 0;
    for group in groups.into_iter().filter(|group| !group.endpoints.is_empty()) {
        let ports = sorted(group.ports.clone());
        let is_same = |slice: &Arc<EndpointSlice>| sorted(slice.ports.clone().unwrap_or_default()) == ports;
        let (same, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_same);
        left = others;
        kept += pack_group(template, same, group, &mut plan);
    }
    plan.delete.extend(left);
    reuse(template, &mut plan);
    if keep_one && kept + plan.create.len() + plan.update.len() == 0 {
        keep_placeholder(template, &mut plan);
    }
    plan
}

/// Packs one group; returns how many slices stay as they are.
fn pack_group(template: &EndpointSlice, same: Vec<Arc<EndpointSlice>>, group: Group, plan: &mut Plan) -> usize {
    let mut wanted: HashMap<Identity, Endpoint> =
        group.endpoints.iter().map(|endpoint| (identity(endpoint), endpoint.clone())).collect();
    let mut drafts: Vec<Draft> = same.into_iter().map(|slice| draft(template, slice, &mut wanted)).collect();
    // In the order in which they were asked for.
    let mut rest: Vec<Endpoint> =
        group.endpoints.iter().filter_map(|endpoint| wanted.remove(&identity(endpoint))).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.changed) {
        draft.fill(&mut rest);
    }
    let remainder = rest.len() % SLICE;
    if remainder > 0 {
        let fits = drafts.iter_mut().filter(|draft| !draft.changed && draft.endpoints.len() + remainder <= SLICE);
        if let Some(fullest) = fits.max_by_key(|draft| draft.endpoints.len()) {
            let mut some = rest.split_off(rest.len() - remainder);
            fullest.fill(&mut some);
        }
    }
    for chunk in rest.chunks(SLICE) {
        plan.create.push(made(template, &group.ports, chunk.to_vec()));
    }
    let mut kept = 0;
    for draft in drafts {
        match (draft.endpoints.is_empty(), draft.changed) {
            (true, _) => plan.delete.push(draft.before),
            (false, true) => plan.update.push(changed(template, &draft.before, &group.ports, draft.endpoints)),
            (false, false) => kept += 1,
        }
    }
    kept
}

/// What is left of a slice, with the present state of its endpoints; those are taken out of `wanted`.
fn draft(template: &EndpointSlice, slice: Arc<EndpointSlice>, wanted: &mut HashMap<Identity, Endpoint>) -> Draft {
    let mut changed = slice.metadata.labels != template.metadata.labels;
    let mut endpoints = Vec::new();
    for old in slice.endpoints.iter().flatten() {
        match wanted.remove(&identity(old)) {
            Some(new) => {
                changed |= new != *old;
                endpoints.push(new);
            }
            None => changed = true,
        }
    }
    Draft { before: slice, endpoints, changed }
}

impl Draft {
    fn fill(&mut self, from: &mut Vec<Endpoint>) {
        let room = SLICE.saturating_sub(self.endpoints.len()).min(from.len());
        self.changed |= room > 0;
        self.endpoints.extend(from.drain(..room));
    }
}

/// Writes new slices over those that would be deleted: one change instead of two.
fn reuse(template: &EndpointSlice, plan: &mut Plan) {
    while !plan.create.is_empty() && !plan.delete.is_empty() {
        let (Some(new), Some(old)) = (plan.create.pop(), plan.delete.pop()) else { return };
        let ports = new.ports.unwrap_or_default();
        plan.update.push(changed(template, &old, &ports, new.endpoints.unwrap_or_default()));
    }
}

fn keep_placeholder(template: &EndpointSlice, plan: &mut Plan) {
    let is_placeholder = |slice: &Arc<EndpointSlice>| {
        slice.endpoints.iter().flatten().next().is_none()
            && slice.ports.iter().flatten().next().is_none()
            && slice.metadata.labels == template.metadata.labels
    };
    if let Some(index) = plan.delete.iter().position(is_placeholder) {
        plan.delete.remove(index);
    } else if let Some(old) = plan.delete.pop() {
        plan.update.push(changed(template, &old, &[], Vec::new()));
    } else {
        plan.create.push(made(template, &[], Vec::new()));
    }
}

fn made(template: &EndpointSlice, ports: &[EndpointPort], endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice { ports: Some(ports.to_vec()), endpoints: Some(endpoints), ..template.clone() }
}

fn changed(
    template: &EndpointSlice,
    old: &EndpointSlice,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let mut new = EndpointSlice { ports: Some(ports.to_vec()), endpoints: Some(endpoints), ..old.clone() };
    new.metadata.labels = template.metadata.labels.clone();
    let annotations = template.metadata.annotations.clone().unwrap_or_default();
    new.metadata.annotations.get_or_insert_default().extend(annotations);
    new
}

/// What makes two endpoints the same whatever their state: the object and the addresses.
type Identity = (Option<String>, Vec<String>);

fn identity(endpoint: &Endpoint) -> Identity {
    (endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()), endpoint.addresses.clone())
}

fn sorted(mut ports: Vec<EndpointPort>) -> Vec<EndpointPort> {
    let key = |port: &EndpointPort| (port.name.clone().unwrap_or_default(), port.protocol.clone(), port.port);
    ports.sort_by_key(key);
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::discovery::v1::EndpointConditions;
    use std::collections::BTreeMap;

    fn endpoint(number: usize, ready: bool) -> Endpoint {
        Endpoint {
            addresses: vec![format!("10.0.{}.{}", number / 250, number % 250)],
            conditions: Some(EndpointConditions { ready: Some(ready), ..Default::default() }),
            ..Default::default()
        }
    }

    fn group(port: i32, endpoints: Vec<Endpoint>) -> Group {
        Group { ports: vec![EndpointPort { port: Some(port), ..Default::default() }], endpoints }
    }

    fn template() -> EndpointSlice {
        let mut template = EndpointSlice { address_type: "IPv4".into(), ..Default::default() };
        template.metadata.labels = Some(BTreeMap::from([("a".into(), "b".into())]));
        template
    }

    fn existing(port: i32, range: std::ops::Range<usize>) -> Arc<EndpointSlice> {
        let group = group(port, range.map(|number| endpoint(number, true)).collect());
        let mut slice = made(&template(), &group.ports, group.endpoints);
        slice.metadata.name = Some("old".into());
        Arc::new(slice)
    }

    fn counts(plan: &Plan) -> (usize, usize, usize) {
        (plan.create.len(), plan.update.len(), plan.delete.len())
    }

    #[test]
    fn slices_hold_at_most_a_hundred() {
        let plan = pack(&template(), &[], vec![group(80, (0..250).map(|n| endpoint(n, true)).collect())], true);
        let sizes: Vec<usize> = plan.create.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let all = (0..5).map(|n| endpoint(n, true)).collect();
        assert_eq!(counts(&pack(&template(), &[existing(80, 0..5)], vec![group(80, all)], true)), (0, 0, 0));
    }

    #[test]
    fn a_new_endpoint_goes_into_the_slice_that_has_room() {
        let all = (0..6).map(|n| endpoint(n, n != 2)).collect();
        let plan = pack(&template(), &[existing(80, 0..5)], vec![group(80, all)], true);
        assert_eq!(counts(&plan), (0, 1, 0));
        let endpoints = plan.update[0].endpoints.clone().unwrap();
        assert_eq!(endpoints.len(), 6);
        assert_eq!(endpoints[2].conditions.as_ref().unwrap().ready, Some(false));
    }

    #[test]
    fn other_ports_are_written_over_the_old_slice() {
        let plan = pack(&template(), &[existing(80, 0..2)], vec![group(81, vec![endpoint(0, true)])], true);
        assert_eq!(counts(&plan), (0, 1, 0));
        assert_eq!(plan.update[0].ports.as_ref().unwrap()[0].port, Some(81));
    }

    #[test]
    fn an_empty_slice_stands_for_no_endpoints() {
        assert_eq!(counts(&pack(&template(), &[], vec![], true)), (1, 0, 0));
        let emptied = pack(&template(), &[existing(80, 0..2)], vec![], true);
        assert_eq!(counts(&emptied), (0, 1, 0));
        let settled = [Arc::new(emptied.update[0].clone())];
        assert_eq!(counts(&pack(&template(), &settled, vec![], true)), (0, 0, 0));
        assert_eq!(counts(&pack(&template(), &[existing(80, 0..2)], vec![], false)), (0, 0, 1));
    }
}
