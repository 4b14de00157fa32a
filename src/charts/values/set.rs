//! `--set` and its relatives: `a.b[0].c=value,d={x,y}` written into a tree of values.
//!
//! Source of the rules: Helm `pkg/strvals`. A literal (`--set-literal`) takes the rest of the text as it is.

use super::{Map, Value, go_json, go_type};
use crate::charts::template::quote_letter;
use std::str::Chars;

/// The highest index that a list may be given; a larger one is a mistake that would fill the memory.
pub const LARGEST_INDEX: i64 = 65536;
/// How many dots and brackets deep a name may go.
const DEEPEST_NAME: usize = 30;

/// Reads the file that a value of `--set-file` names.
pub type Reader<'a> = &'a dyn Fn(&str) -> Result<Value, String>;

/// What stands behind `=`.
#[derive(Clone, Copy)]
pub enum Kind<'a> {
    /// Booleans, null and integers by their look, else text (`--set`).
    Typed,
    /// Text (`--set-string`).
    Text,
    /// JSON (`--set-json`).
    Json,
    /// What a file holds (`--set-file`).
    File(Reader<'a>),
    /// The rest of the argument (`--set-literal`).
    Literal,
}

/// Writes what `text` says into `into`. What was set before a mistake stays set, as in Helm.
pub fn parse_into(text: &str, kind: Kind, into: &mut Map) -> Result<(), String> {
    let mut parser = Parser { rest: text.chars(), kind };
    loop {
        match parser.key(into, 0) {
            Ok(()) => {}
            Err(Halt::End) => return Ok(()),
            Err(Halt::Failed(problem)) => return Err(problem),
        }
    }
}

/// Why parsing stops.
#[derive(Debug)]
enum Halt {
    /// The text is used up.
    End,
    Failed(String),
}

fn failed<T>(problem: impl Into<String>) -> Result<T, Halt> {
    Err(Halt::Failed(problem.into()))
}

struct Parser<'a> {
    rest: Chars<'a>,
    kind: Kind<'a>,
}

impl Parser<'_> {
    fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Literal)
    }

    /// Text until one of the stops, which is taken too; `None` at the end of the text.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut taken = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                c if stops.contains(&c) => return (taken, Some(c)),
                '\\' if !self.is_literal() => match self.rest.next() {
                    Some(next) => taken.push(next),
                    None => return (taken, None),
                },
                c => taken.push(c),
            }
        }
        (taken, None)
    }

    fn key(&mut self, data: &mut Map, depth: usize) -> Result<(), Halt> {
        let stops: &[char] = if self.is_literal() { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Halt::End),
            None => failed(format!("key {key:?} has no value")),
            Some('[') => self.indexed(data, &key, depth),
            Some('=') => self.assigned(data, key),
            Some('.') => self.nested(data, key, depth),
            Some(_) => {
                set(data, &key, "".into());
                failed(format!("key {key:?} has no value (cannot end with ,)"))
            }
        }
    }

    fn indexed(&mut self, data: &mut Map, key: &str, depth: usize) -> Result<(), Halt> {
        let index = self.index()?;
        match data.get_mut(key) {
            Some(Value::Array(list)) => self.item(list, index, depth),
            Some(other) => failed(unlike(other, "[]interface {}")),
            None => {
                let mut list = Vec::new();
                let result = self.item(&mut list, index, depth);
                set(data, key, Value::Array(list));
                result
            }
        }
    }

    fn nested(&mut self, data: &mut Map, key: String, depth: usize) -> Result<(), Halt> {
        let depth = deeper(depth)?;
        match data.get_mut(&key) {
            Some(Value::Object(inner)) => {
                self.key(inner, depth)?;
                if inner.is_empty() { failed(format!("key map {key:?} has no value")) } else { Ok(()) }
            }
            Some(other) => failed(unlike(other, "map[string]interface {}")),
            None => {
                let mut inner = Map::new();
                let result = self.key(&mut inner, depth);
                if inner.is_empty() {
                    result?;
                    return failed(format!("key map {key:?} has no value"));
                }
                set(data, &key, Value::Object(inner));
                result
            }
        }
    }

    fn assigned(&mut self, data: &mut Map, key: String) -> Result<(), Halt> {
        match self.value() {
            Ok(value) => {
                set(data, &key, value);
                Ok(())
            }
            Err(Halt::End) => {
                set(data, &key, "".into());
                Err(Halt::End)
            }
            Err(halt) => Err(halt),
        }
    }

    /// What stands behind `=`; `End` if nothing does.
    fn value(&mut self) -> Result<Value, Halt> {
        match self.kind {
            Kind::Json => self.json(),
            Kind::Literal => Ok(self.until(&[]).0.into()),
            _ => match self.rest.clone().next() {
                None => Err(Halt::End),
                Some('{') => self.list(),
                Some(_) => {
                    let (text, _) = self.until(&[',']);
                    self.read(&text)
                }
            },
        }
    }

    fn read(&self, text: &str) -> Result<Value, Halt> {
        match self.kind {
            Kind::Typed => Ok(typed(text)),
            Kind::File(reader) => reader(text).map_err(Halt::Failed),
            _ => Ok(text.into()),
        }
    }

    fn list(&mut self) -> Result<Value, Halt> {
        self.rest.next();
        let mut list = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            match stop {
                None => return failed("list must terminate with '}'"),
                Some('}') => {
                    if self.rest.clone().next() == Some(',') {
                        self.rest.next();
                    }
                    list.push(self.read(&text)?);
                    return Ok(Value::Array(list));
                }
                Some(_) => list.push(self.read(&text)?),
            }
        }
    }

    fn json(&mut self) -> Result<Value, Halt> {
        if self.nothing_until_comma() {
            return Ok(Value::Null);
        }
        let text = self.rest.as_str();
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => go_json(value),
            Some(Err(error)) => return failed(error.to_string()),
            None => return failed("EOF"),
        };
        self.rest = text[stream.byte_offset()..].chars();
        self.nothing_until_comma();
        Ok(value)
    }

    /// Skips blanks, and a comma behind them; whether there was nothing else.
    fn nothing_until_comma(&mut self) -> bool {
        loop {
            match self.rest.clone().next() {
                None => return true,
                Some(',') => {
                    self.rest.next();
                    return true;
                }
                Some(c) if c.is_whitespace() => {
                    self.rest.next();
                }
                Some(_) => return false,
            }
        }
    }

    fn index(&mut self) -> Result<usize, Halt> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return failed("error parsing index: EOF");
        }
        let problem = |what: &str| Halt::Failed(format!("error parsing index: strconv.Atoi: parsing {text:?}: {what}"));
        let index: i64 = text.parse().map_err(|_| problem("invalid syntax"))?;
        if index < 0 {
            return failed(format!("negative {index} index not allowed"));
        }
        if index > LARGEST_INDEX {
            return failed(format!("index of {index} is greater than maximum supported index of {LARGEST_INDEX}"));
        }
        usize::try_from(index).map_err(|_| problem("value out of range"))
    }

    fn item(&mut self, list: &mut Vec<Value>, index: usize, depth: usize) -> Result<(), Halt> {
        let (between, stop) = self.until(&['[', '.', '=']);
        if !between.is_empty() {
            let letters: Vec<String> = between.chars().map(|letter| quote_letter(letter, false)).collect();
            return failed(format!("unexpected data at end of array index: [{}]", letters.join(" ")));
        }
        match stop {
            None => Err(Halt::End),
            Some('=') => {
                let value = match self.value() {
                    Err(Halt::End) => "".into(),
                    value => value?,
                };
                *slot(list, index) = value;
                Ok(())
            }
            Some('[') => {
                let next = self.index()?;
                let depth = deeper(depth)?;
                match list.get_mut(index) {
                    Some(Value::Array(inner)) => self.item(inner, next, depth),
                    Some(other) if !other.is_null() => failed(unlike(other, "[]interface {}")),
                    _ => {
                        let mut inner = Vec::new();
                        self.item(&mut inner, next, depth)?;
                        *slot(list, index) = Value::Array(inner);
                        Ok(())
                    }
                }
            }
            Some(_) => {
                let depth = deeper(depth)?;
                if let Some(existing) = list.get_mut(index) {
                    if !existing.is_object() {
                        *existing = Value::Object(Map::new());
                    }
                    let Value::Object(inner) = existing else { return Ok(()) };
                    return self.key(inner, depth);
                }
                let mut inner = Map::new();
                self.key(&mut inner, depth)?;
                *slot(list, index) = Value::Object(inner);
                Ok(())
            }
        }
    }
}

fn deeper(depth: usize) -> Result<usize, Halt> {
    if depth >= DEEPEST_NAME {
        let problem = "value name nested level is greater than maximum supported nested level of";
        return failed(format!("{problem} {DEEPEST_NAME}"));
    }
    Ok(depth + 1)
}

/// The place in the list, which grows up to it.
fn slot(list: &mut Vec<Value>, index: usize) -> &mut Value {
    if list.len() <= index {
        list.resize(index + 1, Value::Null);
    }
    &mut list[index]
}

fn set(data: &mut Map, key: &str, value: Value) {
    // `=x` sets nothing.
    if !key.is_empty() {
        data.insert(key.to_string(), value);
    }
}

fn unlike(value: &Value, wanted: &str) -> String {
    format!("unable to parse key: interface conversion: interface {{}} is {}, not {wanted}", go_type(value))
}

fn typed(text: &str) -> Value {
    for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
        if text.eq_ignore_ascii_case(word) {
            return value;
        }
    }
    if text == "0" {
        return 0.into();
    }
    match text.parse::<i64>() {
        Ok(number) if !text.starts_with('0') => number.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str, kind: Kind) -> Result<Value, String> {
        let mut into = Map::new();
        parse_into(text, kind, &mut into).map(|()| Value::Object(into))
    }

    /// Helm's own table (pkg/strvals/parser_test.go), as facts.
    #[test]
    fn set_reads_names_lists_and_types() {
        for (text, wanted) in [
            ("", json!({})),
            ("=1", json!({})),
            ("name1=value1", json!({"name1": "value1"})),
            ("name1=value1,name2=value2", json!({"name1": "value1", "name2": "value2"})),
            ("name1=value1,name2=value2,", json!({"name1": "value1", "name2": "value2"})),
            ("name1=,name2=value2", json!({"name1": "", "name2": "value2"})),
            ("leading_zeros=00009", json!({"leading_zeros": "00009"})),
            ("zero_int=0", json!({"zero_int": 0})),
            ("long_int=1234567890", json!({"long_int": 1234567890})),
            ("boolean=true,b2=FALSE", json!({"boolean": true, "b2": false})),
            ("is_null=null", json!({"is_null": null})),
            ("name1=null,name2=value2", json!({"name1": null, "name2": "value2"})),
            ("float=1.5", json!({"float": "1.5"})),
            ("name1=one\\,two,name2=three\\,four", json!({"name1": "one,two", "name2": "three,four"})),
            ("name1=one\\=two", json!({"name1": "one=two"})),
            ("name1=one two three,name2=three two one", json!({"name1": "one two three", "name2": "three two one"})),
            ("outer.inner=value", json!({"outer": {"inner": "value"}})),
            ("outer.middle.inner=value", json!({"outer": {"middle": {"inner": "value"}}})),
            ("outer.inner1=value,outer.inner2=value2", json!({"outer": {"inner1": "value", "inner2": "value2"}})),
            ("name1={}", json!({"name1": [""]})),
            ("name1={1,2}", json!({"name1": [1, 2]})),
            (
                "name1={value1,value2},name2={value1,value2}",
                json!({"name1": ["value1", "value2"], "name2": ["value1", "value2"]}),
            ),
            ("name1.inner={1,b}", json!({"name1": {"inner": [1, "b"]}})),
            ("list[0]=foo", json!({"list": ["foo"]})),
            ("list[0].foo=bar", json!({"list": [{"foo": "bar"}]})),
            ("list[0].foo=bar,list[0].hello=world", json!({"list": [{"foo": "bar", "hello": "world"}]})),
            ("list[0].foo=bar,list[1].hello=world", json!({"list": [{"foo": "bar"}, {"hello": "world"}]})),
            ("list[0]=foo,list[1]=bar", json!({"list": ["foo", "bar"]})),
            ("list[0]=foo,list[3]=bar", json!({"list": ["foo", null, null, "bar"]})),
            ("list[0].foo.bar[0]=baz", json!({"list": [{"foo": {"bar": ["baz"]}}]})),
            ("noval[0]=", json!({"noval": [""]})),
            ("nested[0][0]=1", json!({"nested": [[1]]})),
            ("nested[1][1]=1", json!({"nested": [null, [null, 1]]})),
            (
                "name1.name2[0].foo=bar,name1.name2[1].foo=bar",
                json!({"name1": {"name2": [{"foo": "bar"}, {"foo": "bar"}]}}),
            ),
            ("]={}].", json!(null)),
        ] {
            match parsed(text, Kind::Typed) {
                Ok(value) => assert_eq!(value, wanted, "{text}"),
                Err(problem) => assert!(wanted.is_null(), "{text}: {problem}"),
            }
        }
    }

    #[test]
    fn set_refuses_what_has_no_value_or_leaves_its_bounds() {
        for (text, problem) in [
            ("name1,name2=", "key \"name1\" has no value (cannot end with ,)"),
            ("name1", "key \"name1\" has no value"),
            ("name1.=name2", "key map \"name1\" has no value"),
            ("name1=,name2", "key \"name2\" has no value"),
            ("name={a,b", "list must terminate with '}'"),
            ("list[0", "error parsing index: EOF"),
            ("list[-1]=a", "negative -1 index not allowed"),
            ("list[65537]=a", "index of 65537 is greater than maximum supported index of 65536"),
            ("list[0]x=a", "unexpected data at end of array index: ['x']"),
            ("list[0]]=1", "unexpected data at end of array index: [']']"),
            (
                "a=1,a.b=2",
                "unable to parse key: interface conversion: interface {} is int64, not map[string]interface {}",
            ),
            ("a=x,a[0]=2", "unable to parse key: interface conversion: interface {} is string, not []interface {}"),
        ] {
            assert_eq!(parsed(text, Kind::Typed).unwrap_err(), problem, "{text}");
        }
        let deep = format!("{}a=1", "a.".repeat(31));
        assert!(parsed(&deep, Kind::Typed).unwrap_err().contains("maximum supported nested level of 30"));
        let brackets = format!("a{}=1", "[0]".repeat(40));
        assert!(parsed(&brackets, Kind::Typed).unwrap_err().contains("nested level"));
    }

    #[test]
    fn set_changes_what_is_there() {
        let Value::Object(mut into) = json!({"outer": {"a": 1, "b": [1, {"c": 2}]}, "x": "y"}) else { unreachable!() };
        parse_into("outer.b[1].c=3,outer.a=null", Kind::Typed, &mut into).unwrap();
        assert_eq!(Value::Object(into), json!({"outer": {"a": null, "b": [1, {"c": 3}]}, "x": "y"}));
    }

    #[test]
    fn the_other_flags_differ_in_the_value() {
        assert_eq!(parsed("a=1,b=true,c={1,2}", Kind::Text).unwrap(), json!({"a": "1", "b": "true", "c": ["1", "2"]}));
        assert_eq!(
            parsed(r#"a={"b": [1, "x,y"]},c[1]=null, d=2 "#, Kind::Json).unwrap(),
            json!({"a": {"b": [1.0, "x,y"]}, "c": [null, null], " d": 2.0})
        );
        assert!(parsed("a={", Kind::Json).is_err());
        assert_eq!(parsed("a.b=x,y={\\}", Kind::Literal).unwrap(), json!({"a": {"b": "x,y={\\}"}}));
        assert_eq!(parsed("a[1]=x", Kind::Literal).unwrap(), json!({"a": [null, "x"]}));
        let reader =
            |name: &str| if name == "missing" { Err("gone".to_string()) } else { Ok(format!("<{name}>").into()) };
        assert_eq!(parsed("a=f,b={g}", Kind::File(&reader)).unwrap(), json!({"a": "<f>", "b": ["<g>"]}));
        assert_eq!(parsed("a=missing", Kind::File(&reader)).unwrap_err(), "gone");
    }
}
