//! Reading times as Go's `time.Parse` does.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use super::time::{MONTHS, PARTS, Pad, Part, WEEKDAYS, local, named_zone, parts};

/// What is wrong with a part of a text.
enum Bad {
    /// It is not what the layout asks for.
    Form,
    /// A field is too large or too small.
    Range(&'static str),
}

type Read<'t, T = ()> = Result<(T, &'t str), Bad>;

/// The fields of a text that is being read.
#[derive(Default)]
struct Reading {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i32>,
    zone: String,
}

/// `time.ParseInLocation` with the machine's zone.
pub fn parse(layout: &str, text: &str) -> Result<Zoned, String> {
    let cannot = |rest: &str, element: &str| {
        let (text, layout, rest, element) = (quoted(text), quoted(layout), quoted(rest), quoted(element));
        format!("parsing time {text} as {layout}: cannot parse {rest} as {element}")
    };
    let mut reading = Reading::default();
    let mut rest = text;
    let list = parts(layout);
    for (index, part) in list.iter().enumerate() {
        if let Part::Literal(literal) = part {
            rest = skip(rest, literal).map_err(|rest| cannot(rest, literal))?;
            continue;
        }
        let next = list[index + 1..].iter().find(|part| !matches!(part, Part::Literal(_)));
        let fraction_next = matches!(next, Some(Part::Fraction { .. }));
        rest = match read_part(&mut reading, *part, rest, fraction_next) {
            Ok(((), rest)) => rest,
            Err(Bad::Range(field)) => return Err(format!("parsing time {}: {field} out of range", quoted(text))),
            Err(Bad::Form) => return Err(cannot(rest, &part_layout(*part))),
        };
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quoted(text), quoted(rest)));
    }
    assemble(reading).map_err(|problem| format!("parsing time {}: {problem}", quoted(text)))
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
fn part_layout(part: Part<'_>) -> String {
    match part {
        Part::Fraction { digits, trim, separator } => {
            format!("{separator}{}", if trim { "9" } else { "0" }.repeat(digits))
        }
        part => PARTS.iter().find(|(_, other)| *other == part).map_or("", |(text, _)| text).to_string(),
    }
}

/// Skips what stands between the parts: any number of spaces is as good as one. The error is where it ends.
fn skip<'t>(mut text: &'t str, mut literal: &str) -> Result<&'t str, &'t str> {
    while let Some(first) = literal.chars().next() {
        if first == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return Err(text);
            }
            (literal, text) = (literal.trim_start_matches(' '), text.trim_start_matches(' '));
            continue;
        }
        text = text.strip_prefix(first).ok_or(text)?;
        literal = &literal[first.len_utf8()..];
    }
    Ok(text)
}

/// One or two digits, or just two.
fn number(text: &str, just_two: bool) -> Read<'_, i64> {
    digits(text, if just_two { 2 } else { 1 }, 2)
}

fn digits(text: &str, least: usize, most: usize) -> Read<'_, i64> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return Err(Bad::Form);
    }
    Ok((text[..count].parse().map_err(|_| Bad::Form)?, &text[count..]))
}

fn name<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Read<'t, i64> {
    for (index, name) in names.iter().enumerate() {
        let name = &name[..length.unwrap_or(name.len())];
        if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((index as i64, &text[name.len()..]));
        }
    }
    Err(Bad::Form)
}

fn half<'t>(text: &'t str, names: [&str; 2]) -> Read<'t, bool> {
    let found = |name: &str| text.strip_prefix(name);
    match (found(names[0]), found(names[1])) {
        (Some(rest), _) => Ok((false, rest)),
        (_, Some(rest)) => Ok((true, rest)),
        _ => Err(Bad::Form),
    }
}

fn ranged(number: i64, low: i64, high: i64, field: &'static str) -> Result<i64, Bad> {
    if (low..=high).contains(&number) { Ok(number) } else { Err(Bad::Range(field)) }
}

fn read_part<'t>(reading: &mut Reading, part: Part<'_>, text: &'t str, fraction_next: bool) -> Read<'t> {
    let rest = match part {
        Part::Literal(_) => text,
        Part::LongMonth | Part::Month => {
            let (month, rest) = name(text, &MONTHS, (part == Part::Month).then_some(3))?;
            reading.month = Some(month + 1);
            rest
        }
        Part::LongWeekday => name(text, &WEEKDAYS, None)?.1,
        Part::Weekday => name(text, &WEEKDAYS, Some(3))?.1,
        Part::HalfUpper | Part::HalfLower => {
            let names = if part == Part::HalfUpper { ["AM", "PM"] } else { ["am", "pm"] };
            let (afternoon, rest) = half(text, names)?;
            reading.afternoon = Some(afternoon);
            rest
        }
        Part::ZoneName => read_zone_name(reading, text)?,
        Part::Zone { z, colon, parts } => read_zone(reading, text, z, colon, parts)?,
        Part::Fraction { digits, trim, .. } => read_fraction(reading, text, digits, trim)?,
        part => read_number(reading, part, text, fraction_next)?,
    };
    Ok(((), rest))
}

fn read_number<'t>(reading: &mut Reading, part: Part<'_>, text: &'t str, fraction_next: bool) -> Result<&'t str, Bad> {
    let spaced = |most: usize| {
        let spaces = text.bytes().take(most).take_while(|byte| *byte == b' ').count();
        &text[spaces..]
    };
    let (found, rest) = match part {
        Part::LongYear => digits(text, 4, 4)?,
        Part::Year => digits(text, 2, 2)?,
        Part::Day { pad: Pad::Space } => number(spaced(1), false)?,
        Part::Day { pad } => number(text, pad == Pad::Zero)?,
        Part::YearDay { pad: Pad::Space } => digits(spaced(2), 1, 3)?,
        Part::YearDay { .. } => digits(text, 3, 3)?,
        Part::NumberMonth { zero } | Part::Hour12 { zero } | Part::Minute { zero } | Part::Second { zero } => {
            number(text, zero)?
        }
        _ => number(text, false)?,
    };
    match part {
        Part::LongYear => reading.year = found,
        Part::Year => reading.year = if found >= 69 { found + 1900 } else { found + 2000 },
        Part::NumberMonth { .. } => reading.month = Some(ranged(found, 1, 12, "month")?),
        Part::Day { .. } => reading.day = Some(found),
        Part::YearDay { .. } => reading.year_day = Some(found),
        Part::Hour => reading.hour = ranged(found, 0, 23, "hour")?,
        Part::Hour12 { .. } => reading.hour = ranged(found, 0, 12, "hour")?,
        Part::Minute { .. } => reading.minute = ranged(found, 0, 59, "minute")?,
        _ => {
            reading.second = ranged(found, 0, 59, "second")?;
            let is_fraction = fraction_digits(rest) > 0;
            if is_fraction && !fraction_next {
                return read_fraction(reading, rest, fraction_digits(rest), false);
            }
        }
    }
    Ok(rest)
}

/// How many digits follow a point or comma.
fn fraction_digits(text: &str) -> usize {
    let digits = text.strip_prefix(['.', ',']).unwrap_or_default();
    digits.bytes().take_while(u8::is_ascii_digit).count()
}

/// So many digits of a second, or, if they may be left out, as many as there are.
fn read_fraction<'t>(reading: &mut Reading, text: &'t str, count: usize, optional: bool) -> Result<&'t str, Bad> {
    let there = fraction_digits(text);
    let count = match (optional, there) {
        (true, 0) => return Ok(text),
        (true, there) => there,
        (false, there) if there < count => return Err(Bad::Form),
        _ => count,
    };
    let digits = &text[1..=count];
    reading.nanosecond = format!("{:0<9}", &digits[..count.min(9)]).parse().map_err(|_| Bad::Form)?;
    Ok(&text[1 + count..])
}

fn read_zone_name<'t>(reading: &mut Reading, text: &'t str) -> Result<&'t str, Bad> {
    if let Some(rest) = text.strip_prefix("UTC") {
        reading.utc = true;
        return Ok(rest);
    }
    let length = zone_name_length(text).ok_or(Bad::Form)?;
    let (name, rest) = text.split_at(length);
    reading.zone = name.to_string();
    Ok(rest)
}

/// How long the abbreviation is that a text begins with.
fn zone_name_length(text: &str) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(after) = text.strip_prefix("GMT") {
        return Some(3 + hours_length(after));
    }
    if text.starts_with(['+', '-']) {
        return Some(hours_length(text)).filter(|length| *length > 0);
    }
    let letters = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    let ends_in_t = text.as_bytes().get(letters.wrapping_sub(1)) == Some(&b'T');
    match letters {
        3 => Some(3),
        4 if ends_in_t || text.starts_with("WITA") => Some(4),
        5 if ends_in_t => Some(5),
        _ => None,
    }
}

/// How long a sign with hours is, if it is one.
fn hours_length(text: &str) -> usize {
    let Some(after) = text.strip_prefix(['+', '-']) else { return 0 };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    let is_hours = after[..count].parse::<u64>().is_ok_and(|hours| hours <= 23);
    if is_hours { count + 1 } else { 0 }
}

fn read_zone<'t>(reading: &mut Reading, text: &'t str, z: bool, colon: bool, parts: u8) -> Result<&'t str, Bad> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        reading.utc = true;
        return Ok(rest);
    }
    let mut rest = text.get(1..).ok_or(Bad::Form)?;
    let mut seconds = 0;
    let fields = ["time zone offset hour", "time zone offset minute", "time zone offset second"];
    let limits = [(3600, 24), (60, 60), (1, 60)];
    let mut out_of_range = None;
    for (index, (scale, most)) in limits.into_iter().take(usize::from(parts)).enumerate() {
        if index > 0 && colon {
            rest = rest.strip_prefix(':').ok_or(Bad::Form)?;
        }
        let (found, next) = number(rest, true)?;
        if found > most {
            out_of_range = Some(fields[index]);
        }
        seconds += found as i32 * scale;
        rest = next;
    }
    if let Some(field) = out_of_range {
        return Err(Bad::Range(field));
    }
    reading.offset = Some(match text.as_bytes().first() {
        Some(b'+') => seconds,
        Some(b'-') => -seconds,
        _ => return Err(Bad::Form),
    });
    Ok(rest)
}

/// The day that the fields mean.
fn date(reading: &Reading) -> Result<Date, &'static str> {
    let (mut month, mut day) = (reading.month.unwrap_or(1), reading.day.unwrap_or(1));
    // Four digits always are a year.
    let year = reading.year as i16;
    if let Some(year_day) = reading.year_day {
        let first = Date::new(year, 1, 1).map_err(|_| "day-of-year out of range")?;
        let number = i16::try_from(year_day).map_err(|_| "day-of-year out of range")?;
        let found = first.with().day_of_year(number).build().map_err(|_| "day-of-year out of range")?;
        if reading.month.is_some_and(|month| month != i64::from(found.month())) {
            return Err("day-of-year does not match month");
        }
        if reading.day.is_some_and(|day| day != i64::from(found.day())) {
            return Err("day-of-year does not match day");
        }
        (month, day) = (found.month().into(), found.day().into());
    }
    let day = i8::try_from(day).map_err(|_| "day out of range")?;
    Date::new(year, month as i8, day).map_err(|_| "day out of range")
}

fn assemble(reading: Reading) -> Result<Zoned, &'static str> {
    let hour = match reading.afternoon {
        Some(true) if reading.hour < 12 => reading.hour + 12,
        Some(false) if reading.hour == 12 => 0,
        _ => reading.hour,
    };
    let clock = Time::new(hour as i8, reading.minute as i8, reading.second as i8, reading.nanosecond as i32);
    let moment = date(&reading)?.to_datetime(clock.map_err(|_| "hour out of range")?);
    placed(&reading, moment).ok_or("year out of range")
}

/// The time in the zone that was read: the machine's if its clock then shows the offset or name, otherwise one made for it.
fn placed(reading: &Reading, moment: DateTime) -> Option<Zoned> {
    let (name, here) = (reading.zone.as_str(), local());
    if reading.utc {
        return moment.to_zoned(TimeZone::UTC).ok();
    }
    if let Some(seconds) = reading.offset {
        let read = moment.to_zoned(named_zone(name, seconds)?).ok()?;
        let info = here.to_offset_info(read.timestamp());
        let is_here = info.offset().seconds() == seconds && (name.is_empty() || info.abbreviation() == name);
        return Some(if is_here { read.with_time_zone(here) } else { read });
    }
    if name.is_empty() {
        return moment.to_zoned(here).ok();
    }
    if let Some(seconds) = offset_here(&here, name, moment) {
        return Some(moment.to_zoned(named_zone("", seconds)?).ok()?.with_time_zone(here));
    }
    // Nobody knows how far it is from UTC, so the time is taken for UTC's.
    let hours: i32 = name.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
    let zone = named_zone(name, hours * 3600).unwrap_or(TimeZone::UTC);
    Some(moment.to_zoned(TimeZone::UTC).ok()?.with_time_zone(zone))
}

/// The offset of a name of the machine's zone, in whatever part of the year it is in use.
fn offset_here(here: &TimeZone, name: &str, moment: DateTime) -> Option<i32> {
    let times = [Some(moment), moment.checked_add(6.months()).ok(), moment.checked_sub(6.months()).ok()];
    times.into_iter().flatten().find_map(|time| {
        let zoned = time.to_zoned(here.clone()).ok()?;
        let info = here.to_offset_info(zoned.timestamp());
        (info.abbreviation() == name).then(|| info.offset().seconds())
    })
}
