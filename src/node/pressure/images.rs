//! Images that nobody uses: which they are, since when, and removing them.
//!
//! Source of the rules: kubelet `pkg/kubelet/images/image_gc_manager.go`.

use super::shortage::Supply;
use crate::images::BUILT_IN;
use crate::node::border::Image;
use crate::node::context::Node;
use crate::node::pod::parts;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// An image that came just now stays: the pod that it is for may not have started.
const YOUTH: Duration = Duration::from_secs(2 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    found: Instant,
    used: Option<Instant>,
}

/// When images were found and used.
#[derive(Default)]
pub struct Ledger(HashMap<String, Known>);

/// Bytes to free so that the disk is used up to the lower of two percentages, once the higher one is reached.
pub fn to_free(disk: &Supply, (high, low): (u8, u8)) -> Option<u64> {
    let free = |percent: u8| (u128::from(disk.capacity) * u128::from(100 - percent.min(100)) / 100) as u64;
    let is_due = high < 100 && disk.capacity > 0 && disk.available <= free(high);
    is_due.then(|| free(low).saturating_sub(disk.available)).filter(|wanted| *wanted > 0)
}

impl Ledger {
    /// Looks at what is used, then frees so many bytes at least, if there is so much; returns how many.
    pub async fn free(&mut self, node: &Node, wanted: u64, now: Instant) -> u64 {
        let Ok(images) = node.images.list().await else {
            // The store says so itself to whoever wants an image; nothing is removed meanwhile.
            return 0;
        };
        let Some(in_use) = in_use(node).await else { return 0 };
        self.note(&images, &in_use, now);
        let mut freed = 0;
        for image in self.unused(&images, &in_use, now) {
            if freed >= wanted {
                break;
            }
            match node.images.remove(&image.id).await {
                Ok(()) => freed += image.size,
                Err(error) => tracing::info!(%error, image = image.id, "unused image not removed"),
            }
        }
        if freed > 0 {
            node.images_changed.notify_one();
        }
        freed
    }

    fn note(&mut self, images: &[Image], in_use: &HashSet<String>, now: Instant) {
        self.0.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images {
            let known = self.0.entry(image.id.clone()).or_insert(Known { found: now, used: None });
            if in_use.contains(&image.id) {
                known.used = Some(now);
            }
        }
    }

    /// What may go, the longest unused first.
    fn unused<'a>(&self, images: &'a [Image], in_use: &HashSet<String>, now: Instant) -> Vec<&'a Image> {
        let is_built_in = |image: &Image| image.tags.iter().any(|tag| tag.split('/').next() == Some(BUILT_IN));
        let is_old =
            |image: &Image| self.0.get(&image.id).is_some_and(|known| now.duration_since(known.found) >= YOUTH);
        let mut all: Vec<&Image> =
            images.iter().filter(|image| !in_use.contains(&image.id) && !is_built_in(image) && is_old(image)).collect();
        all.sort_by_key(|image| self.0.get(&image.id).map(|known| (known.used, known.found)));
        all
    }
}

/// Images of containers that there are, and of pods that are to run; nothing if the runtime does not tell.
async fn in_use(node: &Node) -> Option<HashSet<String>> {
    let (_, containers) = node.runtime.list().await.ok()?;
    let mut ids: HashSet<String> = containers.into_iter().map(|container| container.spec.image).collect();
    for seen in node.pods.list().iter().filter(|seen| !seen.is_over) {
        for (_, container) in parts::containers(&seen.pod) {
            // What cannot be resolved is not there, and needs no protection.
            if let Ok(Some(image)) = node.images.resolve(container.image.as_deref().unwrap_or_default()).await {
                ids.insert(image.id);
            }
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, tag: &str) -> Image {
        Image { id: id.into(), tags: vec![tag.into()], size: 10, ..Image::default() }
    }

    #[test]
    fn a_budget_is_kept_between_its_two_marks() {
        let disk = |available| Supply { available, capacity: 1000 };
        assert_eq!(to_free(&disk(151), (85, 80)), None);
        assert_eq!(to_free(&disk(150), (85, 80)), Some(50));
        assert_eq!(to_free(&disk(0), (85, 80)), Some(200));
        assert_eq!(to_free(&disk(0), (100, 80)), None, "no budget");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_unused_go_first_and_what_is_used_built_in_or_new_stays() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut images = vec![image("never", "a"), image("long", "b"), image("just", "c"), image("used", "d")];
        images.push(image("own", "coracle.local/hello:latest"));
        let used = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect::<HashSet<String>>();
        ledger.note(&images, &used(&["long", "just", "used"]), at(0));
        ledger.note(&images, &used(&["just", "used"]), at(5));
        images.push(image("new", "e"));
        ledger.note(&images, &used(&["used"]), at(10));
        let names: Vec<&str> =
            ledger.unused(&images, &used(&["used"]), at(11)).iter().map(|one| one.id.as_str()).collect();
        assert_eq!(names, ["never", "long", "just"]);
        images.remove(0);
        ledger.note(&images, &used(&[]), at(12));
        assert!(!ledger.0.contains_key("never"));
    }
}
