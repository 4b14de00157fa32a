//! Go's `*time.Location`: a time zone, which templates can only print.

use std::any::Any;
use std::borrow::Cow;

use super::function::{Failure, Method};
use super::value::{Object, Value};

/// A time zone under the name that Go has for it.
pub(super) struct Location(pub String);

static METHODS: &[Method] = &[Method { name: "String", parameters: &[], variadic: false }];

impl Object for Location {
    fn type_name(&self) -> Cow<'static, str> {
        "*time.Location".into()
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&self, _name: &str, _arguments: &[Value]) -> Result<Value, Failure> {
        Ok(self.0.as_str().into())
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }

    /// Encoders see a struct without fields.
    fn is_text(&self) -> bool {
        false
    }

    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("name", self.0.as_str().into())]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
