//! The entries of a map by key. Most maps of templates have few, which lie side by side; more are in a tree.

use super::value::Value;
use std::collections::{BTreeMap, btree_map};
use std::rc::Rc;
use std::slice;

/// More entries are in a tree: putting one between others that lie side by side moves these.
const FEW: usize = 32;

/// Entries in the order in which Go ranges and prints: by key.
#[derive(Clone)]
pub struct Entries(Kept);

#[derive(Clone)]
enum Kept {
    /// By key, none twice.
    Few(Vec<(Rc<str>, Value)>),
    Many(BTreeMap<Rc<str>, Value>),
}
use Kept::{Few, Many};

impl Default for Entries {
    fn default() -> Self {
        Self::new()
    }
}

impl Entries {
    /// None.
    pub const fn new() -> Self {
        Self(Few(Vec::new()))
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.0 {
            // Most keys differ in their length from the wanted one, which is seen at once.
            Few(entries) => entries.iter().find(|(own, _)| **own == *key).map(|(_, value)| value),
            Many(entries) => entries.get(key),
        }
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets a key; what was there before goes.
    pub fn insert(&mut self, key: Rc<str>, value: Value) {
        match &mut self.0 {
            // Keys often come in their order.
            Few(entries) if entries.len() < FEW && entries.last().is_none_or(|(last, _)| *last < key) => {
                entries.push((key, value));
            }
            Few(entries) => match entries.binary_search_by(|(own, _)| own.cmp(&key)) {
                Ok(place) => entries[place].1 = value,
                Err(place) if entries.len() < FEW => entries.insert(place, (key, value)),
                Err(_) => {
                    let mut many: BTreeMap<_, _> = std::mem::take(entries).into_iter().collect();
                    many.insert(key, value);
                    self.0 = Many(many);
                }
            },
            Many(entries) => drop(entries.insert(key, value)),
        }
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        match &mut self.0 {
            Few(entries) => entries.retain(|(own, _)| **own != *key),
            Many(entries) => drop(entries.remove(key)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Few(entries) => entries.len(),
            Many(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Few(entries) => Iter::Few(entries.iter()),
            Many(entries) => Iter::Many(entries.iter()),
        }
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &Rc<str>> {
        self.iter().map(|(key, _)| key)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    /// The same keys with other values; nothing if one of these has none.
    pub fn try_map(&self, mut map: impl FnMut(&Value) -> Option<Value>) -> Option<Self> {
        Some(Self(match &self.0 {
            Few(entries) => {
                Few(entries.iter().map(|(key, value)| Some((key.clone(), map(value)?))).collect::<Option<_>>()?)
            }
            Many(entries) => {
                Many(entries.iter().map(|(key, value)| Some((key.clone(), map(value)?))).collect::<Option<_>>()?)
            }
        }))
    }
}

/// Of two entries with one key the later one counts.
impl FromIterator<(Rc<str>, Value)> for Entries {
    fn from_iter<I: IntoIterator<Item = (Rc<str>, Value)>>(entries: I) -> Self {
        let mut made = Self::new();
        for (key, value) in entries {
            made.insert(key, value);
        }
        made
    }
}

/// What [`Entries::iter`] gives.
pub enum Iter<'a> {
    /// Entries side by side.
    Few(slice::Iter<'a, (Rc<str>, Value)>),
    /// Entries of a tree.
    Many(btree_map::Iter<'a, Rc<str>, Value>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Rc<str>, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Few(entries) => entries.next().map(|(key, value)| (key, value)),
            Iter::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Few(entries) => entries.size_hint(),
            Iter::Many(entries) => entries.size_hint(),
        }
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = (&'a Rc<str>, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(numbers: impl Iterator<Item = i64>) -> Entries {
        numbers.map(|number| (format!("{number:03}").into(), Value::int64(number))).collect()
    }

    fn seen(entries: &Entries) -> Vec<i64> {
        let number = |value: &Value| if let Value::Int(number, _) = value { *number } else { -1 };
        assert!(entries.keys().zip(entries.values()).all(|(key, value)| **key == format!("{:03}", number(value))));
        entries.values().map(number).collect()
    }

    #[test]
    fn few_and_many_are_in_the_order_of_their_keys() {
        for count in [0, 1, 31, 32, 33, 100] {
            let all: Vec<i64> = (0..count).collect();
            assert_eq!(seen(&entries(0..count)), all, "in their order");
            assert_eq!(seen(&entries((0..count).rev())), all, "backwards");
            assert_eq!(seen(&entries((0..count).chain(0..count))), all, "twice");
            assert_eq!(entries(0..count).len() as i64, count);
        }
    }

    #[test]
    fn a_key_is_found_set_and_taken_away_among_few_and_many() {
        for count in [3, 32, 33, 100] {
            let mut all = entries(0..count);
            assert!(all.contains_key("002") && !all.contains_key("2"));
            all.insert("002".into(), Value::int64(-1));
            assert!(matches!(all.get("002"), Some(Value::Int(-1, _))));
            all.remove("002");
            all.remove("none");
            assert!(!all.contains_key("002"));
            assert_eq!(all.len() as i64, count - 1);
        }
    }

    #[test]
    fn every_key_gets_another_value_unless_one_has_none() {
        for count in [3, 100] {
            let all = entries(0..count);
            let next = |value: &Value| match value {
                Value::Int(number, _) => Some(Value::from(number + 1)),
                _ => None,
            };
            let mapped = all.try_map(next).unwrap();
            assert!(mapped.keys().eq(all.keys()));
            let numbers: Vec<_> = mapped.values().map(|value| matches!(value, Value::Int(1.., _))).collect();
            assert_eq!(numbers, vec![true; count as usize]);
            assert!(all.try_map(|value| next(value).filter(|next| !matches!(next, Value::Int(3, _)))).is_none());
        }
    }
}
