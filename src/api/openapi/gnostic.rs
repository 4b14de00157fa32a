//! OpenAPI v2 as gnostic's protobuf message `openapi.v2.Document`, which kubectl reads.
//!
//! Source of the field numbers: github.com/google/gnostic-models `openapiv2/OpenAPIv2.proto`. Only fields that our documents
//! have are written. An extension (`x-…`) is written as YAML text, and JSON is YAML.

use serde_json::Value;

/// A message that grows.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.number(u64::from(field << 3 | 2));
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn flag(&mut self, field: u32, value: bool) {
        if value {
            self.number(u64::from(field << 3));
            self.number(1);
        }
    }

    fn message(&mut self, field: u32, message: Message) {
        self.bytes(field, &message.0);
    }

    /// The strings of `value` at `name`: one, or several.
    fn texts(&mut self, field: u32, value: &Value, name: &str) {
        match &value[name] {
            Value::String(text) => self.text(field, text),
            Value::Array(list) => list.iter().filter_map(Value::as_str).for_each(|text| self.text(field, text)),
            _ => {}
        }
    }

    /// Everything that starts with `x-`.
    fn extensions(&mut self, field: u32, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")) {
            let mut any = Message::default();
            any.text(2, &format!("{value}\n"));
            self.message(field, named(name, any));
        }
    }
}

/// A name and a value, as all maps are written.
fn named(name: &str, value: Message) -> Message {
    let mut entry = Message::default();
    entry.text(1, name);
    entry.message(2, value);
    entry
}

/// A choice of one message.
fn one_of(field: u32, message: Message) -> Message {
    let mut choice = Message::default();
    choice.message(field, message);
    choice
}

/// A document, part by part.
#[derive(Default)]
pub struct Document {
    paths: Message,
    definitions: Message,
}

impl Document {
    /// Adds a path.
    pub fn add_path(&mut self, path: &str, item: &Value) {
        self.paths.message(2, named(path, path_item(item)));
    }

    /// Adds a definition.
    pub fn add_definition(&mut self, name: &str, value: &Value) {
        self.definitions.message(1, named(name, schema(value)));
    }

    /// The whole.
    pub fn finish(self) -> Vec<u8> {
        let mut info = Message::default();
        info.text(1, "Kubernetes");
        info.text(2, "unversioned");
        let mut document = Message::default();
        document.text(1, "2.0");
        document.message(2, info);
        document.message(8, self.paths);
        document.message(9, self.definitions);
        document.0
    }
}

fn schema(value: &Value) -> Message {
    let mut message = Message::default();
    for (field, name) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        message.texts(field, value, name);
    }
    message.texts(19, value, "required");
    if value["additionalProperties"].is_object() {
        message.message(21, one_of(1, schema(&value["additionalProperties"])));
    }
    if value["type"].is_string() {
        let mut kind = Message::default();
        kind.texts(1, value, "type");
        message.message(22, kind);
    }
    if value["items"].is_object() {
        message.message(23, one_of(1, schema(&value["items"])));
    }
    if let Some(properties) = value["properties"].as_object() {
        let mut all = Message::default();
        properties.iter().for_each(|(name, value)| all.message(1, named(name, schema(value))));
        message.message(25, all);
    }
    message.extensions(31, value);
    message
}

fn path_item(value: &Value) -> Message {
    let mut message = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if value[method].is_object() {
            message.message(field, operation(&value[method]));
        }
    }
    parameters(&mut message, 9, value);
    message.extensions(10, value);
    message
}

fn operation(value: &Value) -> Message {
    let mut message = Message::default();
    for (field, name) in [(1, "tags"), (3, "description"), (5, "operationId"), (6, "produces"), (7, "consumes")] {
        message.texts(field, value, name);
    }
    parameters(&mut message, 8, value);
    let mut responses = Message::default();
    for (code, answer) in value["responses"].as_object().into_iter().flatten() {
        responses.message(1, named(code, one_of(1, response(answer))));
    }
    message.message(9, responses);
    message.texts(10, value, "schemes");
    message.extensions(13, value);
    message
}

fn response(value: &Value) -> Message {
    let mut message = Message::default();
    message.texts(1, value, "description");
    if value["schema"].is_object() {
        message.message(2, one_of(1, schema(&value["schema"])));
    }
    message
}

fn parameters(message: &mut Message, field: u32, value: &Value) {
    for parameter in value["parameters"].as_array().into_iter().flatten() {
        let own = match parameter["in"].as_str() {
            Some("body") => one_of(1, body(parameter)),
            Some("path") => one_of(2, one_of(4, plain(parameter, &[(6, "format"), (5, "type")], 19))),
            _ => one_of(2, one_of(3, plain(parameter, &[(7, "format"), (6, "type")], 20))),
        };
        message.message(field, one_of(1, own));
    }
}

fn body(value: &Value) -> Message {
    let mut message = Message::default();
    for (field, name) in [(1, "description"), (2, "name"), (3, "in")] {
        message.texts(field, value, name);
    }
    message.flag(4, value["required"] == true);
    message.message(5, schema(&value["schema"]));
    message
}

/// A parameter of a path or a query, whose numbers differ; `unique` is that of `uniqueItems`.
fn plain(value: &Value, typed: &[(u32, &str)], unique: u32) -> Message {
    let mut message = Message::default();
    message.flag(1, value["required"] == true);
    for (field, name) in [(2, "in"), (3, "description"), (4, "name")] {
        message.texts(field, value, name);
    }
    typed.iter().for_each(|(field, name)| message.texts(*field, value, name));
    message.flag(unique, value["uniqueItems"] == true);
    message
}
