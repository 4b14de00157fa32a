//! Documents with schemas: where they are, what in them has an address of its own, and which rules each is written by.

use super::compile::Compiler;
use super::draft::{self, Draft, Place};
use super::remote;
use crate::charts::functions::resolved_url;
use crate::charts::template::quote;
use crate::charts::values::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Where in which document a schema is: an address, and the way from the document's top.
pub type Spot = (Rc<str>, String);

/// The rules that a schema is written by.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Its draft.
    pub draft: &'static Draft,
    /// The vocabularies, if a schema of schemas of somebody's own names them.
    pub vocabularies: Option<Vec<String>>,
}

impl Dialect {
    /// Whether the rules of a vocabulary hold.
    pub fn has(&self, vocabulary: &str) -> bool {
        if vocabulary == "core" || self.draft.version < 2019 {
            return true;
        }
        match &self.vocabularies {
            Some(named) => named.iter().any(|one| one == vocabulary),
            None => self.draft.assumes(vocabulary),
        }
    }
}

/// A schema that has an address of its own.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Where in the document it is.
    pub at: String,
    /// Its address.
    pub id: Rc<str>,
    /// Its rules.
    pub dialect: Dialect,
    /// Names of places in it.
    pub anchors: BTreeMap<String, String>,
    /// Which of them `$dynamicRef` looks for.
    pub dynamic: Vec<String>,
}

/// A document.
#[derive(Clone, Debug)]
pub struct Document {
    url: Rc<str>,
    /// What is in it.
    pub value: Rc<Value>,
    /// What has an address of its own, by place.
    pub resources: BTreeMap<String, Resource>,
    seen: BTreeSet<String>,
}

impl Document {
    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The schema with an address that a place belongs to.
    pub fn resource(&self, mut at: &str) -> Option<&Resource> {
        loop {
            if let Some(found) = self.resources.get(at) {
                return Some(found);
            }
            at = &at[..at.rfind('/')?];
        }
    }

    /// What an address with a fragment leads to, if it is in this document.
    pub fn resolve(&self, url: &str, fragment: &str) -> Option<Result<Spot, String>> {
        let resource = if url == &*self.url {
            self.resources.get("")
        } else {
            self.resources.values().find(|resource| &*resource.id == url)
        };
        Some(self.fragment(fragment, resource?))
    }

    fn fragment(&self, fragment: &str, resource: &Resource) -> Result<Spot, String> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok((self.url.clone(), format!("{}{fragment}", resource.at)));
        }
        let missing = || {
            let reference = quoted(&location(&resource.id, fragment));
            format!("anchor in {reference} not found in schema {}", quoted(&self.url))
        };
        resource.anchors.get(fragment).map(|at| (self.url.clone(), at.clone())).ok_or_else(missing)
    }

    fn add_anchor(&mut self, resource: &str, name: &str, at: &str) -> Result<(), String> {
        let url = self.url.clone();
        let Some(resource) = self.resources.get_mut(resource) else { return Ok(()) };
        match resource.anchors.insert(name.to_string(), at.to_string()) {
            Some(before) if before != at => Err(format!(
                "duplicate anchor {} in {} at {} and {}",
                quoted(name),
                quoted(&url),
                quoted(&before),
                quoted(at)
            )),
            _ => Ok(()),
        }
    }

    fn collect_anchors(&mut self, rules: &Map, at: &str, resource: &str) -> Result<(), String> {
        let Some(draft) = self.resources.get(resource).map(|resource| resource.dialect.draft) else { return Ok(()) };
        let text = |rule: &str| rules.get(rule).and_then(Value::as_str);
        if draft.version < 2019 {
            if let Some(id) = text(draft.id).filter(|_| !rules.contains_key("$ref")) {
                let failed = |_| format!("error in parsing anchor at {}", quoted(&location(&self.url, at)));
                let (_, fragment) = split(id).map_err(failed)?;
                if !fragment.is_empty() && !fragment.starts_with('/') {
                    self.add_anchor(resource, &fragment, at)?;
                }
            }
            return Ok(());
        }
        if let Some(name) = text("$anchor") {
            self.add_anchor(resource, name, at)?;
        }
        if let Some(name) = text("$dynamicAnchor").filter(|_| draft.version >= 2020) {
            self.add_anchor(resource, name, at)?;
            self.resources.entry(resource.to_string()).and_modify(|resource| resource.dynamic.push(name.to_string()));
        }
        Ok(())
    }
}

/// Everything that has been read.
#[derive(Default)]
pub struct Documents {
    values: BTreeMap<String, Rc<Value>>,
    /// How many of them are somebody else's.
    remote: usize,
    known: BTreeMap<Rc<str>, Rc<Document>>,
}

impl Documents {
    /// Puts in a document that needs no reading.
    pub fn add(&mut self, url: &str, value: Value) {
        self.values.insert(url.to_string(), Rc::new(value));
    }

    fn read(&mut self, url: &str) -> Result<Rc<Value>, String> {
        if let Some(value) = self.values.get(url) {
            return Ok(value.clone());
        }
        let value = match draft::document(url) {
            Some(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
            None => {
                let read = remote::read(url, self.remote);
                self.remote += 1;
                read.map_err(|why| format!("failing loading {}: {why}", quoted(url)))?
            }
        };
        let value = Rc::new(value);
        self.values.insert(url.to_string(), value.clone());
        Ok(value)
    }

    /// The draft that a schema is written by: that of its schema of schemas.
    fn draft(&mut self, at: &Spot, value: &Value, assumed: &'static Draft) -> Result<&'static Draft, String> {
        let (mut at, mut value) = (at.clone(), Rc::new(value.get("$schema").cloned().unwrap_or_default()));
        let mut seen = BTreeSet::new();
        loop {
            let Some(uri) = value.as_str() else { return Ok(assumed) };
            if let Some(draft) = draft::named(uri) {
                return Ok(draft);
            }
            let url = without_fragment(uri);
            if let Err(why) = resolved_url("", url) {
                return Err(format!("invalid $schema in {}: {why}", quoted(&location(&at.0, &at.1))));
            }
            if at.1.is_empty() && url == &*at.0 {
                return Err(format!("draft {} is not supported", quoted(url)));
            }
            if !seen.insert(url.to_string()) {
                return Err(format!("cycle in resolving $schema in {}", quoted(url)));
            }
            let document = self.read(url)?;
            at = (url.into(), String::new());
            value = Rc::new(document.get("$schema").cloned().unwrap_or_default());
        }
    }

    /// The vocabularies that the schema of schemas of a schema asks for.
    fn vocabularies(&mut self, rules: &Map, draft: &Draft) -> Result<Option<Vec<String>>, String> {
        let Some(uri) = rules.get("$schema").and_then(Value::as_str) else { return Ok(None) };
        if draft.version < 2019 || draft::named(uri).is_some() {
            return Ok(None);
        }
        let url = without_fragment(uri);
        let document = self.read(url)?;
        let Some(Value::Object(wanted)) = document.get("$vocabulary") else { return Ok(None) };
        let mut named = Vec::new();
        for (address, _) in wanted.iter().filter(|(_, needed)| **needed == Value::Bool(true)) {
            match address.strip_prefix(draft.vocabulary).filter(|name| draft.has(name)) {
                Some(name) => named.push(name.to_string()),
                None => return Err(format!("unsupported vocabulary {} in {}", quoted(address), quoted(url))),
            }
        }
        if !named.iter().any(|name| name == "core") {
            named.push("core".into());
        }
        Ok(Some(named))
    }

    fn collect(
        &mut self,
        document: &mut Document,
        schema: &Value,
        base: &Rc<str>,
        at: String,
        assumed: &Dialect,
    ) -> Result<(), String> {
        if document.seen.contains(&at) {
            return Ok(());
        }
        match schema {
            Value::Bool(_) if at.is_empty() => {
                document.resources.insert(String::new(), resource("", base, assumed));
            }
            Value::Object(rules) => self.collect_rules(document, rules, schema, base, &at, assumed)?,
            _ => {}
        }
        document.seen.insert(at);
        Ok(())
    }

    fn collect_rules(
        &mut self,
        document: &mut Document,
        rules: &Map,
        schema: &Value,
        base: &Rc<str>,
        at: &str,
        assumed: &Dialect,
    ) -> Result<(), String> {
        let mut draft = self.draft(&(document.url.clone(), at.to_string()), schema, assumed.draft)?;
        let mut says_draft = rules.get("$schema").is_some_and(Value::is_string);
        let mut id = id_of(rules, draft);
        if id.is_none() && !at.is_empty() {
            (draft, says_draft) = (assumed.draft, false);
            id = id_of(rules, draft);
        }
        let mut base = base.clone();
        if let Some(id) = id {
            let failed = |_| format!("error in parsing id at {}", quoted(&location(&document.url, at)));
            base = resolved_url(&base, id).map_err(failed)?.into();
        }
        if id.is_some() || at.is_empty() {
            match document.resources.values().find(|resource| resource.id == base) {
                Some(other) if other.at != at => {
                    return Err(format!(
                        "duplicate id {} in {} at {} and {}",
                        quoted(&base),
                        quoted(&document.url),
                        quoted(&other.at),
                        quoted(at)
                    ));
                }
                Some(_) => {}
                None => {
                    let own = says_draft.then(|| self.vocabularies(rules, draft)).transpose()?;
                    let dialect = own.map_or_else(|| assumed.clone(), |vocabularies| Dialect { draft, vocabularies });
                    document.resources.insert(at.to_string(), resource(at, &base, &dialect));
                }
            }
        }
        let own = document.resources.values().find(|resource| resource.id == base);
        let Some((place, dialect)) = own.map(|own| (own.at.clone(), own.dialect.clone())) else { return Ok(()) };
        document.collect_anchors(rules, at, &place)?;
        for (inner, schema) in inner_schemas(rules, draft, at) {
            self.collect(document, schema, &base, inner, &dialect)?;
        }
        Ok(())
    }
}

fn resource(at: &str, id: &Rc<str>, dialect: &Dialect) -> Resource {
    let (anchors, dynamic) = (BTreeMap::new(), Vec::new());
    Resource { at: at.to_string(), id: id.clone(), dialect: dialect.clone(), anchors, dynamic }
}

/// The address that a schema gives itself.
pub fn id_of<'r>(rules: &'r Map, draft: &Draft) -> Option<&'r str> {
    if draft.version < 2019 && rules.contains_key("$ref") {
        return None;
    }
    let id = rules.get(draft.id).and_then(Value::as_str)?;
    Some(without_fragment(id)).filter(|id| !id.is_empty())
}

fn inner_schemas<'v>(rules: &'v Map, draft: &Draft, at: &str) -> BTreeMap<String, &'v Value> {
    let mut found = BTreeMap::new();
    for (rule, place) in draft.places() {
        match (place, rules.get(rule)) {
            (Place::One, Some(schema)) => {
                found.insert(below(at, rule), schema);
            }
            (Place::Items, Some(Value::Array(all))) => {
                let at = below(at, rule);
                found.extend(all.iter().enumerate().map(|(index, schema)| (format!("{at}/{index}"), schema)));
            }
            (Place::Members, Some(Value::Object(all))) => {
                let at = below(at, rule);
                found.extend(all.iter().map(|(name, schema)| (below(&at, name), schema)));
            }
            _ => {}
        }
    }
    found
}

impl Compiler {
    /// A document, read and held against its schema of schemas the first time.
    pub fn document(&mut self, url: &Rc<str>) -> Result<Rc<Document>, String> {
        if let Some(document) = self.documents.known.get(url) {
            return Ok(document.clone());
        }
        let value = self.documents.read(url)?;
        let (resources, seen) = (BTreeMap::new(), BTreeSet::new());
        let mut document = Document { url: url.clone(), value: value.clone(), resources, seen };
        let assumed = Dialect { draft: draft::newest(), vocabularies: None };
        if !value.is_object() && !value.is_boolean() {
            document.resources.insert(String::new(), resource("", url, &assumed));
        }
        self.documents.collect(&mut document, &value, url, String::new(), &assumed)?;
        if !draft::is_specification(url) {
            self.hold_against_draft(&document, &value, "")?;
        }
        let document = Rc::new(document);
        self.documents.known.insert(url.clone(), document.clone());
        Ok(document)
    }

    /// A place in a document that is to be a schema: looked through if nothing said so before.
    pub fn place(&mut self, (url, at): &Spot) -> Result<Rc<Document>, String> {
        let document = self.document(url)?;
        if document.seen.contains(at) {
            return Ok(document);
        }
        let value = look_up(&document.value, url, at)?.clone();
        let mut wider = (*document).clone();
        if let Some(base) = wider.resource(at).cloned() {
            self.documents.collect(&mut wider, &value, &base.id, at.clone(), &base.dialect)?;
            if let Some(rules) = value.as_object().filter(|_| !wider.resources.contains_key(at)) {
                wider.collect_anchors(rules, at, &base.at)?;
            }
        }
        self.hold_against_draft(&wider, &value, at)?;
        let wider = Rc::new(wider);
        self.documents.known.insert(url.clone(), wider.clone());
        Ok(wider)
    }

    /// What an address with a fragment leads to, in any document.
    pub fn target(&mut self, url: &str, fragment: &str) -> Result<Spot, String> {
        let document = self.document(&url.into())?;
        document
            .resource("")
            .map_or_else(|| Err(format!("{} is no schema", quoted(url))), |top| document.fragment(fragment, top))
    }
}

/// What is at a place in a document.
pub fn look_up<'v>(value: &'v Value, url: &str, at: &str) -> Result<&'v Value, String> {
    let mut value = value;
    for token in at.split('/').skip(1) {
        let Some(token) = unescaped(token) else {
            return Err(format!("invalid json-pointer {}", quoted(&location(url, at))));
        };
        let inner = match value {
            Value::Object(table) => table.get(&token),
            Value::Array(items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        value = inner.ok_or_else(|| format!("json-pointer in {} not found", quoted(&location(url, at))))?;
    }
    Ok(value)
}

fn unescaped(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let letter = match part.chars().next()? {
            '0' => '~',
            '1' => '/',
            _ => return None,
        };
        out.push(letter);
        out.push_str(&part[1..]);
    }
    Some(out)
}

/// A place with a name after it.
pub fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A place as a text: the address, and the way as its fragment.
pub fn location(url: &str, at: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+=:@/".contains(&byte);
    let mut out = format!("{url}#");
    for byte in at.bytes() {
        if stays(byte) { out.push(byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn without_fragment(uri: &str) -> &str {
    uri.split('#').next().unwrap_or(uri)
}

/// An address and its fragment.
pub fn split(uri: &str) -> Result<(&str, String), String> {
    let (url, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    match crate::charts::functions::path_unescaped(fragment) {
        Ok(fragment) => Ok((url, fragment)),
        Err(why) => Err(format!("error in parsing {}: {why}", quoted(uri))),
    }
}

/// A text as Go quotes it.
pub fn quoted(text: &str) -> String {
    quote(text.as_bytes(), false)
}
