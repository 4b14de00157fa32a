//! JSON into values by a schema, in one pass: unknown fields are pruned and noted, duplicates noted, types checked.
//!
//! In a built-in type `null` means absent, times and quantities get their canonical form, and a value of the wrong type is
//! refused in Go's words, which clients show: `json: cannot unmarshal string into Go struct field
//! DeploymentSpec.spec.replicas of type int32`.
//!
//! Source of the wording: encoding/json `UnmarshalTypeError`, sigs.k8s.io/json strict errors, k8s.io/apimachinery
//! `pkg/api/resource/quantity.go`.

use super::{Schema, Shape, Struct};
use crate::api::quantity::Quantity;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::fmt;

/// Something in a body that is not an error unless the client says so (`fieldValidation=Strict`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A field that the schema does not have, by its path.
    Unknown(String),
    /// A field that is there twice; the last one counts.
    Duplicate(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unknown(path) => write!(f, "unknown field \"{path}\""),
            Problem::Duplicate(path) => write!(f, "duplicate field \"{path}\""),
        }
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no JSON.
    #[error("{0}")]
    Syntax(String),
    /// A value is of another type than its field.
    #[error("{0}")]
    Type(String),
}

/// What was read.
#[derive(Debug)]
pub struct Decoded {
    pub value: Value,
    pub problems: Vec<Problem>,
}

/// Reads JSON text.
pub fn text(schema: &Schema, bytes: &[u8]) -> Result<Decoded, Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let decoded = run(schema, &mut reader)?;
    reader.end().map_err(|error| Error::Syntax(error.to_string()))?;
    Ok(decoded)
}

/// Reads a value that was made from another form, YAML for example.
pub fn value(schema: &Schema, value: Value) -> Result<Decoded, Error> {
    run(schema, value)
}

fn run<'de, D: Deserializer<'de, Error = serde_json::Error>>(schema: &Schema, reader: D) -> Result<Decoded, Error> {
    let notes = Notes::default();
    let place = Place { notes: &notes, path: &Path::Root, owner: "", checked: false };
    match (Seed { schema, place }).deserialize(reader) {
        Ok(value) => Ok(Decoded { value, problems: notes.problems.into_inner() }),
        Err(error) => Err(match notes.failure.into_inner() {
            Some(message) => Error::Type(message),
            None => Error::Syntax(error.to_string()),
        }),
    }
}

/// What is noted on the way.
#[derive(Default)]
struct Notes {
    problems: RefCell<Vec<Problem>>,
    failure: RefCell<Option<String>>,
}

/// The way from the root to a value. Written out only when something is to be said.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// `spec.containers[0].image`
    fn full(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(Path::Root, name) | Path::Key(Path::Root, name) => (*name).to_string(),
            Path::Field(parent, name) | Path::Key(parent, name) => format!("{}.{name}", parent.full()),
            Path::Index(parent, index) => format!("{}[{index}]", parent.full()),
        }
    }

    /// `spec.containers.image`: Go names the fields of structs only.
    fn fields(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(parent, name) => match parent.fields() {
                before if before.is_empty() => (*name).to_string(),
                before => format!("{before}.{name}"),
            },
            Path::Key(parent, _) | Path::Index(parent, _) => parent.fields(),
        }
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    notes: &'a Notes,
    path: &'a Path<'a>,
    /// The built-in type whose field it is, without package; empty at the root.
    owner: &'a str,
    /// Whether a built-in type is around it.
    checked: bool,
}

impl<'a> Place<'a> {
    fn at<'b>(self, path: &'b Path<'b>) -> Place<'b>
    where
        'a: 'b,
    {
        Place { path, ..self }
    }

    fn note(&self, problem: Problem) {
        self.notes.problems.borrow_mut().push(problem);
    }

    /// The failure, kept in Go's words beside the reader's own error.
    fn refuse<E: serde::de::Error>(&self, message: String) -> E {
        let error = E::custom(&message);
        self.notes.failure.borrow_mut().get_or_insert(message);
        error
    }

    /// A value of the wrong type.
    fn mismatch<E: serde::de::Error>(&self, found: &str, schema: &Schema) -> E {
        let wanted = go_type(schema);
        let fields = self.path.fields();
        self.refuse(if self.owner.is_empty() || fields.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {wanted}")
        } else {
            format!("json: cannot unmarshal {found} into Go struct field {}.{fields} of type {wanted}", self.owner)
        })
    }
}

/// The last word of a type's name: `io.k8s.api.core.v1.Pod` is `Pod` in Go.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// How Go names the type of a schema.
fn go_type(schema: &Schema) -> String {
    match &schema.shape {
        Shape::Text => "string".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Float => "float64".into(),
        Shape::Boolean => "bool".into(),
        Shape::List(list) => format!("[]{}", go_type(&list.items)),
        Shape::Map(map) => format!("map[string]{}", go_type(&map.values)),
        Shape::Builtin(named) => {
            let mut words = named.name().rsplit('.');
            let (name, package) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            format!("{package}.{name}")
        }
        Shape::Any | Shape::Struct(_) => "map[string]interface {}".into(),
        Shape::Time | Shape::MicroTime | Shape::IntOrText | Shape::Quantity => "string".into(),
    }
}

/// What a missing value is worth in a map or a list of a built-in type, where `null` cannot mean absent.
fn zero(schema: &Schema) -> Value {
    match schema.resolved().shape {
        Shape::Text | Shape::Bytes => "".into(),
        Shape::Quantity => "0".into(),
        Shape::Int32 | Shape::Int64 | Shape::IntOrText | Shape::Float => 0.into(),
        Shape::Boolean => false.into(),
        Shape::Struct(_) => Value::Object(Map::new()),
        Shape::Any | Shape::Time | Shape::MicroTime | Shape::Map(_) | Shape::List(_) | Shape::Builtin(_) => Value::Null,
    }
}

/// Reads one value.
struct Seed<'a> {
    schema: &'a Schema,
    place: Place<'a>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        match self.schema.shape {
            Shape::Any => serde::Deserialize::deserialize(reader),
            Shape::Builtin(named) => {
                let place = Place { checked: true, ..self.place };
                let own = named.schema();
                if matches!(own.shape, Shape::Any) {
                    return serde::Deserialize::deserialize(reader);
                }
                let inner = matches!(own.shape, Shape::Struct(_)).then(|| short(named.name()));
                reader.deserialize_any(Reader {
                    named: self.schema,
                    schema: own,
                    place,
                    inner: inner.unwrap_or_default(),
                })
            }
            _ => {
                let inner = self.place.owner;
                reader.deserialize_any(Reader { named: self.schema, schema: self.schema, place: self.place, inner })
            }
        }
    }
}

/// The visitor of one value.
struct Reader<'a> {
    /// The schema by which the value's type is named.
    named: &'a Schema,
    schema: &'a Schema,
    place: Place<'a>,
    /// The owner of what is in the value.
    inner: &'a str,
}

impl Reader<'_> {
    /// A value that does not fit: refused in a built-in type, left to validation in a custom one.
    fn odd<E: serde::de::Error>(&self, found: &str, value: impl Into<Value>) -> Result<Value, E> {
        if self.place.checked { Err(self.place.mismatch(found, self.named)) } else { Ok(value.into()) }
    }

    fn number<E: serde::de::Error>(&self, number: serde_json::Number) -> Result<Value, E> {
        if !self.place.checked {
            return Ok(Value::Number(number));
        }
        match self.schema.shape {
            Shape::Int64 if number.is_i64() => Ok(Value::Number(number)),
            Shape::Int32 if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {
                Ok(Value::Number(number))
            }
            Shape::Float => Ok(Value::Number(number)),
            Shape::IntOrText => match number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) {
                true => Ok(Value::Number(number)),
                false => {
                    let found = format!("number {number}");
                    Err(self.place.refuse(format!("json: cannot unmarshal {found} into Go value of type int32")))
                }
            },
            Shape::Quantity => self.quantity(&number.to_string()),
            Shape::Int32 | Shape::Int64 => self.odd(&format!("number {number}"), Value::Null),
            Shape::Time | Shape::MicroTime => Err(self.plain("number", "string")),
            _ => self.odd("number", Value::Null),
        }
    }

    /// A mismatch inside a type that reads itself: Go has no field to name.
    fn plain<E: serde::de::Error>(&self, found: &str, wanted: &str) -> E {
        self.place.refuse(format!("json: cannot unmarshal {found} into Go value of type {wanted}"))
    }

    fn quantity<E: serde::de::Error>(&self, text: &str) -> Result<Value, E> {
        match text.parse::<Quantity>() {
            Ok(quantity) => Ok(quantity.to_string().into()),
            Err(error) => Err(self.place.refuse(error.to_string())),
        }
    }

    fn text<E: serde::de::Error>(&self, text: String) -> Result<Value, E> {
        if !self.place.checked {
            return Ok(Value::String(text));
        }
        match self.schema.shape {
            Shape::Text | Shape::IntOrText => Ok(Value::String(text)),
            Shape::Bytes => match wrong_base64(text.as_bytes()) {
                None => Ok(Value::String(text)),
                Some(at) => Err(self.place.refuse(format!("illegal base64 data at input byte {at}"))),
            },
            Shape::Time => self.time(text, "%Y-%m-%dT%H:%M:%SZ", 20),
            Shape::MicroTime => self.time(text, "%Y-%m-%dT%H:%M:%S.%6fZ", 27),
            Shape::Quantity => self.quantity(text.trim()),
            _ => self.odd("string", Value::Null),
        }
    }

    /// A time in its canonical form. One that has its length and zone is taken as it is, once it is a time at all.
    fn time<E: serde::de::Error>(&self, text: String, form: &str, length: usize) -> Result<Value, E> {
        match text.parse::<jiff::Timestamp>() {
            Ok(_) if text.len() == length && text.ends_with('Z') => Ok(Value::String(text)),
            Ok(time) => Ok(time.strftime(form).to_string().into()),
            Err(_) => {
                let layout = "2006-01-02T15:04:05Z07:00";
                let part = "2006";
                Err(self
                    .place
                    .refuse(format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"{part}\"")))
            }
        }
    }

    fn fields<'de, A: MapAccess<'de>>(&self, own: &Struct, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = Path::Field(self.place.path, &name);
            let place = Place { owner: self.inner, ..self.place.at(&path) };
            let value = match own.field(&name) {
                Some(field) => access.next_value_seed(Seed { schema: &field.schema, place })?,
                None if own.open => access.next_value()?,
                None => {
                    place.note(Problem::Unknown(path.full()));
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if map.contains_key(&name) {
                place.note(Problem::Duplicate(path.full()));
            }
            // The last one counts, also when it says that the field is absent.
            if value.is_null() && place.checked {
                map.remove(&name);
            } else {
                map.insert(name, value);
            }
        }
        Ok(Value::Object(map))
    }

    fn entries<'de, A: MapAccess<'de>>(&self, values: &Schema, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let path = Path::Key(self.place.path, &name);
            let place = Place { owner: self.inner, ..self.place.at(&path) };
            let mut value = access.next_value_seed(Seed { schema: values, place })?;
            if value.is_null() && place.checked {
                value = zero(values);
            }
            if map.contains_key(&name) {
                place.note(Problem::Duplicate(path.full()));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        match self.schema.shape {
            Shape::Boolean => Ok(value.into()),
            _ if !self.place.checked => Ok(value.into()),
            Shape::IntOrText => Err(self.plain("bool", "int32")),
            Shape::Quantity => self.quantity("true"),
            Shape::Time | Shape::MicroTime => Err(self.plain("bool", "string")),
            _ => self.odd("bool", value),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.number(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.number(number),
            None => Ok(Value::Null),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.to_string())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let any: Schema = Shape::Any.into();
        let items = match &self.schema.shape {
            Shape::List(list) => &list.items,
            _ if !self.place.checked => &any,
            _ => return self.odd("array", Value::Null),
        };
        let mut list = Vec::with_capacity(access.size_hint().unwrap_or(0).min(1024));
        loop {
            let path = Path::Index(self.place.path, list.len());
            let place = Place { owner: self.inner, ..self.place.at(&path) };
            let Some(mut value) = access.next_element_seed(Seed { schema: items, place })? else { break };
            if value.is_null() && place.checked {
                value = zero(items);
            }
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        match &self.schema.shape {
            Shape::Struct(own) => self.fields(own, access),
            Shape::Map(map) => self.entries(&map.values, access),
            _ if !self.place.checked => self.entries(&Shape::Any.into(), access),
            Shape::IntOrText => Err(self.plain("object", "int32")),
            Shape::Quantity => self.quantity("{}"),
            Shape::Time | Shape::MicroTime => Err(self.plain("object", "string")),
            _ => self.odd("object", Value::Null),
        }
    }
}

/// Where base64 text is wrong, as Go's decoder counts: line breaks are skipped, padding is needed.
fn wrong_base64(text: &[u8]) -> Option<usize> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let padding =
        text.iter().rev().filter(|byte| !matches!(byte, b'\n' | b'\r')).take_while(|byte| **byte == b'=').count();
    let mut letters = 0usize;
    let mut ends = 0usize;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' | b'\r' => {}
            b'=' if letters % 4 >= 2 && padding + letters % 4 == 4 => ends += 1,
            byte if is_letter(*byte) && ends == 0 => letters += 1,
            _ => return Some(at),
        }
    }
    (!(letters + ends).is_multiple_of(4)).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    fn read(kind: &str, body: &str) -> Result<Decoded, Error> {
        text(builtin(kind).unwrap(), body.as_bytes())
    }

    fn refused(kind: &str, body: Value) -> String {
        match read(kind, &body.to_string()) {
            Err(Error::Type(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    const POD: &str = "io.k8s.api.core.v1.Pod";
    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

    #[test]
    fn what_fits_stays_as_it_is() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "labels": {"x": "y"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"port": "http"}, "timeoutSeconds": 3}}],
                "nodeSelector": {"a": "b"}, "hostNetwork": true},
        });
        let decoded = read(POD, &pod.to_string()).unwrap();
        assert_eq!((decoded.value, decoded.problems), (pod.clone(), vec![]));
        assert_eq!(value(builtin(POD).unwrap(), pod.clone()).unwrap().value, pod);
    }

    #[test]
    fn unknown_and_duplicate_fields_are_noted_by_path_and_pruned() {
        let body = r#"{"spec":{"containers":[{"name":"a","nmae":1,"name":"b"}],"foo":{"x":1}},"bar":2,
            "metadata":{"labels":{"a":"1","a":"2"}}}"#;
        let decoded = read(POD, body).unwrap();
        let said: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
        let wanted = [
            "unknown field \"spec.containers[0].nmae\"",
            "duplicate field \"spec.containers[0].name\"",
            "unknown field \"spec.foo\"",
            "unknown field \"bar\"",
            "duplicate field \"metadata.labels.a\"",
        ];
        assert_eq!(said, wanted);
        let left = json!({"spec": {"containers": [{"name": "b"}]}, "metadata": {"labels": {"a": "2"}}});
        assert_eq!(decoded.value, left);
    }

    #[test]
    fn a_wrong_type_is_refused_in_the_words_of_go() {
        let cases = [
            (
                DEPLOYMENT,
                json!({"spec": {"replicas": "3"}}),
                "string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                DEPLOYMENT,
                json!({"spec": {"replicas": 1.5}}),
                "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                DEPLOYMENT,
                json!({"spec": {"replicas": 3000000000u64}}),
                "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                POD,
                json!({"spec": {"containers": {"a": 1}}}),
                "object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                POD,
                json!({"spec": {"containers": [{"ports": [{"containerPort": "a"}]}]}}),
                "string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
            ),
            (
                POD,
                json!({"metadata": {"labels": {"a": 1}}}),
                "number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (POD, json!({"spec": []}), "array into Go struct field Pod.spec of type v1.PodSpec"),
            (POD, json!([]), "array into Go value of type v1.Pod"),
            (
                POD,
                json!({"spec": {"hostNetwork": "yes"}}),
                "string into Go struct field PodSpec.spec.hostNetwork of type bool",
            ),
            (
                POD,
                json!({"spec": {"containers": [{"readinessProbe": {"tcpSocket": {"port": true}}}]}}),
                "bool into Go value of type int32",
            ),
        ];
        for (kind, body, wanted) in cases {
            assert_eq!(refused(kind, body), format!("json: cannot unmarshal {wanted}"));
        }
        let bad = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}});
        assert!(refused(POD, bad).starts_with("quantities must match the regular expression"));
        let bad = json!({"data": {"a": "%%"}});
        assert_eq!(refused("io.k8s.api.core.v1.Secret", bad), "illegal base64 data at input byte 0");
        let bad = json!({"metadata": {"creationTimestamp": "yesterday"}});
        assert!(refused(POD, bad).starts_with("parsing time \"yesterday\""));
    }

    #[test]
    fn null_is_absent_and_forms_are_canonical() {
        let pod = json!({"metadata": {"creationTimestamp": null, "labels": {"a": null}},
            "spec": {"containers": [{"resources": {"limits": {"cpu": "0.5", "memory": 1024}}}], "nodeSelector": null},
            "status": {"startTime": "2026-01-01T01:00:00+01:00"}});
        let wanted = json!({"metadata": {"labels": {"a": ""}},
            "spec": {"containers": [{"resources": {"limits": {"cpu": "500m", "memory": "1024"}}}]},
            "status": {"startTime": "2026-01-01T00:00:00Z"}});
        assert_eq!(read(POD, &pod.to_string()).unwrap().value, wanted);
    }

    #[test]
    fn text_that_is_no_json_says_so() {
        assert!(matches!(read(POD, "{\"a\":"), Err(Error::Syntax(_))));
        assert!(matches!(read(POD, "{} {}"), Err(Error::Syntax(_))));
    }

    #[test]
    fn base64_is_checked_as_go_does() {
        for (text, wrong) in [
            ("", None),
            ("YQ==", None),
            ("YWI=", None),
            ("YW\nJj", None),
            ("YQ", Some(2)),
            ("Y=Q=", Some(1)),
            ("YQ==YQ==", Some(2)),
            ("YWJj!", Some(4)),
            ("YQ=", Some(2)),
        ] {
            assert_eq!(wrong_base64(text.as_bytes()).is_some(), wrong.is_some(), "{text}");
        }
    }
}
