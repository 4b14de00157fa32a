//! `metadata.managedFields`: who manages which fields, read and written.
//!
//! Source: k8s.io/apimachinery `pkg/util/managedfields/internal/{managedfields,capmanagers}.go`.

use super::set::Set;
use crate::api::Object;
use serde_json::{Map, Value};

/// How many managers by update an object has at most; older ones become one.
const MOST_UPDATERS: usize = 10;
/// The manager that older ones become.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// One manager of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    /// The version in which its fields are named.
    pub api_version: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// When it changed its fields last, RFC 3339; empty if unknown.
    pub time: String,
    pub fields: Set,
}

impl Manager {
    /// Whether two entries are of one manager: one that updates is another one in another version.
    pub fn is(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As conflicts name it: `"kubectl" using apps/v1`.
    pub fn printed(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    fn from_entry(entry: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        let fields = Set::from_fields(entry.get("fieldsV1").cloned().unwrap_or_default());
        let (name, subresource, time) = (text("manager"), text("subresource"), text("time"));
        Some(Self { name, operation, api_version, subresource, time, fields })
    }

    fn into_entry(self) -> Value {
        let mut entry = Map::new();
        let texts = [
            ("manager", self.name),
            ("operation", self.operation.word().to_string()),
            ("apiVersion", self.api_version),
            ("time", self.time),
            ("fieldsType", "FieldsV1".to_string()),
            ("subresource", self.subresource),
        ];
        entry.extend(
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.into(), text.into())),
        );
        entry.insert("fieldsV1".into(), self.fields.into_fields());
        Value::Object(entry)
    }
}

/// What an object says of its managers.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Nothing that can be read.
    Nothing,
    /// That there shall be none: an empty list, or one with an empty entry.
    Reset,
    These(Vec<Manager>),
}

/// Reads the managers of an object.
pub fn read(object: &Object) -> Said {
    let Some(list) = object.at(&["metadata", "managedFields"]).and_then(Value::as_array) else { return Said::Nothing };
    let is_empty = |entry: &Value| entry.as_object().is_some_and(Map::is_empty);
    if list.is_empty() || (list.len() == 1 && is_empty(&list[0])) {
        return Said::Reset;
    }
    let managers: Option<Vec<Manager>> = list.iter().map(|entry| Manager::from_entry(entry.as_object()?)).collect();
    managers.map_or(Said::Nothing, Said::These)
}

/// Reads the managers of a stored object.
pub fn of(object: &Object) -> Vec<Manager> {
    match read(object) {
        Said::These(managers) => managers,
        Said::Nothing | Said::Reset => Vec::new(),
    }
}

/// Writes the managers of an object: those that apply first, then the longest known ones.
pub fn write(object: &mut Object, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty());
    if managers.is_empty() {
        object.remove(&["metadata", "managedFields"]);
        return;
    }
    managers.sort_by(|a, b| {
        let key = |one: &Manager| {
            (one.operation, one.time.clone(), one.name.clone(), one.api_version.clone(), one.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    let entries: Vec<Value> = managers.into_iter().map(Manager::into_entry).collect();
    object.set(&["metadata", "managedFields"], entries);
}

/// Makes the oldest managers by update one, if there are too many.
pub fn cap(managers: &mut Vec<Manager>) {
    let is_updater = |manager: &Manager| manager.operation == Operation::Update;
    let mut count = managers.iter().filter(|manager| is_updater(manager)).count();
    if count <= MOST_UPDATERS {
        return;
    }
    let mut updaters: Vec<Manager> = Vec::new();
    managers.retain(|manager| {
        if is_updater(manager) {
            updaters.push(manager.clone());
        }
        !is_updater(manager)
    });
    updaters.sort_by(|a, b| (&a.time, &a.name).cmp(&(&b.time, &b.name)));
    // The first of a version waits for a second one: alone it would only lose its name.
    let mut kept: Vec<Manager> = Vec::new();
    for manager in updaters {
        let first = kept.iter_mut().find(|own| own.api_version == manager.api_version);
        match first {
            Some(first) if count > MOST_UPDATERS => {
                first.name = ANCIENT.into();
                first.subresource.clear();
                first.fields.add(manager.fields);
                first.time = manager.time;
                count -= 1;
            }
            _ => kept.push(manager),
        }
    }
    managers.extend(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manager(name: &str, operation: Operation, time: u32) -> Manager {
        Manager {
            name: name.into(),
            operation,
            api_version: "v1".into(),
            subresource: String::new(),
            time: format!("2026-01-01T00:00:{time:02}Z"),
            fields: Set::from_fields(json!({"f:data": {format!("f:{name}"): {}}})),
        }
    }

    #[test]
    fn managers_are_written_in_order_and_read_again() {
        let mut object = Object::default();
        let (a, b, c) =
            (manager("a", Operation::Update, 2), manager("b", Operation::Update, 1), manager("c", Operation::Apply, 9));
        write(&mut object, vec![a.clone(), b.clone(), c.clone()]);
        assert_eq!(read(&object), Said::These(vec![c, b, a]));
        write(&mut object, vec![]);
        assert_eq!(read(&object), Said::Nothing);
    }

    #[test]
    fn an_empty_entry_resets_and_a_broken_one_says_nothing() {
        let read = |entries: Value| {
            let mut object = Object::default();
            object.set(&["metadata", "managedFields"], entries);
            super::read(&object)
        };
        assert_eq!(read(json!([])), Said::Reset);
        assert_eq!(read(json!([{}])), Said::Reset);
        assert_eq!(read(json!([{"manager": "a", "operation": "Update"}])), Said::Nothing);
    }

    #[test]
    fn the_oldest_updaters_become_one() {
        let mut managers: Vec<Manager> = (0..12).map(|n| manager(&format!("m{n:02}"), Operation::Update, n)).collect();
        managers.push(manager("apply", Operation::Apply, 0));
        cap(&mut managers);
        assert_eq!(managers.len(), 11);
        let ancient = managers.iter().find(|manager| manager.name == ANCIENT).unwrap();
        assert_eq!(ancient.fields.paths(), [".data.m00", ".data.m01", ".data.m02"]);
        assert_eq!(ancient.time, "2026-01-01T00:00:02Z");
    }
}
