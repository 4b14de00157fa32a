//! `list`: the releases of a namespace or of all, one line each.
//!
//! Source: helm/helm `pkg/action/list.go`.

use super::Actions;
use super::error::Error;
use super::record::{Release, Status};
use crate::api::selector::Selector;
use std::collections::BTreeMap;

/// Which releases are wanted, and in which order.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// States to show; empty for all.
    pub statuses: Vec<Status>,
    /// A regular expression over names.
    pub filter: String,
    /// A selector over labels of records.
    pub selector: String,
    pub by_date: bool,
    pub reverse: bool,
    /// 0 for no limit.
    pub limit: usize,
    pub offset: usize,
}

impl Actions {
    /// The newest revision of each release that is wanted (every superseded one, if only those are).
    pub async fn list(&self, wanted: &List) -> Result<Vec<Release>, Error> {
        let held = self.storage.list(super::storage::ALL).await?;
        select(held.into_iter().map(|held| held.release).collect(), wanted)
    }
}

/// Those of `releases` that are wanted, in order.
pub fn select(mut releases: Vec<Release>, wanted: &List) -> Result<Vec<Release>, Error> {
    if !wanted.filter.is_empty() {
        let filter = crate::charts::functions::expression(&wanted.filter).map_err(Error::text)?;
        releases.retain(|release| filter.is_match(&release.name));
    }
    let count = releases.len();
    if wanted.statuses != [Status::Superseded] {
        releases = newest(releases);
    }
    if !wanted.statuses.is_empty() {
        releases.retain(|release| wanted.statuses.contains(&release.info.status));
    }
    let selector = Selector::parse_labels(&wanted.selector).map_err(|error| Error::text(error.0))?;
    releases.retain(|release| selector.matches(|key| release.labels.get(key).map(String::as_str)));
    match (wanted.by_date, wanted.reverse) {
        (false, false) => releases.sort_by(|a, b| a.name.cmp(&b.name)),
        (false, true) => releases.sort_by(|a, b| b.name.cmp(&a.name)),
        (true, false) => releases.sort_by_key(Release::deployed_at),
        (true, true) => releases.sort_by_key(|release| std::cmp::Reverse(release.deployed_at())),
    }
    let limit = if wanted.limit == 0 { count } else { wanted.limit };
    Ok(releases.into_iter().skip(wanted.offset).take(limit).collect())
}

fn newest(releases: Vec<Release>) -> Vec<Release> {
    let mut newest: BTreeMap<(String, String), Release> = BTreeMap::new();
    for release in releases {
        let key = (release.namespace.clone(), release.name.clone());
        if newest.get(&key).is_none_or(|other| other.version <= release.version) {
            newest.insert(key, release);
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::time::Time;
    use super::*;

    fn release(name: &str, version: i64, status: Status, day: u8) -> Release {
        let mut release = Release { name: name.into(), version, ..Release::default() };
        release.info.status = status;
        release.info.last_deployed = Time::parse(&format!("2026-01-0{day}T00:00:00Z"));
        release.labels.insert("team".into(), name.into());
        release
    }

    fn names(wanted: &List) -> Vec<String> {
        let all = vec![
            release("b", 1, Status::Superseded, 1),
            release("b", 2, Status::Deployed, 5),
            release("a", 1, Status::Failed, 6),
            release("c", 1, Status::PendingInstall, 2),
        ];
        let found = select(all, wanted).unwrap();
        found.iter().map(|release| format!("{}{}", release.name, release.version)).collect()
    }

    #[test]
    fn the_newest_revisions_are_listed_by_name_or_date() {
        assert_eq!(names(&List::default()), ["a1", "b2", "c1"]);
        assert_eq!(names(&List { by_date: true, ..List::default() }), ["c1", "b2", "a1"]);
        assert_eq!(names(&List { by_date: true, reverse: true, ..List::default() }), ["a1", "b2", "c1"]);
        assert_eq!(names(&List { reverse: true, limit: 1, offset: 1, ..List::default() }), ["b2"]);
    }

    #[test]
    fn states_names_and_labels_choose() {
        assert_eq!(names(&List { statuses: vec![Status::Superseded], ..List::default() }), ["b1"]);
        assert_eq!(names(&List { statuses: vec![Status::Failed, Status::Superseded], ..List::default() }), ["a1"]);
        assert_eq!(names(&List { filter: "^[ab]$".into(), ..List::default() }), ["a1", "b2"]);
        assert_eq!(names(&List { selector: "team!=b".into(), ..List::default() }), ["a1", "c1"]);
    }

    #[test]
    fn a_filter_that_is_no_expression_is_refused() {
        let told = select(Vec::new(), &List { filter: "[".into(), ..List::default() }).unwrap_err();
        assert_eq!(told.to_string(), "error parsing regexp: missing closing ]: `[`");
    }
}
