//! Go's `time`: layouts, durations, and how both are written.

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Zoned};

use super::value::{IntType, UintType, Value};

/// The parts of a layout, as Go's reference time `Mon Jan 2 15:04:05 MST 2006` spells them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part<'l> {
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
enum Pad {
    None,
    Space,
    Zero,
}

const MONTHS: [&str; 12] = [
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
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// What a layout may contain, longest first where one begins another.
const PARTS: &[(&str, Part<'static>)] = &[
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
fn parts(layout: &str) -> Vec<Part<'_>> {
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
        Pad::Zero => format!("{number:0width$}"),
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
        Part::Year => padded(i64::from(time.year().rem_euclid(100)), Pad::Zero, 2),
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
    let info = time.time_zone().to_offset_info(time.timestamp());
    let name = info.abbreviation();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return name.to_string();
    }
    let seconds = time.offset().seconds();
    // Zones of the database may be called `+03`; one that is only an offset is written out.
    let is_short = seconds % 3600 == 0 && time.time_zone().iana_name().is_some();
    zone_text(seconds, false, false, if is_short { 1 } else { 2 })
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

/// The zone of this machine.
pub fn local() -> TimeZone {
    TimeZone::system()
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

/// The fields of a text that is being read.
#[derive(Default)]
struct Reading {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
}

/// `Time.GoString`.
pub fn go_source(time: &Zoned) -> String {
    let (date, clock) = (time.date(), time.time());
    let month = named_integer(date.month().into(), IntType::Month).unwrap_or_default();
    let numbers = format!("{}, {}, {}, {}", clock.hour(), clock.minute(), clock.second(), time.subsec_nanosecond());
    let zone = match location(time).as_str() {
        "UTC" => "time.UTC".to_string(),
        "Local" => "time.Local".to_string(),
        name => format!("time.Location({})", super::quote::quote(name.as_bytes(), false)),
    };
    format!("time.Date({}, time.{month}, {}, {numbers}, {zone})", date.year(), date.day())
}

/// What Go calls the zone of a time.
pub fn location(time: &Zoned) -> String {
    match time.time_zone() {
        zone if *zone == TimeZone::UTC => "UTC".into(),
        zone if *zone == local() => "Local".into(),
        zone => zone.iana_name().unwrap_or_default().to_string(),
    }
}

/// The fields of a time without a monotonic clock: nanoseconds, seconds since the year one, and where its zone is kept.
pub fn fields(time: &Zoned) -> [Value; 3] {
    let seconds = time.timestamp().as_second() - zero().timestamp().as_second();
    let nanoseconds = u64::try_from(time.subsec_nanosecond()).unwrap_or_default();
    [Value::Uint(nanoseconds, UintType::Uint64), Value::int64(seconds), Value::from(0)]
}

/// `time.ParseInLocation` with the machine's zone.
pub fn parse(layout: &str, text: &str) -> Result<Zoned, String> {
    let mut reading = Reading::default();
    let mut rest = text;
    let list = parts(layout);
    for (index, part) in list.iter().enumerate() {
        let fraction_next = matches!(list.get(index + 1), Some(Part::Fraction { .. }));
        match read_part(&mut reading, *part, rest, fraction_next) {
            Ok(next) => rest = next,
            Err(Some(field)) => return Err(format!("parsing time {}: {field} out of range", quoted(text))),
            Err(None) => {
                let element = part_layout(*part, layout);
                let message = format!(
                    "parsing time {} as {}: cannot parse {} as {}",
                    quoted(text),
                    quoted(layout),
                    quoted(rest),
                    quoted(&element)
                );
                return Err(message);
            }
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quoted(text), quoted(rest)));
    }
    assemble(reading).map_err(|field| format!("parsing time {}: {field} out of range", quoted(text)))
}

/// A text as Go's `time` quotes it: everything but printable ASCII as bytes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            b' '..=b'\x7f' => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// The text of a part of a layout.
fn part_layout(part: Part<'_>, layout: &str) -> String {
    match part {
        Part::Literal(text) => text.to_string(),
        Part::Fraction { digits, trim, separator } => {
            format!("{separator}{}", if trim { "9" } else { "0" }.repeat(digits))
        }
        part => PARTS.iter().find(|(_, other)| *other == part).map_or(layout, |(text, _)| text).to_string(),
    }
}

fn digits(text: &str, least: usize, most: usize) -> Result<(i64, &str), Option<&'static str>> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return Err(None);
    }
    Ok((text[..count].parse().map_err(|_| None)?, &text[count..]))
}

fn name<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Result<(i64, &'t str), Option<&'static str>> {
    for (index, name) in names.iter().enumerate() {
        let name = &name[..length.unwrap_or(name.len())];
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((index as i64, &text[name.len()..]));
        }
    }
    Err(None)
}

fn ranged(number: i64, low: i64, high: i64, field: &'static str) -> Result<i64, Option<&'static str>> {
    if (low..=high).contains(&number) { Ok(number) } else { Err(Some(field)) }
}

fn read_part<'t>(
    reading: &mut Reading,
    part: Part<'_>,
    text: &'t str,
    fraction_next: bool,
) -> Result<&'t str, Option<&'static str>> {
    let least = |zero: bool| if zero { 2 } else { 1 };
    match part {
        Part::Literal(literal) => return text.strip_prefix(literal).ok_or(None),
        Part::LongMonth => {
            let (month, rest) = name(text, &MONTHS, None)?;
            reading.month = Some(month + 1);
            return Ok(rest);
        }
        Part::Month => {
            let (month, rest) = name(text, &MONTHS, Some(3))?;
            reading.month = Some(month + 1);
            return Ok(rest);
        }
        Part::LongWeekday => return Ok(name(text, &WEEKDAYS, None)?.1),
        Part::Weekday => return Ok(name(text, &WEEKDAYS, Some(3))?.1),
        Part::HalfUpper | Part::HalfLower => {
            let (afternoon, rest) = name(text, &["AM", "PM"], None)?;
            reading.afternoon = Some(afternoon == 1);
            return Ok(rest);
        }
        Part::ZoneName => {
            let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if !(3..=5).contains(&length) {
                return Err(None);
            }
            reading.zone = Some(text[..length].to_string());
            return Ok(&text[length..]);
        }
        Part::Zone { z, colon, parts } => return read_zone(reading, text, z, colon, parts),
        Part::Fraction { trim, .. } => {
            if trim && !text.starts_with(['.', ',']) {
                return Ok(text);
            }
            return read_fraction(reading, text);
        }
        _ => {}
    }
    let (number, rest) = match part {
        Part::LongYear => digits(text, 4, 4)?,
        Part::Year => digits(text, 2, 2)?,
        Part::NumberMonth { zero } | Part::Hour12 { zero } | Part::Minute { zero } | Part::Second { zero } => {
            digits(text, least(zero), 2)?
        }
        Part::Day { pad } => digits(text.trim_start_matches(' '), least(pad == Pad::Zero), 2)?,
        Part::YearDay { .. } => digits(text.trim_start_matches(' '), 1, 3)?,
        _ => digits(text, 1, 2)?,
    };
    match part {
        Part::LongYear => reading.year = Some(number),
        Part::Year => reading.year = Some(if number >= 69 { number + 1900 } else { number + 2000 }),
        Part::NumberMonth { .. } => reading.month = Some(ranged(number, 1, 12, "month")?),
        Part::Day { .. } => reading.day = Some(number),
        Part::YearDay { .. } => reading.year_day = Some(number),
        Part::Hour => reading.hour = ranged(number, 0, 23, "hour")?,
        Part::Hour12 { .. } => reading.hour = ranged(number, 0, 12, "hour")?,
        Part::Minute { .. } => reading.minute = ranged(number, 0, 59, "minute")?,
        _ => {
            reading.second = ranged(number, 0, 59, "second")?;
            if !fraction_next
                && rest.starts_with(['.', ','])
                && rest[1..].starts_with(|next: char| next.is_ascii_digit())
            {
                return read_fraction(reading, rest);
            }
        }
    }
    Ok(rest)
}

fn read_fraction<'t>(reading: &mut Reading, text: &'t str) -> Result<&'t str, Option<&'static str>> {
    let after = text.strip_prefix(['.', ',']).ok_or(None)?;
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return Err(None);
    }
    reading.nanosecond = format!("{:0<9}", &after[..count.min(9)]).parse().map_err(|_| None)?;
    Ok(&after[count..])
}

fn read_zone<'t>(
    reading: &mut Reading,
    text: &'t str,
    z: bool,
    colon: bool,
    parts: u8,
) -> Result<&'t str, Option<&'static str>> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        reading.offset = Some(0);
        return Ok(rest);
    }
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(None),
    };
    let mut rest = &text[1..];
    let mut seconds = 0;
    for (index, scale) in [3600, 60, 1].into_iter().take(usize::from(parts)).enumerate() {
        if index > 0 && colon {
            rest = rest.strip_prefix(':').ok_or(None)?;
        }
        let (number, next) = digits(rest, 2, 2)?;
        seconds += number as i32 * scale;
        rest = next;
    }
    reading.offset = Some(sign * seconds);
    Ok(rest)
}

fn assemble(reading: Reading) -> Result<Zoned, &'static str> {
    let mut hour = reading.hour;
    match reading.afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let year = reading.year.unwrap_or(0) as i16;
    let (month, day) = (reading.month.unwrap_or(1) as i8, reading.day.unwrap_or(1));
    let day = i8::try_from(day).map_err(|_| "day")?;
    let mut date = jiff::civil::Date::new(year, month, day).map_err(|_| "day")?;
    if let Some(year_day) = reading.year_day {
        date = date.with().day_of_year(year_day as i16).build().map_err(|_| "day-of-year")?;
    }
    let time =
        jiff::civil::Time::new(hour as i8, reading.minute as i8, reading.second as i8, reading.nanosecond as i32)
            .map_err(|_| "hour")?;
    let zone = match (reading.offset, reading.zone.as_deref()) {
        (Some(0), _) | (None, Some("UTC")) => TimeZone::UTC,
        (Some(seconds), _) => {
            let here = local();
            let fixed = TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| "time zone offset")?);
            let moment = date.to_datetime(time).to_zoned(fixed.clone()).map_err(|_| "year")?;
            if here.to_offset(moment.timestamp()).seconds() == seconds { here } else { fixed }
        }
        _ => local(),
    };
    date.to_datetime(time).to_zoned(zone).map_err(|_| "year")
}
