//! What a template can call, and what a call can reach.

use std::rc::Rc;

use super::engine::Engine;
use super::error::Error;
use super::text::Text;
use super::value::{List, Map, Value};

/// Why a call failed: a text that the engine puts into its own message, or an error of a template below.
pub type Failure = Error;

/// The Go type of a parameter, as far as arguments are checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`
    Any,
    /// `reflect.Value`: anything, unchecked.
    Reflect,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `float64`
    Float,
    /// `bool`
    Bool,
    /// `[]interface {}`
    List,
    /// `map[string]interface {}`
    Map,
    /// `map[string]string`
    StrMap,
    /// `time.Time`
    Time,
    /// `time.Duration`
    Duration,
    /// A named type.
    Named(&'static str),
}

impl Type {
    /// Go's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "interface {}",
            Type::Reflect => "reflect.Value",
            Type::Str => "string",
            Type::Int => "int",
            Type::Int64 => "int64",
            Type::Uint32 => "uint32",
            Type::Float => "float64",
            Type::Bool => "bool",
            Type::List => "[]interface {}",
            Type::Map => "map[string]interface {}",
            Type::StrMap => "map[string]string",
            Type::Time => "time.Time",
            Type::Duration => "time.Duration",
            Type::Named(name) => name,
        }
    }

    /// Whether nil is a value of the type.
    pub fn can_be_nil(self) -> bool {
        matches!(self, Type::Any | Type::Reflect | Type::List | Type::Map | Type::StrMap)
    }
}

/// A method of an object: name and parameters.
pub struct Method {
    /// The name that a template writes.
    pub name: &'static str,
    /// The types of the parameters; of a variadic method the last one is that of each further argument.
    pub parameters: &'static [Type],
    /// Whether the last parameter may come any number of times.
    pub variadic: bool,
}

/// A function of the table.
pub struct Function {
    /// The name that a template writes.
    pub name: &'static str,
    /// The types of the parameters; of a variadic function the last one is that of each further argument.
    pub parameters: &'static [Type],
    /// Whether the last parameter may come any number of times.
    pub variadic: bool,
    /// The work.
    pub run: fn(&Call<'_>) -> Result<Value, Failure>,
}

/// One call: arguments that match the parameters, and the engine that calls.
pub struct Call<'c> {
    /// The arguments.
    pub arguments: &'c [Value],
    /// The engine that executes the template.
    pub engine: &'c Engine<'c>,
}

/// A failure with a text.
pub fn failure<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Error::new(message))
}

impl<'c> Call<'c> {
    /// An argument; nil beyond the last.
    pub fn any(&self, index: usize) -> &'c Value {
        const NIL: &Value = &Value::Nil;
        self.arguments.get(index).unwrap_or(NIL)
    }

    /// The arguments from one on.
    pub fn rest(&self, from: usize) -> &'c [Value] {
        self.arguments.get(from..).unwrap_or(&[])
    }

    /// A `string` argument.
    pub fn text(&self, index: usize) -> Text {
        match self.any(index) {
            Value::Str(text) => text.clone(),
            _ => Text::default(),
        }
    }

    /// A `string` argument, to be read letter by letter.
    pub fn str(&self, index: usize) -> std::borrow::Cow<'c, str> {
        match self.any(index) {
            Value::Str(text) => text.as_str(),
            _ => "".into(),
        }
    }

    /// An `int`, `int64` or duration argument.
    pub fn int(&self, index: usize) -> i64 {
        match self.any(index) {
            Value::Int(number, _) => *number,
            _ => 0,
        }
    }

    /// A `float64` argument.
    pub fn float(&self, index: usize) -> f64 {
        match self.any(index) {
            Value::Float(number) => *number,
            _ => 0.0,
        }
    }

    /// A `bool` argument.
    pub fn bool(&self, index: usize) -> bool {
        matches!(self.any(index), Value::Bool(true))
    }

    /// A `map[string]interface {}` argument.
    pub fn map(&self, index: usize) -> Map {
        match self.any(index) {
            Value::Map(map) => map.clone(),
            _ => Map::of(super::value::MapKind::Nil, Default::default()),
        }
    }

    /// A `[]interface {}` argument.
    pub fn list(&self, index: usize) -> Rc<List> {
        match self.any(index) {
            Value::List(list) => list.clone(),
            _ => Rc::new(List { element: super::value::Element::Any, nil: true, items: Vec::new() }),
        }
    }
}
