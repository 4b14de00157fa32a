//! Sets of completion indexes in the form in which a Job's status has them: `1,3-5,7`.

use std::collections::BTreeSet;

/// Reads the form; indexes at or above `limit` are left out, and what is no number.
pub fn parse(text: Option<&str>, limit: i32) -> BTreeSet<i32> {
    let mut all = BTreeSet::new();
    for part in text.unwrap_or_default().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            all.extend(first..=last.min(limit.saturating_sub(1)));
        }
    }
    all
}

/// Writes the form: three and more in a row as `first-last`, two as `first,last`.
pub fn format(all: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in all {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let run = |(first, last): (i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_short_and_read_again() {
        let all = BTreeSet::from([1, 3, 4, 5, 7, 8]);
        assert_eq!(format(&all), "1,3-5,7,8");
        assert_eq!(parse(Some("1,3-5,7,8"), 100), all);
        assert_eq!(parse(Some("1,3-5"), 4), BTreeSet::from([1, 3]));
        assert_eq!(parse(None, 4), BTreeSet::new());
    }
}
