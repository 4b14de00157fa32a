//! Go's `fmt`: `%v` and the other verbs, flags, widths, and what it says of arguments that do not fit.

use super::number::format_float;
use super::quote;
use super::value::{Element, MapKind, Object, Value};

/// A value as `%v` shows it.
pub fn display(value: &Value) -> String {
    String::from_utf8_lossy(&display_bytes(value)).into_owned()
}

/// A value as `%v` shows it, as bytes.
pub fn display_bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_display(&mut out, value);
    out
}

/// Appends a value as `%v` shows it.
pub fn write_display(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) => out.extend_from_slice(text),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        _ => {
            let mut printer = Printer { out: std::mem::take(out), ..Printer::default() };
            printer.argument(value, 'v');
            *out = printer.out;
        }
    }
}

/// `fmt.Sprint`: a space between operands of which neither is a string.
pub fn sprint(arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut string_before = true;
    for value in arguments {
        let string = value.kind() == "string";
        if !string && !string_before {
            out.push(b' ');
        }
        write_display(&mut out, value);
        string_before = string;
    }
    out
}

/// `fmt.Sprintln`.
pub fn sprintln(arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, value) in arguments.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        write_display(&mut out, value);
    }
    out.push(b'\n');
    out
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &[u8], arguments: &[Value]) -> Vec<u8> {
    let mut printer = Printer { out: Vec::with_capacity(format.len() + 16), ..Printer::default() };
    Directives { format, arguments, at: 0, next: 0, reordered: false, good: true, after_index: false }
        .run(&mut printer);
    printer.out
}

/// The largest width and precision that `fmt` takes.
const LARGEST: i64 = 1_000_000;

#[derive(Clone, Copy, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    plus_v: bool,
    sharp_v: bool,
}

#[derive(Default)]
struct Printer {
    out: Vec<u8>,
    flags: Flags,
    erroring: bool,
}

impl Printer {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn padding(&mut self, count: usize) {
        let with = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.resize(self.out.len() + count, with);
    }

    fn pad(&mut self, bytes: &[u8]) {
        let width = self.flags.width.unwrap_or(0);
        let missing = if width == 0 { 0 } else { width.saturating_sub(quote::letters(bytes).count()) };
        if self.flags.minus {
            self.out.extend_from_slice(bytes);
            self.padding(missing);
        } else {
            self.padding(missing);
            self.out.extend_from_slice(bytes);
        }
    }

    fn pad_unzeroed(&mut self, bytes: &[u8]) {
        let zero = std::mem::replace(&mut self.flags.zero, false);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    /// What `fmt` says of a verb that the value does not have.
    fn bad_verb(&mut self, value: &Value, verb: char, element: bool) {
        self.erroring = true;
        self.text(&format!("%!{verb}("));
        match value {
            Value::Nil => self.text("<nil>"),
            value => {
                self.text(&value.type_name());
                self.text("=");
                if element { self.value(value, 'v', 0) } else { self.argument(value, 'v') }
            }
        }
        self.text(")");
        self.erroring = false;
    }

    /// A top-level operand.
    fn argument(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Nil, _) => self.bad_verb(value, verb, false),
            (_, 'T') => {
                let name = value.type_name();
                self.string(value, name.as_bytes(), 's');
            }
            (_, 'p') => self.bad_verb(value, verb, false),
            (Value::Bytes(bytes), _) => self.bytes(value, bytes, verb, "[]byte"),
            _ => self.value(value, verb, 0),
        }
    }

    /// The text of the value's `String` method.
    fn stringer(&self, value: &Value) -> Option<String> {
        match value {
            Value::Int(number, kind) => super::time::named_integer(*number, *kind),
            Value::Time(time) => Some(super::time::go_string(time)),
            Value::Object(object) => object.text(),
            _ => None,
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if depth > 1000 {
            return;
        }
        if !self.erroring
            && !self.flags.sharp_v
            && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = self.stringer(value)
        {
            return self.string(value, text.as_bytes(), verb);
        }
        if !self.erroring && verb == 'w' {
            return self.bad_verb(value, verb, false);
        }
        match value {
            Value::Nil if self.flags.sharp_v => self.text("interface {}(nil)"),
            Value::Nil => self.text("<nil>"),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb, depth > 0),
            },
            Value::Int(number, _) => self.integer(value, number.unsigned_abs(), *number < 0, verb),
            Value::Uint(number, _) if verb == 'v' && self.flags.sharp_v => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(*number, false, 16, 'v', false);
                self.flags.sharp = sharp;
            }
            Value::Uint(number, _) => self.integer(value, *number, false, verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Complex(real, imaginary) => self.complex(value, *real, *imaginary, verb),
            Value::Str(text) => self.string(value, text, verb),
            Value::Bytes(bytes) => self.byte_elements(value, bytes, verb),
            Value::List(list) => {
                let nil = list.nil;
                self.sequence(&value.type_name(), nil, list.items.iter(), verb, depth);
            }
            Value::Map(map) if self.flags.sharp_v => self.map(&value.type_name(), map, verb, depth),
            Value::Map(map) => self.map("", map, verb, depth),
            Value::Time(moment) => self.time(moment, verb, depth),
            Value::Object(object) => self.object(object.as_ref(), verb, depth),
        }
    }

    fn object(&mut self, object: &dyn Object, verb: char, depth: usize) {
        match object.underlying() {
            Some(Value::Map(map)) => return self.map(&object.type_name(), &map, verb, depth),
            Some(inner) => return self.value(&inner, verb, depth),
            None => {}
        }
        let name = object.type_name();
        let pointer = name.starts_with('*') && depth == 0;
        if pointer {
            self.text("&");
        }
        if self.flags.sharp_v {
            self.text(name.trim_start_matches('*'));
        }
        self.text("{");
        for (index, (name, field)) in object.printed_fields().into_iter().enumerate() {
            if index > 0 {
                self.text(if self.flags.sharp_v { ", " } else { " " });
            }
            if self.flags.plus_v || self.flags.sharp_v {
                self.text(name);
                self.text(":");
            }
            self.value(&field, verb, depth + 1);
        }
        self.text("}");
    }

    fn sequence<'v>(
        &mut self,
        name: &str,
        nil: bool,
        items: impl Iterator<Item = &'v Value>,
        verb: char,
        depth: usize,
    ) {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.text(name);
            if nil {
                return self.text("(nil)");
            }
        }
        self.text(if sharp { "{" } else { "[" });
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.text(if sharp { ", " } else { " " });
            }
            self.value(item, verb, depth + 1);
        }
        self.text(if sharp { "}" } else { "]" });
    }

    /// A time without its `String` method: as Go source, or its fields.
    fn time(&mut self, moment: &jiff::Zoned, verb: char, depth: usize) {
        if self.flags.sharp_v && verb == 'v' {
            return self.text(&super::time::go_source(moment));
        }
        for (field, before) in super::time::fields(moment).iter().zip(["{", " ", " "]) {
            self.text(before);
            self.value(field, verb, depth + 1);
        }
        self.text("}");
    }

    fn map(&mut self, name: &str, map: &super::value::Map, verb: char, depth: usize) {
        let sharp = self.flags.sharp_v;
        if sharp {
            self.text(name);
            if map.is_nil() {
                return self.text("(nil)");
            }
        }
        self.text(if sharp { "{" } else { "map[" });
        let mut first = true;
        for (key, item) in map.pairs() {
            if !std::mem::replace(&mut first, false) {
                self.text(if sharp { ", " } else { " " });
            }
            self.value(&Value::from(key.as_ref()), verb, depth + 1);
            self.text(":");
            if map.kind == MapKind::Of(Element::Bytes) && item.is_nil() {
                self.text("[]");
            } else {
                self.value(&item, verb, depth + 1);
            }
        }
        self.text(if sharp { "}" } else { "]" });
    }

    fn byte_elements(&mut self, value: &Value, bytes: &[u8], verb: char) {
        match verb {
            's' | 'q' | 'x' | 'X' => self.bytes(value, bytes, verb, "[]uint8"),
            _ => {
                let items: Vec<Value> =
                    bytes.iter().map(|byte| Value::Uint(u64::from(*byte), super::value::UintType::Uint8)).collect();
                self.sequence("[]uint8", false, items.iter(), verb, 1);
            }
        }
    }

    fn bytes(&mut self, value: &Value, bytes: &[u8], verb: char, name: &str) {
        match verb {
            'v' | 'd' => {
                let items: Vec<Value> =
                    bytes.iter().map(|byte| Value::Uint(u64::from(*byte), super::value::UintType::Uint8)).collect();
                self.sequence(name, false, items.iter(), verb, 1);
            }
            's' => self.string(value, bytes, 's'),
            'x' | 'X' | 'q' => self.string(value, bytes, verb),
            _ => self.byte_elements(value, bytes, verb),
        }
    }

    fn string(&mut self, value: &Value, bytes: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(bytes),
            'v' | 's' => {
                let cut = self.truncated(bytes);
                self.pad(cut);
            }
            'x' | 'X' => self.hexadecimal(bytes, verb == 'X'),
            'q' => self.quoted(bytes),
            _ => self.bad_verb(value, verb, false),
        }
    }

    fn truncated<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(precision) = self.flags.precision else { return bytes };
        let length: usize = quote::letters(bytes).take(precision).map(|letter| letter.map_or(1, char::len_utf8)).sum();
        &bytes[..length]
    }

    fn quoted(&mut self, bytes: &[u8]) {
        let bytes = self.truncated(bytes);
        if self.flags.sharp && quote::can_backquote(bytes) {
            return self.pad(&[b"`", bytes, b"`"].concat());
        }
        self.pad(quote::quote(bytes, self.flags.plus).as_bytes());
    }

    fn hexadecimal(&mut self, bytes: &[u8], upper: bool) {
        let bytes = &bytes[..self.flags.precision.map_or(bytes.len(), |precision| precision.min(bytes.len()))];
        let prefix = if !self.flags.sharp {
            ""
        } else if upper {
            "0X"
        } else {
            "0x"
        };
        let mut text = String::new();
        for (index, byte) in bytes.iter().enumerate() {
            if index == 0 || self.flags.space {
                text.push_str(if index > 0 { " " } else { "" });
                text.push_str(prefix);
            }
            text.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(text.as_bytes());
    }

    fn integer(&mut self, value: &Value, size: u64, negative: bool, verb: char) {
        match verb {
            'v' | 'd' => self.digits(size, negative, 10, verb, false),
            'b' => self.digits(size, negative, 2, verb, false),
            'o' | 'O' => self.digits(size, negative, 8, verb, false),
            'x' => self.digits(size, negative, 16, verb, false),
            'X' => self.digits(size, negative, 16, verb, true),
            'c' | 'q' | 'U' => self.letter(size, negative, verb),
            _ => self.bad_verb(value, verb, false),
        }
    }

    fn letter(&mut self, size: u64, negative: bool, verb: char) {
        let number = if negative { size.wrapping_neg() } else { size };
        let letter = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        match verb {
            'c' => self.pad(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => self.pad(quote::quote_letter(letter, self.flags.plus).as_bytes()),
            _ => {
                let digits = self.flags.precision.unwrap_or(4).max(4);
                let mut text = format!("U+{number:0digits$X}");
                if self.flags.sharp && number <= 0x10ffff && quote::is_print(letter) {
                    text.push_str(&format!(" '{letter}'"));
                }
                self.pad_unzeroed(text.as_bytes());
            }
        }
    }

    fn digits(&mut self, size: u64, negative: bool, base: u32, verb: char, upper: bool) {
        let flags = self.flags;
        let mut least = 0;
        if let Some(precision) = flags.precision {
            least = precision;
            if precision == 0 && size == 0 {
                let zero = std::mem::replace(&mut self.flags.zero, false);
                self.padding(flags.width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
        } else if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width) {
            least = width.saturating_sub(usize::from(negative || flags.plus || flags.space));
        }
        let mut text = match (base, upper) {
            (2, _) => format!("{size:b}"),
            (8, _) => format!("{size:o}"),
            (16, true) => format!("{size:X}"),
            (16, false) => format!("{size:x}"),
            _ => size.to_string(),
        };
        if text.len() < least {
            text.insert_str(0, &"0".repeat(least - text.len()));
        }
        if flags.sharp {
            match base {
                2 => text.insert_str(0, "0b"),
                8 if !text.starts_with('0') => text.insert(0, '0'),
                16 => text.insert_str(0, if upper { "0X" } else { "0x" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.insert_str(0, "0o");
        }
        if negative {
            text.insert(0, '-');
        } else if flags.plus {
            text.insert(0, '+');
        } else if flags.space {
            text.insert(0, ' ');
        }
        self.pad_unzeroed(text.as_bytes());
    }

    fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (format, default) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'F' => ('f', Some(6)),
            'e' | 'E' => (verb, Some(6)),
            _ => return self.bad_verb(value, verb, false),
        };
        let flags = self.flags;
        let precision = flags.precision.or(default);
        let mut text = format_float(number, format, precision);
        if !text.starts_with(['-', '+']) {
            text.insert(0, '+');
        }
        if flags.space && text.starts_with('+') && !flags.plus {
            text.replace_range(..1, " ");
        }
        if !number.is_finite() {
            let bare = number.is_nan() && !flags.space && !flags.plus;
            return self.pad_unzeroed(&text.as_bytes()[usize::from(bare)..]);
        }
        if flags.sharp && verb != 'b' {
            text = with_point(&text, format, precision);
        }
        if flags.plus || !text.starts_with('+') {
            if let (true, false, Some(width)) = (flags.zero, flags.minus, flags.width)
                && width > text.len()
            {
                self.out.push(text.as_bytes()[0]);
                self.padding(width - text.len());
                return self.text(&text[1..]);
            }
            return self.pad(text.as_bytes());
        }
        self.pad(&text.as_bytes()[1..]);
    }

    fn complex(&mut self, value: &Value, real: f64, imaginary: f64, verb: char) {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb, false);
        }
        self.text("(");
        self.float(value, real, verb);
        let plus = std::mem::replace(&mut self.flags.plus, true);
        self.float(value, imaginary, verb);
        self.text("i)");
        self.flags.plus = plus;
    }
}

/// The sharp flag of floats: a decimal point always, and for `%g` the zeros.
fn with_point(text: &str, format: char, precision: Option<usize>) -> String {
    let mut digits: i64 = match format {
        'g' | 'G' | 'x' | 'X' => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let split = text.find(if matches!(format, 'x' | 'X') { ['p', 'P'] } else { ['e', 'E'] }).unwrap_or(text.len());
    let (number, tail) = text.split_at(split);
    let mut number = number.to_string();
    let mut nonzero = false;
    for letter in number.chars().skip(1).filter(|letter| *letter != '.') {
        nonzero |= letter != '0';
        digits -= i64::from(nonzero);
    }
    if !number.contains('.') {
        digits -= i64::from(number.len() == 2 && number.ends_with('0'));
        number.push('.');
    }
    number.push_str(&"0".repeat(digits.max(0) as usize));
    number + tail
}

/// The walk through a format text.
struct Directives<'f> {
    format: &'f [u8],
    arguments: &'f [Value],
    at: usize,
    next: usize,
    reordered: bool,
    good: bool,
    after_index: bool,
}

impl Directives<'_> {
    fn run(&mut self, printer: &mut Printer) {
        while self.at < self.format.len() {
            let rest = &self.format[self.at..];
            let plain = memchr::memchr(b'%', rest).unwrap_or(rest.len());
            printer.out.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if self.at >= self.format.len() {
                break;
            }
            self.at += 1;
            self.directive(printer);
        }
        self.extra(printer);
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn directive(&mut self, printer: &mut Printer) {
        self.good = true;
        self.after_index = false;
        printer.flags = Flags::default();
        self.flags(&mut printer.flags);
        self.index();
        self.width(printer);
        if self.peek() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            self.good &= !self.after_index;
            self.index();
            self.precision(printer);
        }
        if !self.after_index {
            self.index();
        }
        let Some(Ok(verb)) =
            quote::letters(&self.format[self.at..]).next().map(|letter| letter.or(Ok::<_, u8>('\u{fffd}')))
        else {
            return printer.text("%!(NOVERB)");
        };
        self.at += match quote::letters(&self.format[self.at..]).next() {
            Some(Ok(letter)) => letter.len_utf8(),
            _ => 1,
        };
        match verb {
            '%' => printer.text("%"),
            verb if !self.good => printer.text(&format!("%!{verb}(BADINDEX)")),
            verb => match self.arguments.get(self.next) {
                None => printer.text(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    if matches!(verb, 'v' | 'w') {
                        printer.flags.sharp_v = std::mem::take(&mut printer.flags.sharp);
                        printer.flags.plus_v = std::mem::take(&mut printer.flags.plus);
                    }
                    printer.argument(value, verb);
                    self.next += 1;
                }
            },
        }
    }

    fn flags(&mut self, flags: &mut Flags) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// `[n]`: which operand comes next.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3) else {
            self.good = false;
            self.at += 1;
            return;
        };
        let number = std::str::from_utf8(&rest[1..close]).ok().and_then(|digits| digits.parse::<usize>().ok());
        self.at += close + 1;
        match number {
            Some(number) if (1..=self.arguments.len()).contains(&number) => {
                self.next = number - 1;
                self.after_index = true;
            }
            Some(_) => {
                self.good = false;
                self.after_index = true;
            }
            None => self.good = false,
        }
    }

    fn star(&mut self) -> Option<i64> {
        let number = match self.arguments.get(self.next)? {
            Value::Int(number, _) => Some(*number),
            Value::Uint(number, _) => i64::try_from(*number).ok(),
            _ => None,
        };
        self.next += 1;
        number.filter(|number| number.abs() <= LARGEST)
    }

    fn number(&mut self) -> Option<usize> {
        let rest = &self.format[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = std::str::from_utf8(&rest[..length]).ok().filter(|digits| !digits.is_empty())?;
        let number = digits.parse::<usize>().ok().filter(|number| number / 10 <= LARGEST as usize);
        // As in Go, what comes behind a number that is too large is not read, and is no verb.
        self.at = number.map_or(self.format.len(), |_| self.at + length);
        number
    }

    fn width(&mut self, printer: &mut Printer) {
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                None => printer.text("%!(BADWIDTH)"),
                Some(width) => {
                    if width < 0 {
                        printer.flags.minus = true;
                        printer.flags.zero = false;
                    }
                    printer.flags.width = Some(width.unsigned_abs() as usize);
                }
            }
            self.after_index = false;
        } else {
            printer.flags.width = self.number();
            if self.after_index && printer.flags.width.is_some() {
                self.good = false;
            }
        }
    }

    fn precision(&mut self, printer: &mut Printer) {
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(precision) if precision >= 0 => printer.flags.precision = Some(precision as usize),
                _ => printer.text("%!(BADPREC)"),
            }
            self.after_index = false;
        } else {
            printer.flags.precision = Some(self.number().unwrap_or(0));
        }
    }

    fn extra(&self, printer: &mut Printer) {
        if self.reordered || self.next >= self.arguments.len() {
            return;
        }
        printer.flags = Flags::default();
        printer.text("%!(EXTRA ");
        for (index, value) in self.arguments[self.next..].iter().enumerate() {
            if index > 0 {
                printer.text(", ");
            }
            if value.is_nil() {
                printer.text("<nil>");
            } else {
                printer.text(&value.type_name());
                printer.text("=");
                printer.argument(value, 'v');
            }
        }
        printer.text(")");
    }
}
