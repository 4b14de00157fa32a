//! Fields, methods and function calls: arguments evaluated, checked against Go's types, and handed over.

use super::error::Error;
use super::exec::{Place, Slot, State};
use super::function::{Call, Function, Type};
use super::methods;
use super::node::{Term, Word};
use super::quote::quote;
use super::value::{Element, IntType, Map, MapKind, UintType, Value};

/// What is called: its name and parameters, and the methods' receiver.
struct Callee<'n> {
    name: &'n str,
    parameters: &'static [Type],
    variadic: bool,
}

/// The most bytes of a text that a function makes. A text that is doubled a few times would take all memory of the machine,
/// on which a cluster's server may render charts of others.
const LONGEST_TEXT: usize = 64 << 20;

impl<'t> State<'t> {
    /// A field or method of a value.
    pub fn field(
        &mut self,
        dot: &Slot,
        name: &str,
        place: Place<'t>,
        words: &'t [Word],
        last: Option<Slot>,
        receiver: Slot,
    ) -> Result<Slot, Error> {
        if receiver.is_invalid() {
            if self.engine.host().strict() {
                return Err(self.error(format!("nil data; no entry for key {}", quote(name.as_bytes(), false))));
            }
            return Ok(Slot::default());
        }
        if receiver.value.is_nil() {
            return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}")));
        }
        if let Some(method) = methods::find(&receiver.value, name) {
            let callee = Callee { name, parameters: method.parameters, variadic: method.variadic };
            let base = self.arguments(dot, &callee, words, last)?;
            let result = methods::call(&receiver.value, name, &self.stack[base..]);
            self.stack.truncate(base);
            return self.result(result, place, name);
        }
        let has_arguments = words.len() > 1 || last.is_some();
        if let Value::Object(object) = &receiver.value
            && let Some(value) = object.field(name)
        {
            if has_arguments {
                return Err(self.error(format!("{name} has arguments but cannot be invoked as function")));
            }
            return Ok(Slot::plain(value));
        }
        let Value::Map(map) = &*receiver.value.underlying() else {
            if let Some(why) = methods::refused(&receiver.value, name) {
                return Err(self.error(why));
            }
            return Err(self.error(format!("can't evaluate field {name} in type {}", receiver.type_name())));
        };
        if has_arguments {
            return Err(self.error(format!("{name} is not a method but has arguments")));
        }
        match map.get(name) {
            Some(value) => Ok(Slot::element(value, map.element())),
            None if self.engine.host().strict() => {
                Err(self.error(format!("map has no entry for key {}", quote(name.as_bytes(), false))))
            }
            None => Ok(Slot::element(map.element().zero(), map.element())),
        }
    }

    /// A call of a function of the table.
    pub fn function(
        &mut self,
        dot: &Slot,
        function: &'static Function,
        place: Place<'t>,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<Slot, Error> {
        let name = function.name;
        let callee = Callee { name, parameters: function.parameters, variadic: function.variadic };
        if matches!(name, "and" | "or") {
            return self.logical(dot, &callee, words, last);
        }
        if name == "len" {
            return self.length(dot, function, place, words, last);
        }
        let base = self.arguments(dot, &callee, words, last)?;
        let result = if name == "call" {
            super::builtins::call(&words.get(1).map(|word| self.show(word)).unwrap_or_default(), &self.stack[base..])
        } else {
            (function.run)(&Call { arguments: &self.stack[base..], engine: self.engine })
        };
        self.stack.truncate(base);
        self.result(result, place, name)
    }

    /// `len` tells an element that is nil from nothing at all, which a value alone does not show.
    fn length(
        &mut self,
        dot: &Slot,
        function: &'static Function,
        place: Place<'t>,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<Slot, Error> {
        let callee = Callee { name: function.name, parameters: function.parameters, variadic: false };
        self.count(&callee, words.len().saturating_sub(1), last.is_some())?;
        let slot = match (last, words.last()) {
            (Some(last), _) => self.checked(last, Type::Reflect)?,
            (None, Some(word)) => self.typed_argument(dot, Type::Reflect, word)?,
            (None, None) => Slot::default(),
        };
        let result = if slot.boxed && slot.value.is_nil() {
            Err(Error::new("len of nil pointer"))
        } else {
            (function.run)(&Call { arguments: std::slice::from_ref(&slot.value), engine: self.engine })
        };
        self.result(result, place, function.name)
    }

    fn result(&mut self, result: Result<Value, Error>, place: Place<'t>, name: &str) -> Result<Slot, Error> {
        let failure = match result {
            Ok(Value::Str(text)) if text.len() > LONGEST_TEXT => {
                Error::new(format!("the text is longer than {LONGEST_TEXT} bytes"))
            }
            Ok(value) => return Ok(Slot::plain(value)),
            Err(failure) => failure,
        };
        self.place = place;
        Err(self.error_around(&format!("error calling {name}: "), failure))
    }

    /// Checks how many arguments there are.
    fn count(&self, callee: &Callee<'_>, words: usize, last: bool) -> Result<(), Error> {
        let count = words + usize::from(last);
        let wanted = callee.parameters.len();
        let name = callee.name;
        if callee.variadic {
            if count + 1 < wanted {
                let least = wanted - 1;
                return Err(self.error(format!("wrong number of args for {name}: want at least {least} got {words}")));
            }
        } else if count != wanted {
            return Err(self.error(format!("wrong number of args for {name}: want {wanted} got {count}")));
        }
        Ok(())
    }

    /// `and` and `or` evaluate no further than they must.
    fn logical(
        &mut self,
        dot: &Slot,
        callee: &Callee<'_>,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<Slot, Error> {
        let words = words.get(1..).unwrap_or(&[]);
        if words.is_empty() && last.is_none() {
            return Err(self.error(format!("wrong number of args for {}: want at least 1 got 0", callee.name)));
        }
        let mut slot = Slot::default();
        for word in words {
            slot = self.typed_argument(dot, Type::Reflect, word)?;
            if slot.value.truth() == (callee.name == "or") {
                return Ok(slot);
            }
        }
        Ok(last.unwrap_or(slot))
    }

    /// Evaluates the arguments onto the stack; answers where they begin.
    fn arguments(
        &mut self,
        dot: &Slot,
        callee: &Callee<'_>,
        words: &'t [Word],
        last: Option<Slot>,
    ) -> Result<usize, Error> {
        let words = words.get(1..).unwrap_or(&[]);
        self.count(callee, words.len(), last.is_some())?;
        let base = self.stack.len();
        let kind = |index: usize| {
            let end = callee.parameters.len().saturating_sub(1);
            callee.parameters.get(index.min(end)).copied().unwrap_or(Type::Any)
        };
        for (index, word) in words.iter().enumerate() {
            let slot = self.typed_argument(dot, kind(index), word)?;
            self.stack.push(slot.value);
        }
        if let Some(last) = last {
            let slot = self.checked(last, kind(words.len()))?;
            self.stack.push(slot.value);
        }
        Ok(base)
    }

    /// An argument whose type does not matter: the receiver of a chain.
    pub fn argument_slot(&mut self, dot: &Slot, word: &'t Word) -> Result<Slot, Error> {
        self.place = Place::Word(word);
        match word.term {
            Term::Pipe(pipe) => self.pipeline(dot, &self.code.pipes[pipe as usize]),
            Term::Function(function) => self.function(dot, function, Place::Word(word), &[], None),
            _ => self.typed_argument(dot, Type::Any, word),
        }
    }

    fn typed_argument(&mut self, dot: &Slot, kind: Type, word: &'t Word) -> Result<Slot, Error> {
        self.place = Place::Word(word);
        let slot = match word.term {
            Term::Dot => dot.clone(),
            Term::Nil if kind.can_be_nil() => return Ok(Slot::plain(zero(kind))),
            Term::Nil => return Err(self.error(format!("cannot assign nil to {}", kind.name()))),
            Term::Field(names) => self.fields(dot, dot.clone(), Place::Word(word), names, &[], None)?,
            Term::Variable(..) => self.variable_word(dot, word, &[], None)?,
            Term::Pipe(pipe) => self.pipeline(dot, &self.code.pipes[pipe as usize])?,
            Term::Function(function) => self.function(dot, function, Place::Word(word), &[], None)?,
            Term::Chain(..) => self.chain(dot, word, &[], None)?,
            Term::Bool(_) | Term::Number(_) | Term::Str(_) => return self.literal(kind, word).map(Slot::plain),
        };
        self.checked(slot, kind)
    }

    /// A constant as an argument.
    fn literal(&self, kind: Type, word: &Word) -> Result<Value, Error> {
        let expected = |name: &str| Err(self.error(format!("expected {name}; found {}", self.show(word))));
        let number = match word.term {
            Term::Number(number) => Some(self.number(number)),
            _ => None,
        };
        match (kind, word.term) {
            (Type::Any | Type::Reflect | Type::Bool, Term::Bool(truth)) => return Ok(Value::Bool(truth)),
            (Type::Any | Type::Reflect | Type::Str, Term::Str(text)) => {
                return Ok(Value::Str(self.tree.string(text).clone()));
            }
            _ => {}
        }
        let int = number.and_then(|number| number.int);
        match (kind, number) {
            (Type::Any | Type::Reflect, Some(number)) => Ok(self.constant(number)?.value),
            (Type::Int, _) => int.map_or_else(|| expected("integer"), |int| Ok(Value::from(int))),
            (Type::Int64, _) => int.map_or_else(|| expected("integer"), |int| Ok(Value::int64(int))),
            (Type::Duration, _) => {
                int.map_or_else(|| expected("integer"), |int| Ok(Value::Int(int, IntType::Duration)))
            }
            (Type::Uint32, number) => {
                let uint = number.and_then(|number| number.uint);
                uint.map_or_else(|| expected("unsigned integer"), |uint| Ok(Value::Uint(uint, UintType::Uint32)))
            }
            (Type::Float, number) => {
                let float = number.and_then(|number| number.float);
                float.map_or_else(|| expected("float"), |float| Ok(Value::Float(float)))
            }
            (Type::Str, _) => expected("string"),
            (Type::Bool, _) => expected("bool"),
            (kind, _) => {
                let shown = self.show(word);
                Err(self.error(format!("can't handle {shown} for arg of type {}", kind.name())))
            }
        }
    }

    /// Checks a value against the type of a parameter.
    fn checked(&self, slot: Slot, kind: Type) -> Result<Slot, Error> {
        if slot.is_invalid() {
            if kind.can_be_nil() {
                return Ok(Slot::plain(zero(kind)));
            }
            return Err(self.error(format!("invalid value; expected {}", kind.name())));
        }
        if assignable(&slot.value, kind) {
            if let (Type::Map, Value::Map(map)) = (kind, &slot.value)
                && map.kind == MapKind::Values
            {
                return Ok(Slot::plain(Value::Map(map.with_kind(MapKind::Any))));
            }
            return Ok(slot);
        }
        let got = if slot.value.is_nil() { "interface {}".into() } else { slot.value.type_name() };
        Err(self.error(format!("wrong type for value; expected {}; got {got}", kind.name())))
    }
}

/// The zero value of a type that can be nil.
fn zero(kind: Type) -> Value {
    match kind {
        Type::List => Value::nil_list(Element::Any),
        Type::Map => Value::Map(Map::of(MapKind::Nil, Default::default())),
        Type::StrMap => Value::Map(Map::of(MapKind::NilOf(Element::Str), Default::default())),
        _ => Value::Nil,
    }
}

/// Go's assignability, as far as the types go.
fn assignable(value: &Value, kind: Type) -> bool {
    match kind {
        Type::Any | Type::Reflect => true,
        Type::Str => matches!(value, Value::Str(_)),
        Type::Int => matches!(value, Value::Int(_, IntType::Int)),
        Type::Int64 => matches!(value, Value::Int(_, IntType::Int64)),
        Type::Uint32 => matches!(value, Value::Uint(_, UintType::Uint32)),
        Type::Float => matches!(value, Value::Float(_)),
        Type::Bool => matches!(value, Value::Bool(_)),
        Type::List => matches!(value, Value::List(list) if list.element == Element::Any),
        Type::Map => matches!(value, Value::Map(map) if !matches!(map.kind, MapKind::Of(_) | MapKind::NilOf(_))),
        Type::StrMap => {
            matches!(value, Value::Map(map) if matches!(map.kind, MapKind::Of(Element::Str) | MapKind::NilOf(Element::Str)))
        }
        Type::Time => matches!(value, Value::Time(_)),
        Type::Duration => matches!(value, Value::Int(_, IntType::Duration)),
        Type::Named(name) => value.type_name() == name,
    }
}
