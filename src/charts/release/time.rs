//! Moments as Go writes them: in the JSON of releases, in lists and in status.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment with the offset of the clock that it was read from, as Go's `time.Time` keeps it in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    at: Timestamp,
    offset: Offset,
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at).then(self.offset.cmp(&other.offset))
    }
}

impl Time {
    /// This moment, in the time zone of this machine.
    pub fn now() -> Self {
        let now = Zoned::now();
        Self { at: now.timestamp(), offset: now.offset() }
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
        let at = text.parse::<Timestamp>().ok()?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        Some(Self { at, offset })
    }

    /// The moment itself.
    pub fn timestamp(self) -> Timestamp {
        self.at
    }

    fn zoned(self) -> Zoned {
        self.at.to_zoned(TimeZone::fixed(self.offset))
    }

    /// RFC 3339 with as many digits of the second as it has.
    pub fn rfc3339_nano(self) -> String {
        self.form("%Y-%m-%dT%H:%M:%S%.f", "Z", "%:z")
    }

    /// RFC 3339, seconds.
    pub fn rfc3339(self) -> String {
        self.form("%Y-%m-%dT%H:%M:%S", "Z", "%:z")
    }

    fn form(self, moment: &str, utc: &str, zone: &str) -> String {
        let zoned = self.zoned();
        let moment = zoned.strftime(moment).to_string();
        if self.offset == Offset::UTC { moment + utc } else { format!("{moment}{}", zoned.strftime(zone)) }
    }

    /// Go's `time.ANSIC`, for example `Mon Jan  2 15:04:05 2006`.
    pub fn ansi_c(self) -> String {
        self.zoned().strftime("%a %b %e %H:%M:%S %Y").to_string()
    }

    /// Go's `Time.String`, for example `2006-01-02 15:04:05.999999999 -0700 MST`.
    pub fn go_string(self) -> String {
        self.form("%Y-%m-%d %H:%M:%S%.f", " +0000 UTC", " %z %z")
    }

    /// The moment in a layout of Go's reference time (`Mon Jan 2 15:04:05 MST 2006`).
    pub fn layout(self, layout: &str) -> String {
        let zoned = self.zoned();
        let mut text = String::new();
        let mut rest = layout;
        'next: while !rest.is_empty() {
            for (word, form) in LAYOUT {
                if let Some(after) = rest.strip_prefix(word) {
                    match *form {
                        "Z" | ":Z" if self.offset == Offset::UTC => text.push('Z'),
                        "Z" => text += &zoned.strftime("%z").to_string(),
                        ":Z" => text += &zoned.strftime("%:z").to_string(),
                        "UTC" if self.offset == Offset::UTC => text += "UTC",
                        "UTC" => text += &zoned.strftime("%z").to_string(),
                        form => text += &zoned.strftime(form).to_string(),
                    }
                    rest = after;
                    continue 'next;
                }
            }
            let first = rest.chars().next().unwrap_or_default();
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
        text
    }
}

/// Words of Go's layouts, longer ones first, and what they stand for.
const LAYOUT: &[(&str, &str)] = &[
    ("January", "%B"),
    ("Monday", "%A"),
    ("2006", "%Y"),
    ("Z07:00", ":Z"),
    ("-07:00", "%:z"),
    ("Z0700", "Z"),
    ("-0700", "%z"),
    (".000000000", "%.9f"),
    (".000000", "%.6f"),
    (".000", "%.3f"),
    (".999999999", "%.f"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "UTC"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339_nano())
    }
}

/// Reads a moment that may be missing: null, an empty text and Go's zero time are none.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
        return Ok(None);
    }
    Time::parse(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_go_writes_them() {
        let time = Time::parse("2026-11-05T01:02:03.120400Z").unwrap();
        assert_eq!(time.rfc3339_nano(), "2026-11-05T01:02:03.1204Z");
        assert_eq!(time.go_string(), "2026-11-05 01:02:03.1204 +0000 UTC");
        assert_eq!(time.ansi_c(), "Thu Nov  5 01:02:03 2026");
        let east = Time::parse("2026-11-05T01:02:03+02:00").unwrap();
        assert_eq!(east.rfc3339_nano(), "2026-11-05T01:02:03+02:00");
        assert_eq!(east.go_string(), "2026-11-05 01:02:03 +0200 +0200");
        assert_eq!(east.layout("2006-01-02 15:04:05Z0700"), "2026-11-05 01:02:03+0200");
        assert!(east < time);
    }
}
