//! What is written in a table of the packet filter and who wants it: turns "this is what I want now" of one owner into the
//! least change of the table.
//!
//! An owner (a service, a policy, a pod) wants elements of sets and chains of its own. Two owners may want the same element;
//! the first keeps it, and when it lets go the next one gets it. No kernel here: everything is plain data.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// What one owner wants: elements with their data, chains with their rules by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<E, D, R> {
    pub elements: BTreeMap<E, D>,
    /// Chain names are unique among all owners.
    pub chains: BTreeMap<String, Vec<R>>,
}

impl<E, D, R> Default for Wanted<E, D, R> {
    fn default() -> Self {
        Self { elements: BTreeMap::new(), chains: BTreeMap::new() }
    }
}

/// The least change of a table, in the order in which it must be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Change<E, D, R> {
    /// Elements that go; one that only gets other data goes and comes.
    pub removed: Vec<E>,
    /// Chains that come, without their rules.
    pub made: Vec<String>,
    /// Elements that come.
    pub added: Vec<(E, D)>,
    /// The rules of chains that came or changed; a chain that changed is emptied first.
    pub written: Vec<(String, Vec<R>)>,
    /// Chains that go, after everything that named them.
    pub gone: Vec<String>,
}

impl<E, D, R> Default for Change<E, D, R> {
    fn default() -> Self {
        Self { removed: Vec::new(), made: Vec::new(), added: Vec::new(), written: Vec::new(), gone: Vec::new() }
    }
}

impl<E, D, R> Change<E, D, R> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.written.is_empty() && self.gone.is_empty()
    }
}

/// Everything that is wanted of one table.
pub struct Ledger<O, E, D, R> {
    owners: HashMap<O, Wanted<E, D, R>>,
    /// Who wants an element, in the order in which they came; the first has it.
    claims: HashMap<E, Vec<O>>,
    ids: HashMap<String, u32>,
    next_id: u32,
}

impl<O, E, D, R> Default for Ledger<O, E, D, R> {
    fn default() -> Self {
        Self { owners: HashMap::new(), claims: HashMap::new(), ids: HashMap::new(), next_id: 1 }
    }
}

impl<O, E, D, R> Ledger<O, E, D, R>
where
    O: Clone + Eq + Hash,
    E: Clone + Ord + Hash,
    D: Clone + PartialEq,
    R: Clone + PartialEq,
{
    /// The number of a chain, for elements that belong to it. The same name has the same number while the chain is there.
    pub fn id(&mut self, chain: &str) -> u32 {
        if let Some(id) = self.ids.get(chain) {
            return *id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.ids.insert(chain.into(), id);
        id
    }

    /// Who wants something.
    pub fn owners(&self) -> impl Iterator<Item = &O> {
        self.owners.keys()
    }

    /// What an owner wants, if anything.
    pub fn get(&self, owner: &O) -> Option<&Wanted<E, D, R>> {
        self.owners.get(owner)
    }

    /// Takes in what these owners want from now on (an owner that wants nothing is forgotten). No owner may be named twice.
    pub fn update(&mut self, wanted: impl IntoIterator<Item = (O, Wanted<E, D, R>)>) -> Change<E, D, R> {
        let mut change = Change::default();
        let mut touched = BTreeMap::new();
        for (owner, new) in wanted {
            let old = self.owners.remove(&owner).unwrap_or_default();
            self.update_elements(&owner, &old, &new, &mut touched);
            self.update_chains(&old, &new, &mut change);
            if !new.elements.is_empty() || !new.chains.is_empty() {
                self.owners.insert(owner, new);
            }
        }
        for (element, (before, after)) in touched {
            if before == after {
                continue;
            }
            if before.is_some() {
                change.removed.push(element.clone());
            }
            change.added.extend(after.map(|data| (element, data)));
        }
        change
    }

    /// Everything, as a change of an empty table.
    pub fn whole(&self) -> Change<E, D, R> {
        let mut change = Change::default();
        let mut elements: Vec<_> = self.claims.keys().collect();
        elements.sort();
        for element in elements {
            let data = self.data(element);
            change.added.extend(data.map(|data| (element.clone(), data)));
        }
        let chains: BTreeMap<_, _> = self.owners.values().flat_map(|wanted| &wanted.chains).collect();
        for (name, rules) in chains {
            change.made.push(name.clone());
            change.written.push((name.clone(), rules.clone()));
        }
        change
    }

    /// The data that an element has now.
    fn data(&self, element: &E) -> Option<D> {
        let first = self.claims.get(element)?.first()?;
        self.owners.get(first)?.elements.get(element).cloned()
    }

    fn update_elements(
        &mut self,
        owner: &O,
        old: &Wanted<E, D, R>,
        new: &Wanted<E, D, R>,
        touched: &mut BTreeMap<E, (Option<D>, Option<D>)>,
    ) {
        let gone =
            old.elements.keys().filter(|element| !new.elements.contains_key(element)).map(|element| (element, None));
        let differs = |(element, data): &(&E, &D)| old.elements.get(element) != Some(data);
        let here = new.elements.iter().filter(differs).map(|(element, data)| (element, Some(data)));
        for (element, data) in gone.chain(here) {
            let claims = self.claims.entry(element.clone()).or_default();
            let first = claims.first().cloned();
            // The owner itself is out of the table of owners here, so its data is asked of `old`.
            let data_of = |claimant: Option<&O>, own: Option<&D>| match claimant {
                Some(claimant) if claimant == owner => own.cloned(),
                Some(claimant) => self.owners.get(claimant).and_then(|wanted| wanted.elements.get(element)).cloned(),
                None => None,
            };
            let before = data_of(first.as_ref(), old.elements.get(element));
            match data {
                None => claims.retain(|claimant| claimant != owner),
                Some(_) if !claims.contains(owner) => claims.push(owner.clone()),
                Some(_) => {}
            }
            let after = data_of(claims.first(), data);
            if claims.is_empty() {
                self.claims.remove(element);
            }
            match touched.entry(element.clone()) {
                Entry::Vacant(entry) => drop(entry.insert((before, after))),
                Entry::Occupied(mut entry) => entry.get_mut().1 = after,
            }
        }
    }

    fn update_chains(&mut self, old: &Wanted<E, D, R>, new: &Wanted<E, D, R>, change: &mut Change<E, D, R>) {
        for (name, rules) in &new.chains {
            match old.chains.get(name) {
                Some(present) if present == rules => continue,
                Some(_) => {}
                None => change.made.push(name.clone()),
            }
            change.written.push((name.clone(), rules.clone()));
        }
        for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
            self.ids.remove(name);
            change.gone.push(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Wanted<&'static str, u8, u8>;

    fn wanted(elements: &[(&'static str, u8)], chains: &[(&str, &[u8])]) -> Plain {
        Wanted {
            elements: elements.iter().copied().collect(),
            chains: chains.iter().map(|(name, rules)| (name.to_string(), rules.to_vec())).collect(),
        }
    }

    #[test]
    fn only_what_differs_is_changed() {
        let mut ledger = Ledger::default();
        let first =
            ledger.update([("a", wanted(&[("x", 1), ("y", 1)], &[("c", &[1])])), ("b", wanted(&[("z", 1)], &[]))]);
        assert_eq!(first.added, [("x", 1), ("y", 1), ("z", 1)]);
        assert_eq!((first.made.len(), first.written.len()), (1, 1));
        let second = ledger.update([("a", wanted(&[("x", 1), ("y", 2), ("w", 1)], &[("c", &[1])]))]);
        assert_eq!(second.removed, ["y"]);
        assert_eq!(second.added, [("w", 1), ("y", 2)]);
        assert!(second.made.is_empty() && second.written.is_empty() && second.gone.is_empty());
        let third = ledger.update([("a", wanted(&[("x", 1), ("y", 2), ("w", 1)], &[("c", &[1, 2])]))]);
        assert_eq!(third.written, [("c".to_string(), vec![1, 2])]);
        assert!(third.made.is_empty() && third.removed.is_empty());
        assert!(ledger.update([("a", wanted(&[("x", 1), ("y", 2), ("w", 1)], &[("c", &[1, 2])]))]).is_empty());
    }

    #[test]
    fn an_element_wanted_twice_stays_with_the_first_and_goes_to_the_next() {
        let mut ledger = Ledger::default();
        ledger.update([("a", wanted(&[("x", 1)], &[]))]);
        assert!(ledger.update([("b", wanted(&[("x", 2)], &[]))]).is_empty());
        let handed_on = ledger.update([("a", wanted(&[], &[]))]);
        assert_eq!((handed_on.removed, handed_on.added), (vec!["x"], vec![("x", 2)]));
        assert!(ledger.get(&"a").is_none() && ledger.get(&"b").is_some());
        let gone = ledger.update([("b", Plain::default())]);
        assert_eq!((gone.removed, gone.added), (vec!["x"], vec![]));
    }

    #[test]
    fn one_change_touches_an_element_once() {
        let mut ledger = Ledger::default();
        ledger.update([("a", wanted(&[("x", 1)], &[])), ("b", wanted(&[("x", 2)], &[]))]);
        let change = ledger.update([("a", wanted(&[], &[])), ("b", wanted(&[("x", 3)], &[]))]);
        assert_eq!((change.removed, change.added), (vec!["x"], vec![("x", 3)]));
        let swapped = ledger.update([("b", wanted(&[], &[])), ("c", wanted(&[("x", 3)], &[]))]);
        assert!(swapped.is_empty(), "the same element with the same data stays");
    }

    #[test]
    fn a_chain_has_one_number_for_its_life() {
        let mut ledger: Ledger<&str, &str, u8, u8> = Ledger::default();
        let id = ledger.id("c");
        ledger.update([("a", wanted(&[], &[("c", &[1])]))]);
        assert_eq!(ledger.id("c"), id);
        assert_eq!(ledger.update([("a", wanted(&[], &[]))]).gone, ["c"]);
        assert_ne!(ledger.id("c"), id);
    }

    #[test]
    fn the_whole_is_what_all_updates_made() {
        let mut ledger = Ledger::default();
        ledger.update([("a", wanted(&[("x", 1)], &[("c", &[1])])), ("b", wanted(&[("x", 2), ("y", 1)], &[]))]);
        let whole = ledger.whole();
        assert_eq!(whole.added, [("x", 1), ("y", 1)]);
        assert_eq!(whole.written, [("c".to_string(), vec![1])]);
    }
}
