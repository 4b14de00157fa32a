//! Reading templates before it is known whether they count, while something else is done.

use crate::base::hand::lend;
use crate::charts::chart::archive;
use crate::charts::template::{Contents, Shelf, Source};
use crate::charts::{File, functions};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Templates that are being read, by path.
#[derive(Clone)]
pub struct Reading {
    shelf: Arc<Shelf>,
    begun: HashMap<String, (Source, usize)>,
}

impl Reading {
    /// Less text is read sooner than somebody else begins with it.
    const LONG: usize = 16 << 10;

    /// Begins with what depends on nothing: the own templates of a chart of that name.
    pub fn begin<'a>(chart: &str, templates: impl Iterator<Item = &'a File>) -> Self {
        let mut reading = Self { shelf: Arc::new(Shelf::new(functions::find)), begun: HashMap::new() };
        reading.add(templates.map(|file| source(chart, file)).collect());
        reading
    }

    fn add(&mut self, more: Vec<Source>) {
        let is_long = more.iter().map(|source| source.text.len()).sum::<usize>() > Self::LONG;
        let places = self.shelf.add(more.clone());
        self.begun.extend(more.into_iter().zip(places).map(|(source, at)| (source.name.clone(), (source, at))));
        if is_long {
            let shelf = self.shelf.clone();
            lend(move || shelf.read());
        }
    }

    /// Begins with those of these templates that were not begun, and gives all of them in their order.
    pub fn go_on(mut self, all: &[Source]) -> Contents {
        let is_begun = |source: &&Source| {
            self.begun.get(&source.name).is_some_and(|(begun, _)| Arc::ptr_eq(&begun.text, &source.text))
        };
        let more = all.iter().filter(|source| !is_begun(source)).cloned().collect();
        self.add(more);
        let texts = all.iter().filter_map(|source| self.begun.remove(&source.name)).collect();
        Contents::new(self.shelf, texts)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.begun.keys()).finish()
    }
}

/// A template of a chart, whose path begins with that of the chart.
pub fn source(chart: &str, file: &File) -> Source {
    Source { name: archive::clean(&format!("{chart}/{}", file.name)), text: file.data.clone() }
}
