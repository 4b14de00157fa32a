//! The pods behind a service, and which of them is next.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Addresses that a port of a service leads to, `10.244.0.7:8080` each.
#[derive(Debug, Default)]
pub struct Backend {
    endpoints: Vec<Arc<str>>,
    next: AtomicUsize,
    /// What is there instead, once pods have come or gone: requests may be under way that know this one only.
    successor: watch::Sender<Option<Arc<Backend>>>,
}

impl Backend {
    /// Those endpoints; who is first is chance, so that many small tables do not all begin with the same pod.
    pub fn new(mut endpoints: Vec<Arc<str>>) -> Self {
        endpoints.sort();
        endpoints.dedup();
        Self { endpoints, next: AtomicUsize::new(rand::random::<u16>().into()), ..Self::default() }
    }

    /// Tells who knows this one only what is there instead.
    pub fn replace(&self, successor: Arc<Backend>) {
        self.successor.send_replace(Some(successor));
    }

    /// What is there now.
    pub fn latest(self: &Arc<Self>) -> Arc<Self> {
        let mut latest = self.clone();
        while let Some(next) = latest.next() {
            latest = next;
        }
        latest
    }

    fn next(&self) -> Option<Arc<Self>> {
        self.successor.borrow().clone()
    }

    /// Waits until an address is there no longer.
    pub async fn without(self: Arc<Self>, address: Arc<str>) {
        let mut known = self;
        loop {
            // The sender is in what is held here: an error cannot come.
            known.successor.subscribe().wait_for(Option::is_some).await.ok();
            let Some(next) = known.next() else { return };
            if !next.endpoints.contains(&address) {
                return;
            }
            known = next;
        }
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// One of them, counted round.
    pub fn at(&self, index: usize) -> Option<&Arc<str>> {
        self.endpoints.get(index % self.endpoints.len().max(1))
    }

    /// The next one in turn.
    pub fn in_turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.endpoints.len().max(1)
    }

    /// The one of a key: the same for the same key, and other keys stay where they are when pods come and go.
    pub fn by_key(&self, key: &str) -> usize {
        let weight = |endpoint: &Arc<str>| {
            let mut hasher = DefaultHasher::new();
            (key, endpoint).hash(&mut hasher);
            hasher.finish()
        };
        let best = self.endpoints.iter().enumerate().max_by_key(|(_, endpoint)| weight(endpoint));
        best.map_or(0, |(index, _)| index)
    }

    /// The one that a cookie stands for.
    pub fn by_cookie(&self, value: &str) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| cookie_of(endpoint) == value)
    }

    /// All of them, beginning with one.
    pub fn from(&self, first: usize) -> impl Iterator<Item = &Arc<str>> {
        let (before, after) = self.endpoints.split_at(first.min(self.endpoints.len()));
        after.iter().chain(before)
    }
}

/// What a cookie says for an endpoint. It does not say the address.
pub fn cookie_of(endpoint: &str) -> String {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(endpoint.as_bytes());
    hex::encode(&digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(names: &[&str]) -> Backend {
        Backend::new(names.iter().map(|name| Arc::from(*name)).collect())
    }

    #[test]
    fn everybody_has_their_turn() {
        let backend = backend(&["a", "b", "c"]);
        let mut turns: Vec<usize> = (0..6).map(|_| backend.in_turn()).collect();
        turns.sort_unstable();
        assert_eq!(turns, [0, 0, 1, 1, 2, 2]);
        let from: Vec<&str> = backend.from(1).map(|endpoint| &**endpoint).collect();
        assert_eq!(from, ["b", "c", "a"]);
        assert_eq!(self::backend(&[]).from(0).count(), 0);
    }

    #[test]
    fn keys_stay_with_their_pod_when_another_goes() {
        let (three, two) = (backend(&["a", "b", "c"]), backend(&["a", "b"]));
        for key in ["/1", "/2", "/3", "/4", "/5", "/6", "/7"] {
            let before = three.from(three.by_key(key)).next().unwrap();
            let after = two.from(two.by_key(key)).next().unwrap();
            assert!(&**before == "c" || before == after, "{key}");
        }
    }

    #[tokio::test]
    async fn who_knows_an_older_list_hears_of_the_newer() {
        let (old, new) = (Arc::new(backend(&["a", "b"])), Arc::new(backend(&["b", "c"])));
        let gone = tokio::spawn(old.clone().without("a".into()));
        let stays = tokio::spawn(old.clone().without("b".into()));
        assert!(Arc::ptr_eq(&old.latest(), &old));
        old.replace(new.clone());
        gone.await.unwrap();
        assert!(Arc::ptr_eq(&old.latest(), &new) && !stays.is_finished());
        new.replace(Arc::new(backend(&["c"])));
        stays.await.unwrap();
    }

    #[test]
    fn a_cookie_leads_back_to_its_pod() {
        let backend = backend(&["a", "b"]);
        assert_eq!(backend.by_cookie(&cookie_of("b")), Some(1));
        assert_eq!(backend.by_cookie(&cookie_of("c")), None);
    }
}
