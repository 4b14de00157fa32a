//! `format`: what texts should look like, with the words of Helm's validator for those that do not.

use crate::charts::functions::{checked_url, expression, path_unescaped};
use crate::charts::template::{parse_time, quote};

/// A format.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// Why a text is not of it.
    pub check: fn(&str) -> Result<(), String>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// The format of a name; others say nothing.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

type Checked = Result<(), String>;

static FORMATS: &[Format] = &[
    Format { name: "regex", check: |text| expression(text).map(|_| ()) },
    Format { name: "json-pointer", check: pointer },
    Format { name: "relative-json-pointer", check: relative_pointer },
    Format { name: "uuid", check: uuid },
    Format { name: "duration", check: duration },
    Format { name: "period", check: period },
    Format { name: "ipv4", check: ipv4 },
    Format { name: "ipv6", check: ipv6 },
    Format { name: "hostname", check: hostname },
    Format { name: "email", check: email },
    Format { name: "date", check: date },
    Format { name: "time", check: clock },
    Format { name: "date-time", check: date_time },
    Format { name: "uri", check: uri },
    Format { name: "iri", check: uri },
    Format { name: "uri-reference", check: uri_reference },
    Format { name: "iri-reference", check: uri_reference },
    Format { name: "uri-template", check: uri_template },
    Format { name: "semver", check: semver },
];

fn no<T>(why: &str) -> Result<T, String> {
    Err(why.to_string())
}

fn letter(letter: char) -> String {
    let quoted = quote(letter.to_string().as_bytes(), false);
    let inner = &quoted[1..quoted.len() - 1];
    match letter {
        '\'' => "'\\''".into(),
        '"' => "'\"'".into(),
        _ => format!("'{inner}'"),
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn within(what: &str, checked: Checked) -> Checked {
    checked.map_err(|why| format!("invalid {what}: {why}"))
}

fn pointer(text: &str) -> Checked {
    if text.is_empty() {
        return Ok(());
    }
    let Some(tokens) = text.strip_prefix('/') else { return no("not starting with /") };
    let is_fine = |token: &str| token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if tokens.split('/').all(is_fine) { Ok(()) } else { no("~ must be followed by 0 or 1") }
}

fn relative_pointer(text: &str) -> Checked {
    match digits(text) {
        0 => no("must start with non-negative integer"),
        2.. if text.starts_with('0') => no("starts with zero"),
        count if &text[count..] == "#" => Ok(()),
        count => pointer(&text[count..]),
    }
}

fn uuid(text: &str) -> Checked {
    const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = text.split('-').collect();
    if groups.len() != LENGTHS.len() {
        return no("must have 5 elements");
    }
    for (index, (group, length)) in groups.iter().zip(LENGTHS).enumerate() {
        if group.len() != length {
            return Err(format!("element {} must be {length} characters long", index + 1));
        }
        if let Some(odd) = group.chars().find(|letter| !letter.is_ascii_hexdigit()) {
            return Err(format!("non-hex character {}", letter(odd)));
        }
    }
    Ok(())
}

fn duration(text: &str) -> Checked {
    const UNITS: [&str; 2] = ["YMD", "HMS"];
    let Some(text) = text.strip_prefix('P') else { return no("must start with P") };
    if text.is_empty() {
        return no("nothing after P");
    }
    if let Some(weeks) = text.strip_suffix('W') {
        return match weeks {
            "" => no("no number in week"),
            weeks if digits(weeks) < weeks.len() => no("invalid week"),
            _ => Ok(()),
        };
    }
    for (index, part) in text.split('T').enumerate() {
        if index > 0 && part.is_empty() {
            return no("no time elements");
        }
        let Some(all) = UNITS.get(index) else { return no("more than one T") };
        let (mut units, mut part) = (*all, part);
        while !part.is_empty() {
            let count = digits(part);
            if count == 0 {
                return no("missing number");
            }
            let Some(unit) = part[count..].chars().next() else { return no("missing unit") };
            let Some(place) = units.find(unit) else {
                let known = all.contains(unit);
                let unit = letter(unit);
                return Err(if known { format!("unit {unit} out of order") } else { format!("invalid unit {unit}") });
            };
            units = &units[place + 1..];
            part = &part[count + unit.len_utf8()..];
        }
    }
    Ok(())
}

fn period(text: &str) -> Checked {
    let Some((start, end)) = text.split_once('/') else { return no("missing slash") };
    if start.starts_with('P') {
        within("start duration", duration(start))?;
        return within("end date-time", date_time(end));
    }
    within("start date-time", date_time(start))?;
    if end.starts_with('P') {
        return within("end duration", duration(end));
    }
    within("end date-time", date_time(end))
}

/// A number as Go's `strconv.Atoi` reads it.
fn atoi(text: &str) -> Result<i64, String> {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let problem = |what: &str| format!("strconv.Atoi: parsing {}: {what}", quote(text.as_bytes(), false));
    if number.is_empty() || digits(number) < number.len() {
        return Err(problem("invalid syntax"));
    }
    text.parse().map_err(|_| problem("value out of range"))
}

fn ipv4(text: &str) -> Checked {
    let groups: Vec<&str> = text.split('.').collect();
    if groups.len() != 4 {
        return no("expected four decimals");
    }
    for group in groups {
        if group.len() > 1 && group.starts_with('0') {
            return no("leading zeros");
        }
        if !(0..=255).contains(&atoi(group)?) {
            return no("decimal must be between 0 and 255");
        }
    }
    Ok(())
}

fn ipv6(text: &str) -> Checked {
    if !text.contains(':') {
        return no("missing colon");
    }
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let quoted = quote(text.as_bytes(), false);
    let failed = |why: &str, rest: &str| {
        let at = if rest.is_empty() { String::new() } else { format!(" (at {})", quote(rest.as_bytes(), false)) };
        Err(format!("ParseAddr({quoted}): {why}{at}"))
    };
    if zone == Some("") {
        return failed("zone must be a non-empty string", "");
    }
    ipv6_groups(address).or_else(|(why, rest)| failed(why, rest))?;
    if zone.is_some() { no("zone id is not a part of ipv6 address") } else { Ok(()) }
}

/// What is wrong with an address, and with which rest of it.
fn ipv6_groups(text: &str) -> Result<(), (&'static str, &str)> {
    let (mut rest, mut bytes, mut has_gap) = (text, 0, false);
    if let Some(after) = rest.strip_prefix("::") {
        (rest, has_gap) = (after, true);
        if rest.is_empty() {
            return Ok(());
        }
    }
    while bytes < 16 {
        let length = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if length > 4 {
            return Err(("each group must have 4 or less digits", rest));
        }
        if length == 0 {
            return Err(("each colon-separated field must have at least one digit", rest));
        }
        if rest[length..].starts_with('.') {
            if !has_gap && bytes != 12 {
                return Err(("embedded IPv4 address must replace the final 2 fields of the address", rest));
            }
            if bytes + 4 > 16 {
                return Err(("too many hex fields to fit an embedded IPv4 at the end of the address", rest));
            }
            ipv4_fields(rest)?;
            (rest, bytes) = ("", bytes + 4);
            break;
        }
        bytes += 2;
        rest = &rest[length..];
        if rest.is_empty() {
            break;
        }
        let Some(after) = rest.strip_prefix(':') else { return Err(("unexpected character, want colon", rest)) };
        if after.is_empty() {
            return Err(("colon must be followed by more characters", rest));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            if has_gap {
                return Err(("multiple :: in address", rest));
            }
            (rest, has_gap) = (after, true);
            if rest.is_empty() {
                break;
            }
        }
    }
    match (rest.is_empty(), bytes < 16, has_gap) {
        (false, ..) => Err(("trailing garbage after address", rest)),
        (_, true, false) => Err(("address string too short", "")),
        (_, false, true) => Err(("the :: must expand to at least one field of zeros", "")),
        _ => Ok(()),
    }
}

fn ipv4_fields(text: &str) -> Result<(), (&'static str, &str)> {
    let mut at = 0;
    let fields: Vec<&str> = text.split('.').collect();
    for (index, field) in fields.iter().enumerate() {
        let rest = &text[at..];
        let length = digits(field);
        match field.parse::<u32>() {
            _ if field.is_empty() => return Err(("IPv4 field must have at least one digit", rest)),
            _ if length < field.len() => return Err(("unexpected character", &rest[length..])),
            _ if field.len() > 1 && field.starts_with('0') => {
                return Err(("IPv4 field has octet with leading zero", ""));
            }
            Ok(0..=255) => {}
            _ => return Err(("IPv4 field has value >255", "")),
        }
        if index == 4 {
            return Err(("IPv4 address too long", ""));
        }
        at += field.len() + 1;
    }
    if fields.len() < 4 { Err(("IPv4 address too short", "")) } else { Ok(()) }
}

fn hostname(text: &str) -> Checked {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > 253 {
        return no("more than 253 characters long");
    }
    for label in text.split('.') {
        if !(1..=63).contains(&label.len()) {
            return no("label must be 1 to 63 characters long");
        }
        if label.starts_with('-') {
            return no("label starts with hyphen");
        }
        if label.ends_with('-') {
            return no("label ends with hyphen");
        }
        if let Some(odd) = label.chars().find(|letter| !letter.is_ascii_alphanumeric() && *letter != '-') {
            return Err(format!("invalid character {}", letter(odd)));
        }
    }
    Ok(())
}

fn email(text: &str) -> Checked {
    if text.len() > 254 {
        return no("more than 255 characters long");
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return no("missing @") };
    if local.len() > 64 {
        return no("local part more than 64 characters long");
    }
    if local.len() > 1 && local.starts_with('"') {
        let inner = local.char_indices().next_back().map_or("", |(last, _)| &local[1..last]);
        if inner.contains(['\\', '"']) {
            return no("backslash and quote are not allowed within quoted local part");
        }
    } else {
        unquoted_local(local)?;
    }
    let Some(address) = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']')) else {
        return within("domain", hostname(domain));
    };
    match address.strip_prefix("IPv6:") {
        Some(address) => within("ipv6 address", ipv6(address)),
        None => within("ipv4 address", ipv4(address)),
    }
}

fn unquoted_local(local: &str) -> Checked {
    if local.starts_with('.') {
        return no("starts with dot");
    }
    if local.ends_with('.') {
        return no("ends with dot");
    }
    if local.contains("..") {
        return no("consecutive dots");
    }
    let fine = |letter: &char| letter.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(*letter);
    match local.chars().find(|letter| !fine(letter)) {
        Some(odd) => Err(format!("invalid character {}", letter(odd))),
        None => Ok(()),
    }
}

fn date(text: &str) -> Checked {
    parse_time("2006-01-02", text).map(|_| ())
}

/// Numbers with colons between them.
fn numbers(text: &str, most: usize, what: &str) -> Result<Vec<i64>, String> {
    let read = |part: &str| match atoi(part) {
        Err(_) => Err(format!("invalid {what}")),
        Ok(number) if number < 0 => Err(format!("non-positive {what}")),
        Ok(number) => Ok(number),
    };
    text.splitn(most, ':').map(read).collect()
}

fn clock(text: &str) -> Checked {
    if text.len() < 9 {
        return no("less than 9 characters long");
    }
    let bytes = text.as_bytes();
    if bytes[2] != b':' || bytes[5] != b':' {
        return no("missing colon in correct place");
    }
    let Some((time, mut rest)) = text.split_at_checked(8) else { return no("invalid hour/min/sec") };
    let [mut hour, mut minute, second] = numbers(time, 3, "hour/min/sec")?[..] else {
        return no("missing hour/min/sec");
    };
    if hour > 23 || minute > 59 || second > 60 {
        return no("hour/min/sec out of range");
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = &fraction[digits(fraction)..];
        if rest.len() == fraction.len() {
            return no("no digits in second fraction");
        }
    }
    if !rest.eq_ignore_ascii_case("z") {
        if rest.len() != 6 {
            return no("offset must be 6 characters long");
        }
        let sign = match rest.as_bytes()[0] {
            b'+' => -1,
            b'-' => 1,
            _ => return no("offset must begin with plus/minus"),
        };
        if rest.as_bytes()[3] != b':' {
            return no("missing colon in offset in correct place");
        }
        let offset = numbers(&rest[1..], 2, "hour/min in offset")?;
        let (hours, minutes) = (offset[0], offset[1]);
        if hours > 23 || minutes > 59 {
            return no("hour/min in offset out of range");
        }
        let mut whole = hour * 60 + minute + sign * (hours * 60 + minutes);
        if whole < 0 {
            whole += 24 * 60;
        }
        (hour, minute) = (whole / 60, whole % 60);
    }
    if second >= 60 && (hour != 23 || minute != 59) { no("invalid leap second") } else { Ok(()) }
}

fn date_time(text: &str) -> Checked {
    if text.len() < 20 {
        return no("less than 20 characters long");
    }
    if !matches!(text.as_bytes()[10], b't' | b'T') {
        return no("11th character must be t or T");
    }
    within("date element", date(&text[..10]))?;
    within("time element", clock(&text[11..]))
}

fn parsed(text: &str) -> Result<bool, String> {
    let (is_absolute, host) = checked_url(text)?;
    let name = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, _)) => inner,
        None => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
    };
    if name.contains(':') {
        if !host.contains('[') || !host.contains(']') {
            return no("ipv6 address not enclosed in brackets");
        }
        within("ipv6 address", ipv6(name))?;
    }
    Ok(is_absolute)
}

fn uri(text: &str) -> Checked {
    if parsed(text)? { Ok(()) } else { no("relative url") }
}

fn uri_reference(text: &str) -> Checked {
    if text.contains('\\') {
        return no("contains \\");
    }
    parsed(text).map(|_| ())
}

fn uri_template(text: &str) -> Checked {
    parsed(text)?;
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]));
    for token in path.split('/') {
        let token = path_unescaped(token).map_err(|why| format!("percent decode failed: {why}"))?;
        let mut opens = true;
        for letter in token.chars().filter(|letter| matches!(letter, '{' | '}')) {
            if (letter == '{') != opens {
                return no("nested curly braces");
            }
            opens = !opens;
        }
        if !opens {
            return no("no matching closing brace");
        }
    }
    Ok(())
}

fn semver(text: &str) -> Checked {
    let odd = |text: &str| text.chars().find(|letter| !letter.is_ascii_alphanumeric() && *letter != '-');
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if build == Some("") {
        return no("build is empty");
    }
    for part in build.into_iter().flat_map(|build| build.split('.')) {
        match odd(part) {
            _ if part.is_empty() => return no("build identifier is empty"),
            Some(odd) => return Err(format!("invalid character {} in build identifier", letter(odd))),
            None => {}
        }
    }
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    for part in before.into_iter().flat_map(|before| before.split('.')) {
        match odd(part) {
            _ if part.is_empty() => return no("pre-release identifier is empty"),
            Some(odd) => return Err(format!("invalid character {} in pre-release identifier", letter(odd))),
            None if part.len() > 1 && part.starts_with('0') && digits(part) == part.len() => {
                return no("pre-release numeric identifier starts with zero");
            }
            None => {}
        }
    }
    let numbers: Vec<&str> = core.split('.').collect();
    if numbers.len() != 3 {
        return no("versionCore must have 3 numbers separated by dot");
    }
    for (number, name) in numbers.iter().zip(["major", "minor", "patch"]) {
        match number {
            _ if number.is_empty() => return Err(format!("{name} is empty")),
            _ if number.len() > 1 && number.starts_with('0') => return Err(format!("{name} starts with zero")),
            _ if digits(number) < number.len() => return Err(format!("{name} contains non-digit")),
            _ => {}
        }
    }
    Ok(())
}
