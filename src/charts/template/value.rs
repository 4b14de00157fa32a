//! What a template computes with: Go's values with as much of their types as a template can see.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::entries::Entries;
use super::function::{Failure, Method};
use super::text::Text;

/// A Go value. Cloning is cheap; maps are shared, as in Go, so that `set` is seen by every holder.
#[derive(Clone, Default)]
pub enum Value {
    /// The untyped nil, and what is not there.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// A signed integer of some type.
    Int(i64, IntType),
    /// An unsigned integer of some type.
    Uint(u64, UintType),
    /// `float64`.
    Float(f64),
    /// `complex128`.
    Complex(f64, f64),
    /// `string`.
    Str(Text),
    /// `[]byte`.
    Bytes(Rc<[u8]>),
    /// A slice; never changed once made.
    List(Rc<List>),
    /// A map with string keys.
    Map(Map),
    /// `time.Time`.
    Time(Rc<jiff::Zoned>),
    /// Anything with methods or fields of its own.
    Object(Rc<dyn Object>),
}

/// The signed types that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntType {
    /// `int`
    Int,
    /// `int8`
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `time.Duration`
    Duration,
    /// `time.Month`
    Month,
    /// `time.Weekday`
    Weekday,
}

impl IntType {
    /// The type's name (`%T`).
    pub fn name(self) -> &'static str {
        match self {
            IntType::Int => "int",
            IntType::Int8 => "int8",
            IntType::Int16 => "int16",
            IntType::Int32 => "int32",
            IntType::Int64 => "int64",
            IntType::Duration => "time.Duration",
            IntType::Month => "time.Month",
            IntType::Weekday => "time.Weekday",
        }
    }

    /// The type's reflect kind.
    pub fn kind(self) -> &'static str {
        match self {
            IntType::Duration => "int64",
            IntType::Month | IntType::Weekday => "int",
            other => other.name(),
        }
    }
}

/// The unsigned types that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UintType {
    /// `uint`
    Uint,
    /// `uint8`
    Uint8,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
}

impl UintType {
    /// The type's name and kind.
    pub fn name(self) -> &'static str {
        match self {
            UintType::Uint => "uint",
            UintType::Uint8 => "uint8",
            UintType::Uint32 => "uint32",
            UintType::Uint64 => "uint64",
        }
    }
}

/// What a slice or map is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `interface {}`
    Any,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `[]interface {}`
    Lists,
    /// `map[string]interface {}`
    Maps,
    /// `[]uint8`
    Bytes,
    /// A named type of which only the name is known.
    Named(&'static str),
}

impl Element {
    /// The type's name.
    pub fn name(self) -> &'static str {
        match self {
            Element::Any => "interface {}",
            Element::Str => "string",
            Element::Int => "int",
            Element::Lists => "[]interface {}",
            Element::Maps => "map[string]interface {}",
            Element::Bytes => "[]uint8",
            Element::Named(name) => name,
        }
    }

    /// What a map without the key answers under `missingkey=zero`.
    pub fn zero(self) -> Value {
        match self {
            Element::Str => Value::from(""),
            Element::Int => Value::from(0),
            Element::Bytes => Value::Bytes(Rc::from(&b""[..])),
            _ => Value::Nil,
        }
    }
}

/// A slice.
pub struct List {
    /// What it holds.
    pub element: Element,
    /// Whether it is Go's nil slice, which is empty but encodes as null.
    pub nil: bool,
    /// The elements.
    pub items: Vec<Value>,
}

impl std::ops::Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// A shared map with string keys.
#[derive(Clone)]
pub struct Map {
    /// The type, other than the plain `map[string]interface {}`.
    pub kind: MapKind,
    shared: Rc<Shared>,
}

/// What all holders of a map share.
struct Shared {
    /// Whether a template can only have got it from outside, where others get it as well.
    is_given: Cell<bool>,
    entries: RefCell<Entries>,
}

thread_local! {
    /// Whether a map of this thread that was given has changed.
    static HAS_CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// Does something; whether it changed a map that was [given](Value::give).
pub(super) fn watch_changes<R>(work: impl FnOnce() -> R) -> (R, bool) {
    HAS_CHANGED.set(false);
    (work(), HAS_CHANGED.get())
}

/// The map types that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `map[string]interface {}`
    Any,
    /// The same, nil: nothing can be set in it.
    Nil,
    /// Helm's `common.Values`.
    Values,
    /// `map[string]string` and the like.
    Of(Element),
    /// The same, nil.
    NilOf(Element),
}

impl Map {
    /// A map of its own with these entries.
    pub fn new(entries: Entries) -> Self {
        Map::of(MapKind::Any, entries)
    }

    /// A map of some type.
    pub fn of(kind: MapKind, entries: Entries) -> Self {
        Map { kind, shared: Rc::new(Shared { is_given: Cell::new(false), entries: RefCell::new(entries) }) }
    }

    /// Whether it is Go's nil map, which is empty but encodes as null.
    pub fn is_nil(&self) -> bool {
        matches!(self.kind, MapKind::Nil | MapKind::NilOf(_))
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.shared.entries.borrow().get(key).cloned()
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.shared.entries.borrow().contains_key(key)
    }

    /// Sets a key, for every holder of this map.
    pub fn set(&self, key: impl Into<Rc<str>>, value: Value) {
        self.to_change().insert(key.into(), value);
    }

    /// Takes a key away, for every holder of this map.
    pub fn remove(&self, key: &str) {
        self.to_change().remove(key);
    }

    fn to_change(&self) -> RefMut<'_, Entries> {
        if self.shared.is_given.get() {
            HAS_CHANGED.set(true);
        }
        self.shared.entries.borrow_mut()
    }

    /// The entries, to look at. The map may not be changed meanwhile.
    pub fn view(&self) -> Ref<'_, Entries> {
        self.shared.entries.borrow()
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.shared.entries.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries as they are now.
    pub fn entries(&self) -> Entries {
        self.shared.entries.borrow().clone()
    }

    /// Keys and values as they are now, for one who changes the map meanwhile.
    pub fn pairs(&self) -> Vec<(Rc<str>, Value)> {
        self.shared.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Looks at every entry. The map may not be changed meanwhile.
    pub fn each(&self, mut look: impl FnMut(&Rc<str>, &Value)) {
        for (key, value) in self.shared.entries.borrow().iter() {
            look(key, value);
        }
    }

    /// Whether both are one and the same map.
    pub fn same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// The same map under another type.
    pub fn with_kind(&self, kind: MapKind) -> Map {
        Map { kind, shared: self.shared.clone() }
    }

    /// What its values are.
    pub fn element(&self) -> Element {
        match self.kind {
            MapKind::Of(element) | MapKind::NilOf(element) => element,
            _ => Element::Any,
        }
    }
}

/// A value with methods or fields: `.Files`, `.Capabilities`, a version, a certificate.
pub trait Object {
    /// Go's name of the type (`%T`).
    fn type_name(&self) -> Cow<'static, str>;

    /// The reflect kind.
    fn kind(&self) -> &'static str {
        "struct"
    }

    /// The methods that a template may call.
    fn methods(&self) -> &'static [Method] {
        &[]
    }

    /// Calls a method of the table with arguments that match it.
    fn call(&self, _name: &str, _arguments: &[Value]) -> Result<Value, Failure> {
        Ok(Value::Nil)
    }

    /// A field.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    /// The map or list that it is made of, for `range`, `index`, `len` and printing.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// Names and values of the fields, for printing and encoding.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// The same for printing: those that no template can name, too.
    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// What the `String` method of a pointer to it says, where the value is printed right where it is kept. As an argument
    /// it is a copy, which does not have the method.
    fn text_in_place(&self) -> Option<String> {
        None
    }

    /// What its `String` method says, if it has one.
    fn text(&self) -> Option<String> {
        None
    }

    /// Whether encoders write it as what its `String` method says.
    fn is_text(&self) -> bool {
        self.text().is_some() && self.fields().is_empty()
    }

    /// Itself, for functions that know the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

impl Value {
    /// Marks its maps, however deep, as given to templates from outside.
    pub fn give(&self) {
        match self {
            Value::Map(map) if !map.shared.is_given.replace(true) => map.each(|_, value| value.give()),
            Value::List(list) => list.iter().for_each(Value::give),
            _ => {}
        }
    }

    /// The value with maps of its own, however deep; nothing if it contains itself, which is taken from its depth.
    pub fn deep_copy(&self) -> Option<Value> {
        const DEEPEST: usize = 1000;
        fn copy(value: &Value, depth: usize) -> Option<Value> {
            if depth > DEEPEST {
                return None;
            }
            Some(match value {
                Value::Map(map) => {
                    let own = |value: &Value| match value {
                        Value::Map(_) | Value::List(_) => copy(value, depth + 1),
                        other => Some(other.clone()),
                    };
                    let entries = map.view().try_map(own)?;
                    Value::Map(Map::of(map.kind, entries))
                }
                Value::List(list) => {
                    let items = list.iter().map(|item| copy(item, depth + 1)).collect::<Option<_>>()?;
                    Value::List(List { element: list.element, nil: list.nil, items }.into())
                }
                other => other.clone(),
            })
        }
        copy(self, 0)
    }

    /// A `[]interface {}`.
    pub fn list(items: Vec<Value>) -> Value {
        Value::list_of(Element::Any, items)
    }

    /// A slice of some type.
    pub fn list_of(element: Element, items: Vec<Value>) -> Value {
        Value::List(Rc::new(List { element, nil: false, items }))
    }

    /// A nil slice of some type.
    pub fn nil_list(element: Element) -> Value {
        Value::List(Rc::new(List { element, nil: true, items: Vec::new() }))
    }

    /// A `[]string`.
    pub fn strings<T: Into<Text>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::list_of(Element::Str, items.into_iter().map(|item| Value::Str(item.into())).collect())
    }

    /// A `map[string]interface {}`.
    pub fn map(entries: Entries) -> Value {
        Value::Map(Map::new(entries))
    }

    /// A `map[string]interface {}` of pairs.
    pub fn map_from<K: Into<Rc<str>>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// An `int64`.
    pub fn int64(number: i64) -> Value {
        Value::Int(number, IntType::Int64)
    }

    /// Whether it is the untyped nil.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// The map or list that an object is made of, or the value itself.
    pub fn underlying(&self) -> Cow<'_, Value> {
        match self {
            Value::Object(object) => object.underlying().map_or(Cow::Borrowed(self), Cow::Owned),
            _ => Cow::Borrowed(self),
        }
    }

    /// Go's name of the type (`%T`).
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_, kind) => kind.name(),
            Value::Uint(_, kind) => kind.name(),
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Str(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(list) if list.element == Element::Any => "[]interface {}",
            Value::List(list) => return Cow::Owned(format!("[]{}", list.element.name())),
            Value::Map(map) => match map.kind {
                MapKind::Values => "common.Values",
                MapKind::Of(element) | MapKind::NilOf(element) => {
                    return Cow::Owned(format!("map[string]{}", element.name()));
                }
                MapKind::Any | MapKind::Nil => "map[string]interface {}",
            },
            Value::Time(_) => "time.Time",
            Value::Object(object) => return object.type_name(),
        })
    }

    /// The reflect kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_, kind) => kind.kind(),
            Value::Uint(_, kind) => kind.name(),
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Str(_) => "string",
            Value::Bytes(_) | Value::List(_) => "slice",
            Value::Map(_) => "map",
            Value::Time(_) => "struct",
            Value::Object(object) => object.kind(),
        }
    }

    /// Whether `if` takes it for true.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number, _) => *number != 0,
            Value::Uint(number, _) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Time(_) => true,
            Value::Object(object) => object.underlying().is_none_or(|inner| inner.truth()),
        }
    }

    /// A value that came as JSON. Whole numbers become `int64`, others `float64`: whoever wants Helm's `float64` for
    /// numbers of a values file hands them over as such.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(truth) => Value::Bool(*truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Value::int64(whole),
                None => number.as_f64().map_or(Value::Nil, Value::Float),
            },
            serde_json::Value::String(text) => Value::from(text.as_str()),
            serde_json::Value::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            serde_json::Value::Object(entries) => Value::from_table(entries),
        }
    }

    /// A map that came as JSON.
    pub fn from_table(entries: &serde_json::Map<String, serde_json::Value>) -> Value {
        Value::map_from(entries.iter().map(|(key, value)| (key.as_str(), Value::from_json(value))))
    }

    /// The value as JSON; what has no JSON form becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Nil | Value::Complex(..) => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number, _) => (*number).into(),
            Value::Uint(number, _) => (*number).into(),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or(serde_json::Value::Null, Into::into),
            Value::Str(text) => text.as_str().into_owned().into(),
            Value::Bytes(bytes) => {
                use base64::Engine;
                base64::engine::general_purpose::STANDARD.encode(bytes).into()
            }
            Value::List(list) if list.nil => serde_json::Value::Null,
            Value::List(list) => list.iter().map(Value::to_json).collect::<Vec<_>>().into(),
            Value::Map(map) => {
                let mut entries = serde_json::Map::new();
                map.each(|key, value| {
                    entries.insert(key.to_string(), value.to_json());
                });
                entries.into()
            }
            Value::Time(time) => super::time::rfc3339(time).into(),
            Value::Object(object) => {
                let fields = object.fields();
                match (object.underlying(), object.text().filter(|_| object.is_text())) {
                    (Some(inner), _) => inner.to_json(),
                    (None, Some(text)) => text.into(),
                    (None, None) => {
                        let fields = fields.into_iter().map(|(name, value)| (name.to_string(), value.to_json()));
                        fields.collect::<serde_json::Map<_, _>>().into()
                    }
                }
            }
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    /// An `int`.
    fn from(number: i64) -> Self {
        Value::Int(number, IntType::Int)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<Vec<u8>> for Value {
    /// A `string` of these bytes.
    fn from(bytes: Vec<u8>) -> Self {
        Value::Str(bytes.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::Str(text)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        Value::from_json(json)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.type_name(), super::format::display(self))
    }
}
