//! `.Files`: the files of a chart that are no templates, as templates read them.

use super::chart::File;
use super::chart::pattern::Glob;
use super::template::{Element, Entries, Failure, Map, MapKind, Method, Object, Type, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Files by name.
pub struct Files {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl Files {
    /// A chart's files.
    pub fn new(files: &[File]) -> Self {
        Self { files: files.iter().map(|file| (file.name.clone(), file.data.clone())).collect() }
    }

    fn data(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], |data| &data[..])
    }

    fn glob(&self, pattern: &str) -> Self {
        let glob = Glob::new(pattern);
        let matching = self.files.iter().filter(|(name, _)| glob.matches(name));
        Self { files: matching.map(|(name, data)| (name.clone(), data.clone())).collect() }
    }

    /// The files by the last part of their names, as YAML.
    fn as_table(&self, text: impl Fn(&[u8]) -> Value) -> Value {
        let mut table = Entries::new();
        for (name, data) in &self.files {
            let base = name.rsplit('/').next().unwrap_or(name);
            table.insert(base.into(), text(data));
        }
        let table = Value::Map(Map::of(MapKind::Of(Element::Str), table));
        let text = super::yaml::encode(&table);
        text.strip_suffix('\n').unwrap_or(&text).into()
    }
}

impl Object for Files {
    fn type_name(&self) -> Cow<'static, str> {
        "engine.files".into()
    }

    fn kind(&self) -> &'static str {
        "map"
    }

    fn methods(&self) -> &'static [Method] {
        const fn method(name: &'static str, parameters: &'static [Type]) -> Method {
            Method { name, parameters, variadic: false }
        }
        const METHODS: &[Method] = &[
            method("Get", &[Type::Str]),
            method("GetBytes", &[Type::Str]),
            method("Glob", &[Type::Str]),
            method("Lines", &[Type::Str]),
            method("AsConfig", &[]),
            method("AsSecrets", &[]),
        ];
        METHODS
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
        let argument = match arguments.first() {
            Some(Value::Str(text)) => text.as_str(),
            _ => "".into(),
        };
        Ok(match name {
            "Get" => Value::Str(self.data(&argument).into()),
            "GetBytes" => Value::Bytes(self.data(&argument).into()),
            "Glob" => Value::Object(Rc::new(self.glob(&argument))),
            "Lines" => lines(self.data(&argument)),
            "AsConfig" => self.as_table(|data| Value::Str(data.into())),
            _ => self.as_table(|data| STANDARD.encode(data).into()),
        })
    }

    fn underlying(&self) -> Option<Value> {
        let entries = self.files.iter().map(|(name, data)| (name.as_str().into(), Value::Bytes(data[..].into())));
        Some(Value::Map(Map::of(MapKind::Of(Element::Bytes), entries.collect())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn lines(data: &[u8]) -> Value {
    if data.is_empty() {
        return Value::list_of(Element::Str, Vec::new());
    }
    let data = data.strip_suffix(b"\n").unwrap_or(data);
    Value::strings(data.split(|byte| *byte == b'\n'))
}
