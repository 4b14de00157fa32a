//! Go's `time`: layouts, durations, and how both are written.

use std::sync::OnceLock;

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Zoned};

use super::value::{IntType, UintType, Value};

/// The parts of a layout, as Go's reference time `Mon Jan 2 15:04:05 MST 2006` spells them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part<'l> {
    Literal(&'l str),
    LongMonth,
    Month,
    NumberMonth {
        zero: bool,
    },
    LongWeekday,
    Weekday,
    Day {
        pad: Pad,
    },
    YearDay {
        pad: Pad,
    },
    Hour,
    Hour12 {
        zero: bool,
    },
    Minute {
        zero: bool,
    },
    Second {
        zero: bool,
    },
    LongYear,
    Year,
    HalfUpper,
    HalfLower,
    ZoneName,
    /// Hours only, or with minutes, or seconds; `Z` for UTC; colons.
    Zone {
        z: bool,
        colon: bool,
        parts: u8,
    },
    /// Digits, whether trailing zeros go, and the separator.
    Fraction {
        digits: usize,
        trim: bool,
        separator: char,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pad {
    None,
    Space,
    Zero,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a layout may contain, longest first where one begins another.
pub(super) const PARTS: &[(&str, Part<'static>)] = &[
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::ZoneName),
    ("002", Part::YearDay { pad: Pad::Zero }),
    ("01", Part::NumberMonth { zero: true }),
    ("02", Part::Day { pad: Pad::Zero }),
    ("03", Part::Hour12 { zero: true }),
    ("04", Part::Minute { zero: true }),
    ("05", Part::Second { zero: true }),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumberMonth { zero: false }),
    ("2006", Part::LongYear),
    ("2", Part::Day { pad: Pad::None }),
    ("__2", Part::YearDay { pad: Pad::Space }),
    ("_2", Part::Day { pad: Pad::Space }),
    ("3", Part::Hour12 { zero: false }),
    ("4", Part::Minute { zero: false }),
    ("5", Part::Second { zero: false }),
    ("PM", Part::HalfUpper),
    ("pm", Part::HalfLower),
    ("-07:00:00", Part::Zone { z: false, colon: true, parts: 3 }),
    ("-070000", Part::Zone { z: false, colon: false, parts: 3 }),
    ("-07:00", Part::Zone { z: false, colon: true, parts: 2 }),
    ("-0700", Part::Zone { z: false, colon: false, parts: 2 }),
    ("-07", Part::Zone { z: false, colon: false, parts: 1 }),
    ("Z07:00:00", Part::Zone { z: true, colon: true, parts: 3 }),
    ("Z070000", Part::Zone { z: true, colon: false, parts: 3 }),
    ("Z07:00", Part::Zone { z: true, colon: true, parts: 2 }),
    ("Z0700", Part::Zone { z: true, colon: false, parts: 2 }),
    ("Z07", Part::Zone { z: true, colon: false, parts: 1 }),
];

/// Splits a layout.
pub(super) fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut literal = 0;
    let mut at = 0;
    while at < layout.len() {
        let rest = &layout[at..];
        let Some((length, part)) = part_at(rest) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if literal < at {
            parts.push(Part::Literal(&layout[literal..at]));
        }
        parts.push(part);
        at += length;
        literal = at;
    }
    if literal < layout.len() {
        parts.push(Part::Literal(&layout[literal..]));
    }
    parts
}

fn part_at(rest: &str) -> Option<(usize, Part<'static>)> {
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        for digit in ['0', '9'] {
            let digits = after.len() - after.trim_start_matches(digit).len();
            let ends = !after[digits..].starts_with(|next: char| next.is_ascii_digit());
            if digits > 0 && ends {
                let separator = rest.chars().next().unwrap_or('.');
                return Some((digits + 1, Part::Fraction { digits, trim: digit == '9', separator }));
            }
        }
        return None;
    }
    // `_2006` is an underscore and a year.
    if rest.starts_with("_2006") {
        return None;
    }
    let (text, part) = PARTS.iter().find(|(text, _)| rest.starts_with(text))?;
    if *text == "Jan" && rest.starts_with("January") || *text == "Mon" && rest.starts_with("Monday") {
        return None;
    }
    let lower = |after: &str| after.starts_with(|next: char| next.is_ascii_lowercase());
    if matches!(*text, "Jan" | "Mon") && lower(&rest[3..]) {
        return None;
    }
    Some((text.len(), *part))
}

fn padded(number: i64, pad: Pad, width: usize) -> String {
    match pad {
        Pad::None => number.to_string(),
        Pad::Space => format!("{number:>width$}"),
        // The sign does not count.
        Pad::Zero => format!("{}{:0width$}", if number < 0 { "-" } else { "" }, number.unsigned_abs()),
    }
}

/// `Time.Format`.
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut text = String::new();
    for part in parts(layout) {
        text.push_str(&part_text(time, part));
    }
    text
}

fn part_text(time: &Zoned, part: Part<'_>) -> String {
    let zero = |zero: bool| if zero { Pad::Zero } else { Pad::None };
    match part {
        Part::Literal(text) => text.to_string(),
        Part::LongMonth => MONTHS[time.month() as usize - 1].to_string(),
        Part::Month => MONTHS[time.month() as usize - 1][..3].to_string(),
        Part::NumberMonth { zero: pad } => padded(time.month().into(), zero(pad), 2),
        Part::LongWeekday => WEEKDAYS[weekday(time) as usize].to_string(),
        Part::Weekday => WEEKDAYS[weekday(time) as usize][..3].to_string(),
        Part::Day { pad } => padded(time.day().into(), pad, 2),
        Part::YearDay { pad } => padded(time.day_of_year().into(), pad, 3),
        Part::Hour => padded(time.hour().into(), Pad::Zero, 2),
        Part::Hour12 { zero: pad } => padded(i64::from((time.hour() + 11) % 12 + 1), zero(pad), 2),
        Part::Minute { zero: pad } => padded(time.minute().into(), zero(pad), 2),
        Part::Second { zero: pad } => padded(time.second().into(), zero(pad), 2),
        Part::LongYear => padded(time.year().into(), Pad::Zero, 4),
        Part::Year => padded(i64::from(time.year().abs() % 100), Pad::Zero, 2),
        Part::HalfUpper => if time.hour() >= 12 { "PM" } else { "AM" }.to_string(),
        Part::HalfLower => if time.hour() >= 12 { "pm" } else { "am" }.to_string(),
        Part::ZoneName => zone_name(time),
        Part::Zone { z, colon, parts } => zone_text(time.offset().seconds(), z, colon, parts),
        Part::Fraction { digits, trim, separator } => fraction_text(time.subsec_nanosecond(), digits, trim, separator),
    }
}

fn fraction_text(nanoseconds: i32, digits: usize, trim: bool, separator: char) -> String {
    let all = format!("{nanoseconds:09}");
    let mut digits = &all[..digits.min(9)];
    if trim {
        digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return String::new();
        }
    }
    format!("{separator}{digits}")
}

fn zone_text(seconds: i32, z: bool, colon: bool, parts: u8) -> String {
    if z && seconds == 0 {
        return "Z".into();
    }
    let size = seconds.abs();
    let numbers = [size / 3600, size / 60 % 60, size % 60];
    let numbers: Vec<String> = numbers[..usize::from(parts)].iter().map(|number| format!("{number:02}")).collect();
    format!("{}{}", if seconds < 0 { '-' } else { '+' }, numbers.join(if colon { ":" } else { "" }))
}

/// The zone's short name, or its offset where it has none.
fn zone_name(time: &Zoned) -> String {
    if time.time_zone() == &TimeZone::UTC {
        return "UTC".into();
    }
    if time.time_zone().to_fixed_offset().is_ok() {
        return zone_text(time.offset().seconds(), false, false, 2);
    }
    time.time_zone().to_offset_info(time.timestamp()).abbreviation().to_string()
}

/// Days since Sunday.
pub fn weekday(time: &Zoned) -> i64 {
    i64::from(match time.weekday() {
        Weekday::Sunday => 0,
        day => day.to_monday_one_offset(),
    })
}

/// The zero `time.Time`.
pub fn zero() -> Zoned {
    jiff::civil::date(1, 1, 1).to_zoned(TimeZone::UTC).unwrap_or_default()
}

/// The zone of a name as `time.LoadLocation` knows it.
pub fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        "Local" => Some(local()),
        name => TimeZone::get(name).ok(),
    }
}

/// The zone of this machine. It is never the same as UTC, even where its clock is: Go tells them apart.
pub fn local() -> TimeZone {
    machine().zone.clone()
}

/// Units of so many nanoseconds since 1970, as far as they are complete.
pub fn unix(time: &Zoned, unit: i128) -> i64 {
    // Of the years up to 9999 even the nanoseconds of today fit.
    time.timestamp().as_nanosecond().div_euclid(unit) as i64
}

/// `Time.AddDate`: days that a month does not have count on into the next one.
pub fn add_date(time: &Zoned, years: i64, months: i64, days: i64) -> Option<Zoned> {
    let months = i64::from(time.month()) - 1 + months;
    let year = i64::from(time.year()).checked_add(years)?.checked_add(months.div_euclid(12))?;
    let first = jiff::civil::Date::new(i16::try_from(year).ok()?, months.rem_euclid(12) as i8 + 1, 1).ok()?;
    let days = jiff::Span::new().try_days(i64::from(time.day()) - 1 + days).ok()?;
    first.checked_add(days).ok()?.to_datetime(time.time()).to_zoned(time.time_zone().clone()).ok()
}

/// The zone of this machine, and what Go calls it.
struct Machine {
    zone: TimeZone,
    name: String,
}

fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| Machine::of(std::env::var("TZ").ok().as_deref()))
}

impl Machine {
    /// What `TZ` names, or, without it, what the system is set to.
    fn of(wanted: Option<&str>) -> Self {
        const SYSTEM: &str = "/etc/localtime";
        let file = |path: &str| std::fs::read(path).ok().and_then(|data| TimeZone::tzif(path, &data).ok());
        let path = wanted.map_or(SYSTEM, |wanted| wanted.strip_prefix(':').unwrap_or(wanted));
        let found = match path {
            "" | "UTC" => None,
            path if path.starts_with('/') => file(path),
            name => TimeZone::get(name).ok(),
        };
        let name = match (&found, path) {
            (None, _) => "UTC",
            (_, SYSTEM) => "Local",
            (_, path) => path,
        };
        let zone = found.filter(|zone| *zone != TimeZone::UTC).or_else(|| TimeZone::posix("UTC0").ok());
        Machine { zone: zone.unwrap_or(TimeZone::UTC), name: name.to_string() }
    }
}

/// `Time.String`.
pub fn go_string(time: &Zoned) -> String {
    format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// RFC 3339, as JSON has times.
pub fn rfc3339(time: &Zoned) -> String {
    format(time, "2006-01-02T15:04:05.999999999Z07:00")
}

/// What `String` says of an integer of a named type.
pub fn named_integer(number: i64, kind: IntType) -> Option<String> {
    match kind {
        IntType::Duration => Some(duration_text(number)),
        IntType::Month => Some(match MONTHS.get((number - 1) as usize) {
            Some(name) => name.to_string(),
            None => format!("%!Month({number})"),
        }),
        IntType::Weekday => Some(match WEEKDAYS.get(number as usize) {
            Some(name) => name.to_string(),
            None => format!("%!Weekday({number})"),
        }),
        _ => None,
    }
}

/// `Duration.String`.
pub fn duration_text(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let point = |number: u64, unit: u64| {
        let fraction = number % unit;
        if fraction == 0 {
            return (number / unit).to_string();
        }
        let width = unit.ilog10() as usize;
        format!("{}.{}", number / unit, format!("{fraction:0width$}").trim_end_matches('0'))
    };
    match size {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", point(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", point(size, 1_000_000)),
        _ => {
            let seconds = size / 1_000_000_000;
            let rest = point(size % 60_000_000_000, 1_000_000_000);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{sign}{rest}s"),
                (0, minutes) => format!("{sign}{minutes}m{rest}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// `time.ParseDuration`: nanoseconds.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", super::quote::quote(text.as_bytes(), false));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number =
            rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.').len();
        let (digits, after) = rest.split_at(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        let end = after.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => {
                return Err(format!("time: missing unit in duration {}", super::quote::quote(text.as_bytes(), false)));
            }
            other => {
                let quoted = super::quote::quote(other.as_bytes(), false);
                return Err(format!(
                    "time: unknown unit {quoted} in duration {}",
                    super::quote::quote(text.as_bytes(), false)
                ));
            }
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<i64>().map_err(|_| invalid())?.into() };
        let fraction = &fraction[..fraction.len().min(18)];
        let part = fraction.parse::<i128>().unwrap_or(0) * scale / 10i128.pow(fraction.len() as u32);
        total += whole * scale + part;
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// `Duration.Round`: halves go away from zero.
pub fn round_duration(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanoseconds;
    }
    let rest = i128::from(nanoseconds % unit);
    let base = i128::from(nanoseconds) - rest;
    let rounded = if rest.abs() * 2 < i128::from(unit) { base } else { base + i128::from(unit) * rest.signum() };
    i64::try_from(rounded).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// A time some nanoseconds away.
pub fn add(time: &Zoned, nanoseconds: i64) -> Zoned {
    time.checked_add(SignedDuration::from_nanos(nanoseconds)).unwrap_or_else(|_| time.clone())
}

/// Nanoseconds from one time to another, as far as a duration goes.
pub fn between(from: &Zoned, to: &Zoned) -> i64 {
    let nanoseconds = to.timestamp().as_nanosecond() - from.timestamp().as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// `Time.GoString`.
pub fn go_source(time: &Zoned) -> String {
    let (date, clock) = (time.date(), time.time());
    let month = named_integer(date.month().into(), IntType::Month).unwrap_or_default();
    let numbers = format!("{}, {}, {}, {}", clock.hour(), clock.minute(), clock.second(), time.subsec_nanosecond());
    let zone = match time.time_zone() {
        zone if *zone == TimeZone::UTC => "time.UTC".to_string(),
        zone if *zone == local() => "time.Local".to_string(),
        _ => format!("time.Location({})", super::quote::quote(location(time).as_bytes(), false)),
    };
    format!("time.Date({}, time.{month}, {}, {numbers}, {zone})", date.year(), date.day())
}

/// What Go calls the zone of a time.
pub fn location(time: &Zoned) -> String {
    match time.time_zone() {
        zone if *zone == TimeZone::UTC => "UTC".into(),
        zone if *zone == local() => machine().name.clone(),
        zone if zone.to_fixed_offset().is_ok() => String::new(),
        // Made for a name that came with the time.
        zone => zone.to_offset_info(time.timestamp()).abbreviation().to_string(),
    }
}

/// A zone of some name that is always so far from UTC; without a name it is the offset alone.
pub fn named_zone(name: &str, seconds: i32) -> Option<TimeZone> {
    if name.is_empty() {
        return Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    // POSIX counts to the west.
    let sign = if seconds > 0 { '-' } else { '+' };
    let size = seconds.abs();
    TimeZone::posix(&format!("<{name}>{sign}{}:{:02}:{:02}", size / 3600, size / 60 % 60, size % 60)).ok()
}

/// The fields of a time without a monotonic clock: nanoseconds, seconds since the year one, and where its zone is kept.
pub fn fields(time: &Zoned) -> [Value; 3] {
    let seconds = unix(time, 1_000_000_000) - unix(&zero(), 1_000_000_000);
    let nanoseconds = u64::try_from(time.subsec_nanosecond()).unwrap_or_default();
    [Value::Uint(nanoseconds, UintType::Uint64), Value::int64(seconds), Value::from(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_on_as_go_counts() {
        let date = |text: &str| super::super::moment::parse("2006-01-02", text).unwrap();
        let moved =
            |text: &str, months: i64, days: i64| format(&add_date(&date(text), 0, months, days).unwrap(), "2006-01-02");
        assert_eq!(moved("2021-01-31", 1, 0), "2021-03-03");
        assert_eq!(moved("2000-01-01", -19, 140), "1998-10-19");
        assert_eq!(moved("2020-03-01", 0, -1), "2020-02-29");
        assert_eq!(moved("0000-01-01", -14, -293), "-0002-01-12");
    }

    #[test]
    fn seconds_before_1970_are_counted_down_to_the_whole_one() {
        let moment = super::super::moment::parse("2006-01-02T15:04:05.000Z07:00", "1969-12-31T23:59:59.500Z").unwrap();
        assert_eq!(unix(&moment, 1_000_000_000), -1);
        assert_eq!(unix(&moment, 1_000_000), -500);
    }

    #[test]
    fn the_zone_of_the_machine_is_called_as_go_calls_it() {
        let name = |wanted: &str| Machine::of(Some(wanted)).name;
        assert_eq!(name("Europe/Berlin"), "Europe/Berlin");
        assert_eq!(name(":Europe/Berlin"), "Europe/Berlin");
        assert_eq!([name(""), name("UTC"), name("No/Where"), name("/no/where")], ["UTC"; 4]);
        assert_ne!(Machine::of(Some("UTC")).zone, TimeZone::UTC);
    }
}
