//! Cron schedules: `minute hour day-of-month month day-of-week`, `@daily` and the like, `@every 1h30m`. Pure.
//!
//! Source of the rules: github.com/robfig/cron/v3 `parser.go` and `spec.go` (its standard parser).

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Years to look ahead for a time that fits: `0 0 30 2 *` never comes.
const YEARS: i16 = 5;

/// When something is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    Fields(Box<Fields>),
    /// After so long.
    Every(SignedDuration),
}

/// The values that a time's parts may have, a bit each.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of the month, and of the week, are `*`: else either is enough.
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const NAMED: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule and the zone that it names in front (`TZ=Europe/Berlin `), if any.
    pub fn parse(text: &str) -> Result<(Self, Option<TimeZone>), String> {
        let text = text.trim();
        let prefixed = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
        let Some(rest) = prefixed else { return Ok((Self::bare(text)?, None)) };
        let (zone, rest) = rest.split_once(' ').ok_or_else(|| format!("no schedule after the time zone: {text}"))?;
        let zone = TimeZone::get(zone).map_err(|error| format!("provided bad location {zone}: {error}"))?;
        Ok((Self::bare(rest.trim())?, Some(zone)))
    }

    fn bare(text: &str) -> Result<Self, String> {
        if let Some(every) = text.strip_prefix("@every ") {
            let duration = go_duration(every).ok_or_else(|| format!("failed to parse duration {text}"))?;
            return Ok(Schedule::Every(duration.max(SignedDuration::from_secs(1))));
        }
        if text.starts_with('@') {
            let named = NAMED.iter().find(|(name, _)| *name == text);
            let (_, fields) = named.ok_or_else(|| format!("unrecognized descriptor: {text}"))?;
            return Self::bare(fields);
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        };
        let is_any = |part: &str| part.starts_with(['*', '?']);
        Ok(Schedule::Fields(Box::new(Fields {
            minutes: bits(minutes, 0, 59, &[])?,
            hours: bits(hours, 0, 23, &[])?,
            days: bits(days, 1, 31, &[])?,
            months: bits(months, 1, 12, MONTHS)?,
            weekdays: bits(weekdays, 0, 6, WEEKDAYS)?,
            any_day: is_any(days),
            any_weekday: is_any(weekdays),
        })))
    }

    /// The first time after `after`.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(duration) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*duration).ok()
            }
            Schedule::Fields(fields) => fields.next(after, zone),
        }
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

impl Fields {
    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(after);
        let mut date = start.date();
        let last = date.year() + YEARS;
        // An hour may come twice: begin where the clock may have been put back to.
        let mut from = (start.hour() - 2).max(0);
        while date.year() <= last {
            if !has(self.months, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                from = 0;
                continue;
            }
            if self.is_day(date)
                && let Some(found) = self.on_day(date, from, after, zone)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
            from = 0;
        }
        None
    }

    /// The first time on a day, from an hour on, that is later than `after`.
    fn on_day(&self, date: Date, from: i8, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        for hour in (from..24).filter(|hour| has(self.hours, *hour)) {
            for minute in (0..60).filter(|minute| has(self.minutes, *minute)) {
                let times = moments(date.at(hour, minute, 0, 0), zone);
                let first = times.into_iter().flatten().find(|time| *time > after);
                best = first.into_iter().chain(best).min();
            }
            // Later hours can only be earlier moments where the clock is put back, at most two hours on.
            if best.is_some_and(|best| zone.to_datetime(best).hour() + 2 < hour) {
                break;
            }
        }
        best
    }
}

/// The moments of a time of day: none in a gap of the clock, two where it is put back.
fn moments(time: DateTime, zone: &TimeZone) -> [Option<Timestamp>; 2] {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(time).ok(), None],
        AmbiguousOffset::Gap { .. } => [None, None],
        AmbiguousOffset::Fold { before, after } => [before.to_timestamp(time).ok(), after.to_timestamp(time).ok()],
    }
}

/// A list of ranges as bits.
fn bits(text: &str, least: u32, most: u32, names: &[&str]) -> Result<u64, String> {
    let mut all = 0;
    for part in text.split(',') {
        all |= range(part, least, most, names)?;
    }
    Ok(all)
}

fn range(text: &str, least: u32, most: u32, names: &[&str]) -> Result<u64, String> {
    let (span, step) = match text.split_once('/') {
        Some((span, step)) => {
            let step: u32 = step.parse().map_err(|_| format!("failed to parse int from {step}: {text}"))?;
            (span, Some(step))
        }
        None => (text, None),
    };
    let value = |text: &str| -> Result<u32, String> {
        if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(index as u32 + least);
        }
        text.parse().map_err(|_| format!("failed to parse int from {text}"))
    };
    let (first, last) = match span {
        "*" | "?" => (least, most),
        _ => match span.split_once('-') {
            Some((first, last)) => (value(first)?, value(last)?),
            // `5/10` means from 5 on.
            None if step.is_some() => (value(span)?, most),
            None => (value(span)?, value(span)?),
        },
    };
    let step = step.unwrap_or(1);
    if first < least {
        return Err(format!("beginning of range ({first}) below minimum ({least}): {text}"));
    }
    if last > most {
        return Err(format!("end of range ({last}) above maximum ({most}): {text}"));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok((first..=last).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
}

/// A duration as Go writes it: `1h30m`, `90s`.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut all = SignedDuration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter.is_alphabetic())?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        let seconds = match &rest[end..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        all += SignedDuration::try_from_secs_f64(number * seconds).ok()?;
        rest = &rest[unit_end..];
    }
    (all > SignedDuration::ZERO).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, zone: &str) -> String {
        let (schedule, _) = Schedule::parse(schedule).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        schedule.next(after.parse().unwrap(), &zone).map_or("never".into(), |time| time.to_string())
    }

    #[test]
    fn the_next_time_fits_every_field() {
        let cases = [
            ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"),
            ("30 4 1 * *", "2026-01-01T04:30:00Z", "2026-02-01T04:30:00Z"),
            ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 * * mon-fri", "2026-01-02T12:00:00Z", "2026-01-05T12:00:00Z"),
            ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            ("@every 1h30m", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"),
            ("0 0 30 2 *", "2026-01-01T00:00:00Z", "never"),
        ];
        for (schedule, after, expected) in cases {
            assert_eq!(next(schedule, after, "UTC"), expected, "{schedule}");
        }
    }

    #[test]
    fn time_zones_and_their_changes_of_clock_count() {
        let berlin = |schedule, after| next(schedule, after, "Europe/Berlin");
        assert_eq!(berlin("0 9 * * *", "2026-01-01T00:00:00Z"), "2026-01-01T08:00:00Z");
        assert_eq!(berlin("30 2 * * *", "2026-03-28T12:00:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(berlin("*/30 * * * *", "2026-10-25T00:30:00Z"), "2026-10-25T01:00:00Z");
        let (_, zone) = Schedule::parse("TZ=Europe/Berlin 0 9 * * *").unwrap();
        assert_eq!(zone, Some(TimeZone::get("Europe/Berlin").unwrap()));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * * 7", "5-1 * * * *", "*/0 * * * *", "@often", "@every x"]
        {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
