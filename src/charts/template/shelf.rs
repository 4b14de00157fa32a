//! Templates that are read by who comes first: one who needs what is in them, or somebody else who has nothing to do.
//!
//! Reading all templates of a chart takes as long as executing those that print something. What a text may define is seen without
//! reading it: so executing begins at once, and a text is read when one of its templates is needed, if it was not before.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use super::hash::Names;
use super::node::{Parsed, Tree};
use super::parser::{self, Finder};
use super::quote::unquote;
use super::text::lossy;

/// A template's name and text.
#[derive(Clone)]
pub struct Source {
    /// The name: a path in a chart.
    pub name: String,
    /// The text, as it is in the chart.
    pub text: Arc<[u8]>,
}

impl Source {
    fn parse(&self, finder: Finder) -> Result<Parsed, Error> {
        parser::parse(&self.name, &lossy(&self.text), finder)
    }
}

/// Texts that any threads read.
pub struct Shelf {
    finder: Finder,
    places: Mutex<Places>,
    has_read: Condvar,
}

#[derive(Default)]
struct Places {
    all: Vec<Place>,
    /// Which of them are read next, the last first.
    queue: Vec<usize>,
    /// How many wait for something to be read.
    waiting: usize,
}

enum Place {
    Unread(Source),
    BeingRead,
    /// Nothing if it could not be read by who tried.
    Read(Option<Arc<Parsed>>),
}

impl Place {
    /// The text, for one who begins to read it.
    fn begin(&mut self) -> Option<Source> {
        match std::mem::replace(self, Place::BeingRead) {
            Place::Unread(source) => Some(source),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Places {
    fn next(&mut self) -> Option<(usize, Source)> {
        loop {
            let at = self.queue.pop()?;
            if let Some(source) = self.all[at].begin() {
                return Some((at, source));
            }
        }
    }
}

impl Shelf {
    /// An empty one, for templates that call the functions that the finder knows.
    pub fn new(finder: Finder) -> Self {
        Self { finder, places: Mutex::default(), has_read: Condvar::new() }
    }

    /// Puts texts there, side by side. The longest is read first, so that all who read are done at about the same time.
    pub fn add(&self, sources: Vec<Source>) -> Range<usize> {
        let mut places = self.places();
        let added = places.all.len()..places.all.len() + sources.len();
        let mut queue: Vec<_> = added.clone().zip(&sources).collect();
        queue.sort_by_key(|(_, source)| source.text.len());
        places.queue.extend(queue.into_iter().map(|(at, _)| at));
        places.all.extend(sources.into_iter().map(Place::Unread));
        added
    }

    /// Reads until everything is read or being read.
    pub fn read(&self) {
        while self.read_next() {}
    }

    /// Whether there was one to read.
    fn read_next(&self) -> bool {
        let next = self.places().next();
        next.map(|(at, source)| self.read_one(at, &source)).is_some()
    }

    fn read_one(&self, at: usize, source: &Source) {
        let mut reading = Reading { shelf: self, at, parsed: None };
        reading.parsed = source.parse(self.finder).ok().map(Arc::new);
    }

    /// What is in one of the texts; nothing if it could not be read by who tried. Waiting for another who reads it, it reads what
    /// nobody reads.
    fn get(&self, at: usize) -> Option<Arc<Parsed>> {
        loop {
            let begun = match &mut self.places().all[at] {
                Place::Read(parsed) => return parsed.clone(),
                place => place.begin(),
            };
            match begun {
                Some(source) => self.read_one(at, &source),
                None if self.read_next() => {}
                None => self.wait_for(at),
            }
        }
    }

    fn wait_for(&self, at: usize) {
        let mut places = self.places();
        places.waiting += 1;
        let waited = self.has_read.wait_while(places, |places| matches!(places.all[at], Place::BeingRead));
        waited.unwrap_or_else(PoisonError::into_inner).waiting -= 1;
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // Nothing breaks off in between.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One text that is being read; when this ends, however it does, the text is not any more.
struct Reading<'s> {
    shelf: &'s Shelf,
    at: usize,
    parsed: Option<Arc<Parsed>>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut places = self.shelf.places();
        places.all[self.at] = Place::Read(self.parsed.take());
        if places.waiting > 0 {
            self.shelf.has_read.notify_all();
        }
    }
}

/// Texts that lie on a shelf, in the order in which their templates are defined, and the names that these may have: for all threads.
pub struct Contents {
    shelf: Arc<Shelf>,
    texts: Vec<(Source, usize)>,
    names: Names<String, Name>,
}

/// A name that texts may define.
struct Name {
    /// Its place among the names.
    at: usize,
    texts: Vec<usize>,
}

impl Contents {
    /// Those of texts with their places on the shelf.
    pub fn new(shelf: Arc<Shelf>, texts: Vec<(Source, usize)>) -> Self {
        let mut names = Names::<String, Name>::default();
        for (text, (source, _)) in texts.iter().enumerate() {
            let mut define = |name: &str| match names.get_mut(name) {
                Some(name) if name.texts.last() == Some(&text) => {}
                Some(name) => name.texts.push(text),
                None => {
                    names.insert(name.to_string(), Name { at: names.len(), texts: vec![text] });
                }
            };
            define(&source.name);
            may_define(&source.text, &mut define);
        }
        Self { shelf, texts, names }
    }

    /// The first that is no text, by its name.
    pub fn broken(&self) -> Option<&[u8]> {
        let broken = self.texts.iter().filter(|(source, _)| std::str::from_utf8(&source.text).is_err());
        broken.min_by_key(|(source, _)| &source.name).map(|(source, _)| &source.text[..])
    }
}

/// What is in such texts, for one thread that executes their templates. Later definitions win over earlier ones, unless they are
/// empty.
pub struct Shelved {
    contents: Arc<Contents>,
    /// By text, once somebody needed it.
    trees: Vec<OnceCell<Result<Vec<Rc<Tree>>, Error>>>,
    /// By name, once somebody asked for it.
    winners: Vec<OnceCell<Option<Rc<Tree>>>>,
}

impl Shelved {
    /// What is in these.
    pub fn new(contents: Arc<Contents>) -> Self {
        let trees = contents.texts.iter().map(|_| OnceCell::new()).collect();
        let winners = contents.names.iter().map(|_| OnceCell::new()).collect();
        Self { contents, trees, winners }
    }

    /// The functions that templates call.
    pub(super) fn finder(&self) -> Finder {
        self.contents.shelf.finder
    }

    /// The template of that name, if there is one. What a text has that cannot be read is not there.
    pub(super) fn find(&self, name: &str) -> Option<&Rc<Tree>> {
        let found = self.contents.names.get(name)?;
        let winner = || {
            let trees = found.texts.iter().filter_map(|text| self.trees(*text).as_ref().ok()).flatten();
            let own = trees.filter(|tree| *tree.name == *name);
            own.reduce(|before, tree| if tree.is_empty() { before } else { tree }).cloned()
        };
        self.winners[found.at].get_or_init(winner).as_ref()
    }

    fn trees(&self, text: usize) -> &Result<Vec<Rc<Tree>>, Error> {
        self.trees[text].get_or_init(|| {
            let (source, at) = &self.contents.texts[text];
            // What cannot be read somewhere else, where the stack is smaller, may well be here.
            let parsed = self.contents.shelf.get(*at).map_or_else(|| source.parse(self.finder()).map(Arc::new), Ok)?;
            Ok(parsed.trees().map(Rc::new).collect())
        })
    }

    /// The first text that cannot be read, by its name, and why.
    pub fn problem(&self) -> Option<(&str, &Error)> {
        let problem = |text: usize| Some((self.contents.texts[text].0.name.as_str(), self.trees(text).as_ref().err()?));
        (0..self.trees.len()).find_map(problem)
    }
}

/// Tells the names that a text may define: all that it does, and some that are in its comments or outside of actions.
fn may_define(text: &[u8], tell: &mut impl FnMut(&str)) {
    for word in ["define", "block"] {
        for at in memchr::memmem::find_iter(text, word) {
            let rest = &text[at + word.len()..];
            let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            if let Some(name) = constant(&rest[spaces..]).and_then(unquote) {
                tell(&lossy(&name));
            }
        }
    }
}

/// The text constant that a text begins with, with its quotes.
fn constant(text: &[u8]) -> Option<&[u8]> {
    let quote = *text.first().filter(|first| matches!(first, b'"' | b'`'))?;
    let mut letters = text.iter().enumerate().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if *letter == quote => return Some(&text[..=at]),
            b'\\' if quote == b'"' => drop(letters.next()),
            b'\n' if quote == b'"' => break,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::functions;
    use std::thread;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.as_bytes().into() }
    }

    fn shelved(texts: &[(&str, &str)]) -> Shelved {
        let shelf = Arc::new(Shelf::new(functions::find));
        let sources: Vec<_> = texts.iter().map(|(name, text)| source(name, text)).collect();
        let places = shelf.add(sources.clone());
        Shelved::new(Arc::new(Contents::new(shelf, sources.into_iter().zip(places).collect())))
    }

    /// How many texts were read.
    fn read(shelved: &Shelved) -> usize {
        shelved.trees.iter().filter(|trees| trees.get().is_some()).count()
    }

    #[test]
    fn only_texts_that_may_define_a_template_are_read_for_it() {
        let texts =
            [("a", "{{ define \"x\" }}1{{ end }}"), ("b", "{{/* define \"x\" */}}"), ("c", "{{ nope }}"), ("d", "d")];
        let shelved = shelved(&texts);
        assert!(shelved.find("y").is_none());
        assert_eq!(read(&shelved), 0);
        assert_eq!(shelved.find("x").unwrap().code.name, "a");
        assert_eq!(read(&shelved), 2);
        assert_eq!(shelved.find("d").unwrap().code.name, "d");
        assert_eq!(read(&shelved), 3);
        // What cannot be read is not there, and told in the end.
        assert!(shelved.find("c").is_none());
        let (name, error) = shelved.problem().unwrap();
        assert_eq!((name, error.to_string().as_str()), ("c", "template: c:1: function \"nope\" not defined"));
    }

    #[test]
    fn the_last_definition_that_prints_something_wins() {
        let define = |text: &str| format!("{{{{ define \"x\" }}}}{text}{{{{ end }}}}");
        let (one, two, empty) = (define("1"), define("2"), define(" \n"));
        let winner = |texts: &[(&str, &str)]| shelved(texts).find("x").unwrap().code.name.clone();
        assert_eq!(winner(&[("a", &one), ("b", &two)]), "b");
        assert_eq!(winner(&[("a", &one), ("b", &two), ("c", &empty)]), "b");
        assert_eq!(winner(&[("a", &empty), ("b", &one), ("c", &empty)]), "b");
        assert_eq!(winner(&[("a", &empty), ("b", &empty)]), "a");
        // A text is a template of its own name.
        assert_eq!(winner(&[("a", &one), ("x", "3")]), "x");
        assert_eq!(winner(&[("x", "3"), ("b", &one)]), "b");
    }

    #[test]
    fn every_name_that_the_parser_finds_is_expected() {
        let texts = [
            "{{ define \"a\" }}{{ end }}{{- define `b` -}}{{ end }}{{define\t\"c\"}}{{end}}",
            "{{ define \n\r\n \"a\\\"b\\x41\\u00e9\" }}{{ end }}{{ define `c\r\n\\d` }}{{ end }}",
            "{{ block \"a\" . }}{{ block `b` . }}{{ end }}{{ end }}",
            "define \"a\n{{ define \"b\" }}{{ end }} define `{{ define \"c\" }}{{ end }} block \"\\",
            "{{ define \"define\" }}{{ end }}{{ define \"\" }}{{ end }}{{ define \"blockdefine \\\"x\\\"\" }}{{ end }}",
        ];
        for text in texts {
            let parsed = source("own", text).parse(functions::find).unwrap();
            let mut expected = vec!["own".to_string()];
            may_define(text.as_bytes(), &mut |name| expected.push(name.to_string()));
            for tree in parsed.trees() {
                assert!(expected.contains(&tree.name.to_string()), "{:?} of {text}: {expected:?}", tree.name);
            }
        }
    }

    #[test]
    fn two_who_read_at_a_time_have_all_of_it_read_once() {
        let text =
            |at: usize| (at.to_string(), format!("{{{{ define \"t{at}\" }}}}{at}{{{{ end }}}}{}", "a".repeat(at)));
        let texts: Vec<_> = (0..200).map(text).collect();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let shelved = shelved(&texts);
        let shelf = shelved.contents.shelf.clone();
        let other = thread::spawn(move || shelf.read());
        for at in 0..200 {
            assert_eq!(shelved.find(&format!("t{at}")).unwrap().code.name, at.to_string());
        }
        other.join().unwrap();
        assert!(shelved.problem().is_none());
    }

    #[test]
    fn a_text_whose_reader_broke_off_is_read_again() {
        let shelved = shelved(&[("a", "{{ define \"x\" }}1{{ end }}")]);
        let shelf = shelved.contents.shelf.clone();
        let (at, _) = shelf.places().next().unwrap();
        let other = thread::spawn(move || drop(Reading { shelf: &shelf, at, parsed: None }));
        assert_eq!(shelved.find("x").unwrap().code.name, "a");
        other.join().unwrap();
    }
}
