//! Sets of named templates, and what is around one execution: `include`, `tpl` and the world outside.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::error::Error;
use super::exec;
use super::function::Failure;
use super::hash::Names;
use super::node::Tree;
use super::parser::{self, Finder};
use super::quote::quote;
use super::shelf::Shelved;
use super::stack;
use super::text::Text;
use super::value::{self, Value};
use crate::charts::values::Warning;

/// How often a template may include itself, directly or not (Helm's limit).
const INCLUDES: usize = 1000;
/// How deep texts may hand texts to `tpl`. Helm has no such limit and eats all memory.
const TEXTS: usize = 1000;
/// The name of the template that all others hang on in Helm.
const ROOT: &str = "gotpl";

/// What the functions need from outside.
pub trait Host {
    /// `lookup`: an object of the cluster, a list of them, or an empty map.
    fn lookup(&self, _api_version: &str, _kind: &str, _namespace: &str, _name: &str) -> Result<Value, String> {
        Ok(Value::map(Default::default()))
    }

    /// `getHostByName`: an address, or nothing where DNS is not allowed.
    fn resolve(&self, _name: &str) -> String {
        String::new()
    }

    /// The time that it is.
    fn now(&self) -> jiff::Zoned {
        jiff::Timestamp::now().to_zoned(super::time::local())
    }

    /// Fills a buffer with randomness fit for secrets.
    fn random(&self, buffer: &mut [u8]) {
        rand::Rng::fill_bytes(&mut rand::rng(), buffer);
    }

    /// Whether it answers as [`Offline`] does, so that anybody may ask that one instead.
    fn is_offline(&self) -> bool {
        false
    }

    /// Whether a missing key is an error (`--strict`).
    fn strict(&self) -> bool {
        false
    }

    /// Whether the chart is only being checked: `required` and `fail` do not fail then.
    fn lint(&self) -> bool {
        false
    }

    /// Something that `required` or `fail` would have said, or what was odd before a render failed.
    fn warn(&self, _warning: &Warning) {}
}

/// A host without a cluster.
pub struct Offline;

impl Host for Offline {
    fn is_offline(&self) -> bool {
        true
    }
}

/// A set of named templates that can call each other.
pub struct Templates<'p> {
    own: Names<Arc<str>, Rc<Tree>>,
    /// Those that are read when they are needed.
    shelved: Option<Shelved>,
    parent: Option<&'p Templates<'p>>,
    finder: Finder,
    /// What the root's templates have read.
    texts: Texts,
}

/// Texts that were read, and what is in them: charts render an object once to hash it and once more to print it.
#[derive(Default)]
struct Texts {
    /// By `tpl`.
    parsed: RefCell<HashMap<Text, Rc<Vec<Rc<Tree>>>>>,
    /// By `fromYaml` and its like.
    decoded: RefCell<HashMap<Text, Value>>,
    /// How many bytes these have.
    decoded_bytes: Cell<usize>,
}

impl Texts {
    /// How many bytes of texts are kept with their values.
    const MOST: usize = 1 << 20;

    fn decode(&self, text: &Text, read: impl FnOnce(&str) -> Result<Value, String>) -> Result<Value, String> {
        if let Some(copy) = self.decoded.borrow().get(text).and_then(Value::deep_copy) {
            return Ok(copy);
        }
        let value = read(&text.as_str())?;
        let bytes = self.decoded_bytes.get() + text.len();
        // What has anchors may be much larger than its text.
        let is_small = bytes <= Self::MOST && memchr::memchr(b'&', text).is_none();
        if let Some(copy) = is_small.then(|| value.deep_copy()).flatten() {
            self.decoded_bytes.set(bytes);
            self.decoded.borrow_mut().insert(text.clone(), copy);
        }
        Ok(value)
    }
}

impl<'p> Templates<'p> {
    /// An empty set whose templates can call the functions that the finder knows.
    pub fn new(finder: Finder) -> Self {
        Templates { own: Names::default(), shelved: None, parent: None, finder, texts: Texts::default() }
    }

    /// A set of templates that are read when they are needed.
    pub fn shelved(shelved: Shelved) -> Self {
        let finder = shelved.finder();
        Templates { shelved: Some(shelved), ..Templates::new(finder) }
    }

    /// What could not be read of it: the first text, by its name, and why. Everything is read then.
    pub fn problem(&self) -> Option<(&str, &Error)> {
        self.shelved.as_ref()?.problem()
    }

    /// Adds a template under a name, and those that it defines. Later definitions win over earlier ones, unless they
    /// are empty.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let parsed = parser::parse(name, text, self.finder)?;
        parsed.trees().for_each(|tree| self.associate(Rc::new(tree)));
        Ok(())
    }

    fn associate(&mut self, tree: Rc<Tree>) {
        if tree.is_empty() && self.find(&tree.name).is_some() {
            return;
        }
        self.own.insert(tree.name.clone(), tree);
    }

    /// Whether there is a template of that name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Rc<Tree>> {
        let shelved = || self.shelved.as_ref()?.find(name);
        self.own.get(name).or_else(shelved).or_else(|| self.parent?.find(name))
    }

    /// Executes a template. Where a value was missing nothing is written, as Helm has it.
    pub fn execute(&self, name: &str, data: &Value, host: &dyn Host) -> Result<Vec<u8>, Error> {
        self.execute_bytes(name, data, host).map(without_missing)
    }

    /// The same, and whether it changed what was [given](Value::give).
    pub fn execute_watching(&self, name: &str, data: &Value, host: &dyn Host) -> (Result<Vec<u8>, Error>, bool) {
        value::watch_changes(|| self.execute(name, data, host))
    }

    /// Executes a template as Go does: `<no value>` stays.
    pub fn execute_bytes(&self, name: &str, data: &Value, host: &dyn Host) -> Result<Vec<u8>, Error> {
        let world = World { host, included: RefCell::default(), in_tpl: Cell::new(0), texts: &self.texts };
        let engine = Engine { templates: self, world: &world };
        stack::watched(|| engine.execute(name, data))
    }
}

/// What all executions of one call have in common.
struct World<'e> {
    host: &'e dyn Host,
    included: RefCell<Names<Text, usize>>,
    /// How many calls of `tpl` are under way.
    in_tpl: Cell<usize>,
    texts: &'e Texts,
}

/// One execution: a set of templates and the world.
pub struct Engine<'e> {
    pub(super) templates: &'e Templates<'e>,
    world: &'e World<'e>,
}

impl Engine<'_> {
    /// What the functions need from outside.
    pub fn host(&self) -> &dyn Host {
        self.world.host
    }

    /// Executes a template of the set by name.
    fn execute(&self, name: &str, data: &Value) -> Result<Vec<u8>, Error> {
        match self.templates.find(name) {
            Some(tree) => exec::execute(self, tree, data),
            None => Err(Error::new(format!(
                "template: no template {} associated with template {}",
                quote(name.as_bytes(), false),
                quote(ROOT.as_bytes(), false)
            ))),
        }
    }

    /// `include`.
    pub fn include(&self, name: &Text, data: &Value) -> Result<Vec<u8>, Failure> {
        {
            let mut included = self.world.included.borrow_mut();
            match included.get_mut(name) {
                Some(count) if *count > INCLUDES => {
                    let inner = "unable to execute template";
                    let message = format!("rendering template has a nested reference name: {name}: ");
                    return Err(Error::wrapping(message, Error::new(inner)));
                }
                Some(count) => *count += 1,
                None => {
                    included.insert(name.clone(), 1);
                }
            }
        }
        let result = self.execute(&name.as_str(), data);
        if let Some(count) = self.world.included.borrow_mut().get_mut(name) {
            *count -= 1;
        }
        result
    }

    /// `tpl`.
    pub fn tpl(&self, text: &Text, data: &Value) -> Result<Vec<u8>, Failure> {
        if memchr::memmem::find(text, b"{{").is_none() {
            return Ok(without_missing(text.to_vec()));
        }
        let in_tpl = &self.world.in_tpl;
        if in_tpl.get() > TEXTS {
            return Err(Error::bottomless(
                "rendering template has texts nested too deeply: unable to execute template",
            ));
        }
        let trees = self.parsed(text)?;
        let mut templates = Templates { parent: Some(self.templates), ..Templates::new(self.templates.finder) };
        for tree in trees.iter() {
            templates.associate(tree.clone());
        }
        let engine = Engine { templates: &templates, world: self.world };
        let main = trees.iter().rfind(|tree| *tree.name == *ROOT);
        in_tpl.set(in_tpl.get() + 1);
        let result = main.map_or_else(|| Ok(Vec::new()), |tree| exec::execute(&engine, tree, data));
        in_tpl.set(in_tpl.get() - 1);
        result.map(without_missing).map_err(|error| {
            if error.is_bottomless() && self.is_in_tpl() {
                return error;
            }
            let before = format!("error during tpl function execution for {}: ", quote(text, false));
            Error::wrapping(before, error)
        })
    }

    /// What a text says in some notation, for which all calls have the same `read`. It is the caller's to change.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn decode(&self, text: &Text, read: impl FnOnce(&str) -> Result<Value, String>) -> Result<Value, String> {
        self.world.texts.decode(text, read)
    }

    /// Whether a text is being executed that was given to `tpl`.
    pub(super) fn is_in_tpl(&self) -> bool {
        self.world.in_tpl.get() > 0
    }

    /// The trees of a text given to `tpl`.
    fn parsed(&self, text: &Text) -> Result<Rc<Vec<Rc<Tree>>>, Failure> {
        if let Some(trees) = self.world.texts.parsed.borrow().get(text) {
            return Ok(trees.clone());
        }
        let trees = parser::parse(ROOT, &text.as_str(), self.templates.finder)
            .map_err(|error| Error::wrapping(format!("cannot parse template {}: ", quote(text, false)), error))?;
        let trees: Rc<Vec<Rc<Tree>>> = Rc::new(trees.trees().map(Rc::new).collect());
        self.world.texts.parsed.borrow_mut().insert(text.clone(), trees.clone());
        Ok(trees)
    }
}

/// Go writes `<no value>` for what is missing; Helm takes it out again.
fn without_missing(bytes: Vec<u8>) -> Vec<u8> {
    const MISSING: &[u8] = b"<no value>";
    let finder = memchr::memmem::Finder::new(MISSING);
    let Some(mut found) = finder.find(&bytes) else { return bytes };
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &bytes[..];
    loop {
        out.extend_from_slice(&rest[..found]);
        rest = &rest[found + MISSING.len()..];
        match finder.find(rest) {
            Some(next) => found = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    out
}
