//! `diff`: what an upgrade would change, line by line.
//!
//! Two manifests are compared object by object; the change of an object is a unified diff of its text. What is secret is
//! shown as its length only, unless it is asked for.

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
    let (old, new) = (texts(old, how)?, texts(new, how)?);
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
        let empty = String::new();
        let lines = lines(before.unwrap_or(&empty), after.unwrap_or(&empty));
        Some(Change { title: title.clone(), kind, lines: with_gaps(lines, how.context) })
    };
    Ok(titles.into_iter().filter_map(change).collect())
}

fn texts(text: &str, how: Compare) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for mut object in manifest::objects(text)? {
        let title = title(&object, how.namespace);
        if object.kind() == "Secret" && !how.show_secrets {
            hide(&mut object);
        }
        found.insert(title, decode::to_yaml(&Value::Object(object.0)));
    }
    Ok(found)
}

fn title(object: &Object, namespace: &str) -> String {
    let namespace = if object.namespace().is_empty() { namespace } else { object.namespace() };
    let group = object.api_version().split_once('/').map_or("v1", |(group, _)| group);
    format!("{namespace}, {}, {} ({group})", object.name(), object.kind())
}

fn hide(object: &mut Object) {
    for field in ["data", "stringData"] {
        let Some(Value::Object(values)) = object.0.get_mut(field) else { continue };
        for value in values.values_mut() {
            let text = value.as_str().unwrap_or_default();
            *value = format!("REDACTED # ({} bytes)", text.len()).into();
        }
    }
}

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

fn middle(old: &[&str], new: &[&str]) -> Vec<Line> {
    let (rows, columns) = (old.len() as isize, new.len() as isize);
    let most = rows + columns;
    // The furthest row on each diagonal, and that of every number of steps before.
    let place = |diagonal: isize| (diagonal + most + 1) as usize;
    let mut furthest = vec![0isize; (2 * most + 3) as usize];
    let mut history = Vec::new();
    'search: for steps in 0..=most {
        history.push(furthest.clone());
        for diagonal in (-steps..=steps).step_by(2) {
            let down = diagonal == -steps
                || (diagonal != steps && furthest[place(diagonal - 1)] < furthest[place(diagonal + 1)]);
            let mut row = if down { furthest[place(diagonal + 1)] } else { furthest[place(diagonal - 1)] + 1 };
            while row < rows && row - diagonal < columns && old[row as usize] == new[(row - diagonal) as usize] {
                row += 1;
            }
            furthest[place(diagonal)] = row;
            if row >= rows && row - diagonal >= columns {
                break 'search;
            }
        }
    }
    let (mut row, mut column) = (rows, columns);
    let mut lines = Vec::new();
    for (steps, furthest) in history.iter().enumerate().rev() {
        let (steps, diagonal) = (steps as isize, row - column);
        let down =
            diagonal == -steps || (diagonal != steps && furthest[place(diagonal - 1)] < furthest[place(diagonal + 1)]);
        let before = if down { diagonal + 1 } else { diagonal - 1 };
        let from_row = if steps == 0 { 0 } else { furthest[place(before)] };
        let from_column = if steps == 0 { 0 } else { from_row - before };
        let (start_row, start_column) = match (steps, down) {
            (0, _) => (0, 0),
            (_, true) => (from_row, from_column + 1),
            (_, false) => (from_row + 1, from_column),
        };
        while row > start_row && column > start_column {
            row -= 1;
            column -= 1;
            lines.push(Line::Same(old[row as usize].to_string()));
        }
        if steps > 0 {
            let line = if down {
                Line::Added(new[from_column as usize].into())
            } else {
                Line::Removed(old[from_row as usize].into())
            };
            lines.push(line);
        }
        (row, column) = (from_row, from_column);
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
    fn lines_far_from_changes_are_a_gap() {
        let old: String = (0..20).map(|line| format!("{line}\n")).collect();
        let shown = shown(&with_gaps(lines(&old, &old.replace("10\n", "x\n")), 1));
        assert_eq!(shown, "...| 9|-10|+x| 11|...");
    }
}
