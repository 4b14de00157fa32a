//! What the store promises, on real files.

use super::*;

fn key(name: &str) -> Key {
    Key { resource: "configmaps".into(), namespace: "default".into(), name: name.into() }
}

fn draft(text: &str) -> Draft {
    let head = format!("{{\"v\":\"{text}\",\"rv\":\"");
    Draft { gap: head.len(), bytes: (head + "\"}").into_bytes() }
}

fn put(name: &str, text: &str, expected: Expected) -> Op {
    Op { key: key(name), expected, draft: draft(text), selection: Selection::default(), is_delete: false }
}

fn delete(name: &str, revision: u64) -> Op {
    Op { is_delete: true, ..put(name, "gone", Expected::Revision(revision)) }
}

async fn create(store: &Store, name: &str) -> u64 {
    store.write(vec![put(name, "x", Expected::Absent)]).await.unwrap()[0].revision
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let a = create(&store, "a").await;
    create(&store, "b").await;
    store.write(vec![delete("a", a)]).await.unwrap();
    drop(store);
    let store = reopen(folder.path()).await;
    assert!(store.get(&key("a")).is_none());
    assert_eq!(store.get(&key("b")).unwrap().bytes, "{\"v\":\"x\",\"rv\":\"2\"}");
    assert_eq!(store.revision(), 3);
}

/// The writer thread of a dropped store lets go of the file a moment later.
async fn reopen(folder: &std::path::Path) -> Store {
    loop {
        match Store::open(folder) {
            Ok(store) => return store,
            Err(Error::Unreadable(_, error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::task::yield_now().await
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_write_on_an_old_revision_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let first = create(&store, "a").await;
    store.write(vec![put("a", "y", Expected::Revision(first))]).await.unwrap();
    let refused = store.write(vec![put("b", "z", Expected::Absent), put("a", "z", Expected::Revision(first))]).await;
    assert!(matches!(refused, Err(Error::Changed(_))));
    assert!(store.get(&key("b")).is_none(), "all or nothing");
    assert!(matches!(store.write(vec![put("a", "z", Expected::Absent)]).await, Err(Error::Exists(_))));
    assert!(matches!(store.write(vec![delete("c", 1)]).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut watch = store.watch("configmaps", 0).unwrap();
    let a = create(&store, "a").await;
    store.write(vec![delete("a", a)]).await.unwrap();
    create(&store, "b").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(watch.next().await.unwrap().iter().map(|event| (event.happened, event.entry.revision)));
    }
    assert_eq!(seen, [(Happened::Added, 1), (Happened::Deleted, 2), (Happened::Added, 3)]);
    assert_eq!(watch.position(), 3);
    let mut resumed = store.watch("configmaps", 2).unwrap();
    let events = resumed.next().await.unwrap();
    assert_eq!(events[0].wire(), &b"{\"type\":\"ADDED\",\"object\":{\"v\":\"x\",\"rv\":\"3\"}}\n"[..]);
}

#[tokio::test]
async fn a_watch_from_before_the_log_is_told_to_list_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    create(&store, "a").await;
    drop(store);
    let store = reopen(folder.path()).await;
    assert!(matches!(store.watch("configmaps", 0), Err(Error::Expired { asked: 0, oldest: 1 })));
    assert!(store.watch("configmaps", 1).is_ok());
}

#[tokio::test]
async fn a_list_at_an_older_revision_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let a = create(&store, "a").await;
    let then = create(&store, "b").await;
    store.write(vec![delete("a", a)]).await.unwrap();
    create(&store, "c").await;
    let names =
        |at| store.list("configmaps", None, at).unwrap().entries.iter().map(|e| e.key.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(Some(then)), ["a", "b"]);
    assert_eq!(names(None), ["b", "c"]);
    assert_eq!(store.list("configmaps", Some("other"), None).unwrap().entries.len(), 0);
}

/// The bytes of the file that are records.
fn records(folder: &std::path::Path) -> Vec<u8> {
    let mut content = std::fs::read(folder.join("objects.log")).unwrap();
    content.truncate(content.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    content
}

/// A store of a file.
fn opened(content: &[u8]) -> Result<(Store, tempfile::TempDir), Error> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("objects.log"), content).unwrap();
    Ok((Store::open(folder.path())?, folder))
}

#[tokio::test]
async fn a_torn_last_record_is_dropped_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    create(&store, "a").await;
    let whole = records(folder.path());
    create(&store, "b").await;
    let both = records(folder.path());
    for length in whole.len()..both.len() {
        // Cut off; or zeros from there on, or up to there, as the blocks of a disk are not written in order.
        let filled = [&both[..length], &vec![0; both.len() + 100 - length]].concat();
        let holed = [&whole[..], &vec![0; length - whole.len() + 1], &both[length + 1..], &[0; 100]].concat();
        for torn in [&both[..length], &filled, &holed] {
            let (store, _folder) = opened(torn).unwrap();
            assert!(store.get(&key("a")).is_some() && store.get(&key("b")).is_none(), "torn at {length}");
            assert_eq!(create(&store, "c").await, 2, "a write goes on behind the last whole record");
        }
    }
}

#[tokio::test]
async fn damage_before_the_end_is_refused_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    create(&store, "a").await;
    let first = records(folder.path()).len();
    create(&store, "b").await;
    let content = records(folder.path());
    for at in 0..first {
        let mut damaged = content.clone();
        damaged[at] ^= 1;
        assert!(matches!(opened(&damaged), Err(Error::Damaged { offset: 0, .. })), "at {at}");
    }
}

#[tokio::test]
async fn writes_at_once_are_all_numbered_differently() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
    let revisions = futures::future::join_all(names.iter().map(|name| create(&store, name))).await;
    let unique: std::collections::BTreeSet<u64> = revisions.iter().copied().collect();
    assert_eq!(unique.len(), 200);
    assert_eq!(store.revision(), 200);
}

#[tokio::test]
async fn a_file_written_anew_holds_what_lives_and_the_revision() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (mut file, _) = log::File::open(folder.path()).unwrap();
        let mut tables = Tables { revision: 9, ..Tables::default() };
        let mut table = Table::new(0);
        let entry = Entry { key: key("a"), revision: 4, bytes: "{}".into(), selection: Selection::default() };
        table.load(Arc::new(entry));
        tables.by_resource.insert("configmaps".into(), table);
        file.rewrite(&tables).unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!((store.revision(), store.get(&key("a")).unwrap().revision), (9, 4));
}

#[tokio::test]
async fn a_file_is_worth_writing_anew_once_most_of_it_is_history() {
    let folder = tempfile::tempdir().unwrap();
    let (mut file, mut tables) = log::File::open(folder.path()).unwrap();
    let megabyte = "x".repeat(1 << 20);
    let mut table = Table::new(0);
    let pairs = |key: &str, value: &str| Pairs::from([(key.into(), value.into())]);
    let selection = Selection { labels: pairs("app", "web"), fields: pairs("metadata.name", "a") };
    for number in 0..20 {
        let key = key(&number.to_string());
        let entry = Entry { key, revision: number, bytes: megabyte.clone().into(), selection: selection.clone() };
        let mut record = Vec::new();
        log::encode(&mut record, number, &[log::Change { entry: &entry, is_delete: false }]);
        assert_eq!(log::size(&entry), record.len() as u64);
        file.append(&record).unwrap();
        table.load(Arc::new(entry));
    }
    tables.by_resource.insert("configmaps".into(), table);
    file.living = tables.size();
    assert!(!file.is_bloated(), "everything in it lives");
    for number in 0..15 {
        tables.by_resource.get_mut("configmaps").unwrap().unload("default", &number.to_string());
    }
    file.living = tables.size();
    assert!(file.is_bloated());
    file.rewrite(&tables).unwrap();
    assert!(!file.is_bloated());
    assert_eq!(tables.size() >> 20, 5);
    drop(file);
    let (file, again) = log::File::open(folder.path()).unwrap();
    assert_eq!((file.living, again.size()), (tables.size(), tables.size()));
}
