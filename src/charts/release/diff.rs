//! `diff`: what an upgrade would change, line by line.
//!
//! Two manifests are compared object by object; the change of an object is a unified diff of its text. What is secret is
//! compared too, but shown as its length only, unless it is asked for.

use super::error::Error;
use super::manifest;
use crate::api::Object;
use crate::charts::decode;
use serde_json::Value;
use std::collections::BTreeMap;

/// How an object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Same(String),
    Added(String),
    Removed(String),
    /// Lines that are the same and far from any change.
    Gap,
}

/// The difference of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `namespace, name, Kind (group)`.
    pub title: String,
    pub kind: Kind,
    pub lines: Vec<Line>,
}

/// How manifests are compared.
#[derive(Clone, Copy, Debug)]
pub struct Compare<'a> {
    /// Where objects are that name no namespace.
    pub namespace: &'a str,
    pub show_secrets: bool,
    /// Lines of context around a change.
    pub context: usize,
}

/// The objects that differ between two manifests, in the order of their titles.
pub fn manifests(old: &str, new: &str, how: Compare) -> Result<Vec<Change>, Error> {
    let (old, new) = (titled(old, how)?, titled(new, how)?);
    let mut titles: Vec<&String> = old.keys().chain(new.keys()).collect();
    titles.sort();
    titles.dedup();
    let change = |title: &String| {
        let (before, after) = (old.get(title), new.get(title));
        let kind = match (before, after) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            (before, after) if before == after => return None,
            _ => Kind::Changed,
        };
        let lines = lines(&text(before, after, "--------", how), &text(after, before, "++++++++", how));
        Some(Change { title: title.clone(), kind, lines: with_gaps(lines, how.context) })
    };
    Ok(titles.into_iter().filter_map(change).collect())
}

fn titled(text: &str, how: Compare) -> Result<BTreeMap<String, Object>, Error> {
    let objects = manifest::objects(text)?;
    Ok(objects.into_iter().map(|object| (title(&object, how.namespace), object)).collect())
}

/// An object as it is shown beside its counterpart; `differs` stands for a secret that is another one there.
fn text(object: Option<&Object>, counterpart: Option<&Object>, differs: &str, how: Compare) -> String {
    let Some(object) = object else { return String::new() };
    let mut object = object.clone();
    if object.kind() == "Secret" && !how.show_secrets {
        hide(&mut object, counterpart, differs);
    }
    decode::to_yaml(&Value::Object(object.0))
}

fn title(object: &Object, namespace: &str) -> String {
    let namespace = if object.namespace().is_empty() { namespace } else { object.namespace() };
    let group = object.api_version().split_once('/').map_or("v1", |(group, _)| group);
    format!("{namespace}, {}, {} ({group})", object.name(), object.kind())
}

fn hide(object: &mut Object, counterpart: Option<&Object>, differs: &str) {
    for field in ["data", "stringData"] {
        let Some(Value::Object(values)) = object.0.get_mut(field) else { continue };
        for (key, value) in values {
            let other = counterpart.and_then(|other| other.0.get(field)?.get(key));
            let word = if other == Some(&*value) { "REDACTED" } else { differs };
            let text = value.as_str().unwrap_or_default();
            *value = format!("{word} # ({} bytes)", text.len()).into();
        }
    }
}

/// The most lines that may come and go before the shortest way is given up: finding it takes the square of their number.
const MOST: usize = 2_000;

/// The shortest way from one text to the other, line by line: Myers' algorithm, greedy.
pub fn lines(old: &str, new: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let same = |lines: &[&str]| lines.iter().map(|line| Line::Same(line.to_string())).collect::<Vec<_>>();
    let mut all = same(&old[..head]);
    all.extend(middle(&old[head..old.len() - tail], &new[head..new.len() - tail]));
    all.extend(same(&old[old.len() - tail..]));
    all
}

/// What lies between the first difference and the last. Where nearly everything differs, the old lines, then the new.
fn middle(old: &[&str], new: &[&str]) -> Vec<Line> {
    if let Some(history) = search(old, new) {
        return way(old, new, &history);
    }
    let removed = old.iter().map(|line| Line::Removed(line.to_string()));
    removed.chain(new.iter().map(|line| Line::Added(line.to_string()))).collect()
}

/// The furthest row that every number of steps reaches on each of its diagonals, up to the steps that reach the end. `n`
/// steps reach `n + 1` diagonals: on the one at `place`, a row is `2 * place - n` more than its column.
fn search(old: &[&str], new: &[&str]) -> Option<Vec<Vec<usize>>> {
    let mut history: Vec<Vec<usize>> = Vec::new();
    for steps in 0..=MOST {
        let before = history.last().map_or(&[][..], Vec::as_slice);
        let mut furthest = Vec::with_capacity(steps + 1);
        let mut is_end = false;
        for place in 0..=steps {
            let (mut row, _) = step(before, place);
            let mut column = row + steps - 2 * place;
            while row < old.len() && column < new.len() && old[row] == new[column] {
                (row, column) = (row + 1, column + 1);
            }
            furthest.push(row);
            is_end |= row >= old.len() && column >= new.len();
        }
        history.push(furthest);
        if is_end {
            return Some(history);
        }
    }
    None
}

/// The row that one more step leads to on the diagonal at `place`, and whether it is one that adds a line.
fn step(before: &[usize], place: usize) -> (usize, bool) {
    let removing = place.checked_sub(1).map(|place| before[place] + 1);
    match (before.get(place), removing) {
        (Some(adding), Some(removing)) if *adding < removing => (removing, false),
        (Some(adding), _) => (*adding, true),
        (None, removing) => (removing.unwrap_or(0), false),
    }
}

/// The lines on the way that was found, which only its end tells.
fn way(old: &[&str], new: &[&str], history: &[Vec<usize>]) -> Vec<Line> {
    let (mut row, mut column) = (old.len(), new.len());
    let mut lines = Vec::new();
    for steps in (0..history.len()).rev() {
        let before = steps.checked_sub(1).map_or(&[][..], |steps| history[steps].as_slice());
        let (start, adds) = step(before, (row + steps - column) / 2);
        while row > start {
            (row, column) = (row - 1, column - 1);
            lines.push(Line::Same(old[row].to_string()));
        }
        if steps == 0 {
            break;
        }
        if adds {
            column -= 1;
            lines.push(Line::Added(new[column].to_string()));
        } else {
            row -= 1;
            lines.push(Line::Removed(old[row].to_string()));
        }
    }
    lines.reverse();
    lines
}

/// Leaves `context` lines around changes and puts a gap where others were.
fn with_gaps(lines: Vec<Line>, context: usize) -> Vec<Line> {
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| !matches!(line, Line::Same(_))).map(|(place, _)| place).collect();
    let is_near = |place: usize| {
        let next = changed.partition_point(|changed| *changed < place);
        let after = changed.get(next).is_some_and(|changed| changed - place <= context);
        let before = next.checked_sub(1).is_some_and(|before| place - changed[before] <= context);
        after || before
    };
    let mut kept = Vec::new();
    for (place, line) in lines.into_iter().enumerate() {
        if is_near(place) {
            kept.push(line);
        } else if kept.last() != Some(&Line::Gap) {
            kept.push(Line::Gap);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line]) -> String {
        let line = |line: &Line| match line {
            Line::Same(text) => format!(" {text}"),
            Line::Added(text) => format!("+{text}"),
            Line::Removed(text) => format!("-{text}"),
            Line::Gap => "...".into(),
        };
        lines.iter().map(line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn lines_that_are_the_same_stay() {
        assert_eq!(shown(&lines("a\nb\nc\nd", "a\nc\nx\nd")), " a|-b| c|+x| d");
        assert_eq!(shown(&lines("", "a\nb")), "+a|+b");
        assert_eq!(shown(&lines("a\nb", "")), "-a|-b");
        assert_eq!(shown(&lines("a\nb", "a\nb")), " a| b");
        assert_eq!(shown(&lines("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc")).matches(' ').count(), 4);
    }

    #[test]
    fn objects_are_compared_by_kind_and_name_and_secrets_are_hidden() {
        let old = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n";
        let new = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '2'}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: hush}\n";
        let changes = manifests(old, new, Compare { namespace: "one", show_secrets: false, context: 3 }).unwrap();
        let titles: Vec<(&str, Kind)> = changes.iter().map(|change| (change.title.as_str(), change.kind)).collect();
        let wanted = [
            ("one, a, ConfigMap (v1)", Kind::Changed),
            ("one, old, ConfigMap (v1)", Kind::Removed),
            ("one, s, Secret (v1)", Kind::Added),
        ];
        assert_eq!(titles, wanted);
        assert!(!shown(&changes[2].lines).contains("hush"));
    }

    #[test]
    fn a_secret_that_becomes_another_of_the_same_length_has_changed() {
        let secret = |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {data}\n");
        let how = Compare { namespace: "one", show_secrets: false, context: 1 };
        let changes =
            manifests(&secret("{p: hush, q: same, r: gone}"), &secret("{p: hash, q: same, s: new}"), how).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].kind, Kind::Changed);
        let text = shown(&changes[0].lines);
        let wanted = "...| stringData:|-  p: '-------- # (4 bytes)'|+  p: '++++++++ # (4 bytes)'|   q: 'REDACTED # (4 bytes)'\
                      |-  r: '-------- # (4 bytes)'|+  s: '++++++++ # (3 bytes)'";
        assert_eq!(text, wanted);
        assert!(manifests(&secret("{p: hush}"), &secret("{p: hush}"), how).unwrap().is_empty());
    }

    #[test]
    fn a_long_text_that_changes_throughout_is_taken_out_and_put_in() {
        let text = |word: &str| (0..5_000).map(|line| format!("{word} {line}\n")).collect::<String>();
        let found = lines(&format!("same\n{}", text("old")), &format!("same\n{}", text("new")));
        assert_eq!(found.len(), 10_001);
        assert_eq!(found[0], Line::Same("same".into()));
        assert!(found[1..5_001].iter().all(|line| matches!(line, Line::Removed(_))));
        assert!(found[5_001..].iter().all(|line| matches!(line, Line::Added(_))));
        // A few changes in as many lines are found one by one.
        let (old, new) = (text("old"), text("old").replace("7\n", "seven\n"));
        let is_same = |line: &&Line| matches!(line, Line::Same(_));
        assert_eq!(lines(&old, &new).iter().filter(is_same).count(), 4_500);
    }

    #[test]
    fn lines_far_from_changes_are_a_gap() {
        let old: String = (0..20).map(|line| format!("{line}\n")).collect();
        let shown = shown(&with_gaps(lines(&old, &old.replace("10\n", "x\n")), 1));
        assert_eq!(shown, "...| 9|-10|+x| 11|...");
    }
}
