//! The cluster file: TOML with the settings by name, and charts. Every mistake is told at once, with line and column.
//!
//! ```toml
//! name = "dev"
//! memory = "4g"
//! ports = ["8080:80"]
//! addons = ["ingress"]
//! images = ["app.tar"]
//! manifests = ["k8s"]
//!
//! [[charts]]
//! name = "db"
//! chart = "./postgres"
//! set = ["size=1Gi"]
//! ```

use super::resolve::{check, unknown};
use super::settings::{self, SETTINGS};
use super::values::{self, Chart};
use super::{Profile, Wanted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from one; columns are characters.
    pub line: usize,
    pub column: usize,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

/// Settings whose values are paths on this machine, which are meant from the file's own folder.
const PATHS: &[&str] = &["images", "manifests", "mounts"];

/// Says what is wrong with one value of a setting that this room cannot judge: names of drivers and addons.
pub type Check<'a> = &'a dyn Fn(&str, &str) -> Result<(), String>;

/// Reads the text of a cluster file that lies in `folder`. Files that it names must be there.
pub fn parse(text: &str, folder: &Path, check: Check<'_>) -> Result<Wanted, Vec<Mistake>> {
    let mut reader = Reader { text, folder, check, mistakes: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.wrong(error.span().unwrap_or_default(), error.message().to_string());
    }
    let wanted = reader.wanted(table.get_ref());
    reader.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    if reader.mistakes.is_empty() { Ok(wanted) } else { Err(reader.mistakes) }
}

struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    check: Check<'a>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: Range<usize>, what: String) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.mistakes.push(Mistake { line, column, what });
    }

    fn wanted(&mut self, table: &DeTable<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "name" => wanted.name = self.texts(value).into_iter().next().unwrap_or_default(),
                "charts" => wanted.charts = Some(self.charts(value)),
                name => match settings::find(name) {
                    Some(setting) => {
                        let texts = self.texts(value);
                        if !setting.is_list() && value.get_ref().is_array() {
                            self.wrong(value.span(), format!("{name}: takes one value, not a list"));
                        } else if let Err(problem) = check(name, &texts) {
                            self.wrong(value.span(), problem.to_string());
                        } else {
                            self.each(setting.key, value);
                            wanted.settings.insert(setting.key, self.placed(setting.key, texts));
                        }
                    }
                    None => self.wrong(key.span(), format!("{name}: {}", unknown(name))),
                },
            }
        }
        wanted
    }

    /// Looks at every value of a setting by itself: whether there is what it names.
    fn each(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        if let Some(list) = value.get_ref().as_array() {
            return list.iter().for_each(|one| self.each(key, one));
        }
        let DeValue::String(text) = value.get_ref() else { return };
        match key {
            "images" if values::looks_like_file(text) => self.needs(key, text, value.span()),
            "manifests" => self.needs(key, text, value.span()),
            _ => {
                if let Err(why) = (self.check)(key, text) {
                    self.wrong(value.span(), format!("{key}: {why}"));
                }
            }
        }
    }

    /// A file or folder that must be there.
    fn needs(&mut self, key: &str, text: &str, at: Range<usize>) {
        let path = self.folder.join(text);
        if !path.exists() {
            self.wrong(at, format!("{key}: there is no file {}", path.display()));
        }
    }

    /// A text, number or truth as a list of one, or a list of them.
    fn texts(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<String> {
        if let Some(list) = value.get_ref().as_array() {
            return list.iter().flat_map(|one| self.texts(one)).collect();
        }
        match value.get_ref() {
            DeValue::String(text) => vec![text.to_string()],
            DeValue::Integer(number) => vec![number.as_str().replace('_', "")],
            DeValue::Float(number) => vec![number.as_str().replace('_', "")],
            DeValue::Boolean(truth) => vec![truth.to_string()],
            other => {
                self.wrong(value.span(), format!("a {} cannot be here", other.type_str()));
                Vec::new()
            }
        }
    }

    /// Paths from the file's folder; names of images and addresses of manifests stay as they are.
    fn placed(&self, key: &str, texts: Vec<String>) -> Vec<String> {
        if !PATHS.contains(&key) {
            return texts;
        }
        texts.into_iter().map(|text| self.place(&text)).collect()
    }

    fn place(&self, text: &str) -> String {
        let (path, rest) = text.split_once(':').map_or((text, ""), |(path, _)| (path, &text[path.len()..]));
        let below = self.folder.join(path);
        match path.starts_with('.') || (!path.is_empty() && below.exists()) {
            true => format!("{}{rest}", below.display()),
            false => text.to_string(),
        }
    }

    fn charts(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<Chart> {
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(value.span(), "charts: write them as [[charts]]".into());
            return Vec::new();
        };
        list.iter().filter_map(|one| self.chart(one)).collect()
    }

    fn chart(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Chart> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(value.span(), "charts: write them as [[charts]]".into());
            return None;
        };
        let mut chart = Chart::default();
        for (key, value) in table.iter() {
            let texts = self.texts(value);
            let one = || texts.first().cloned().unwrap_or_default();
            match key.get_ref().as_ref() {
                "name" => chart.name = one(),
                "chart" => {
                    let text = one();
                    if values::looks_like_file(&text) {
                        self.needs("charts", &text, value.span());
                    }
                    chart.chart = self.place(&text);
                }
                "namespace" => chart.namespace = one(),
                "version" => chart.version = one(),
                "values" => {
                    for text in texts.iter().filter(|text| !text.contains("://")) {
                        self.needs("charts", text, value.span());
                    }
                    chart.values = texts.iter().map(|text| self.place(text)).collect();
                }
                "set" => chart.set = texts,
                name => {
                    let names = ["name", "chart", "namespace", "version", "values", "set"];
                    let meant =
                        settings::closest(name, names.into_iter()).map(|name| format!("; did you mean `{name}`?"));
                    self.wrong(key.span(), format!("charts: there is no `{name}`{}", meant.unwrap_or_default()));
                }
            }
        }
        for (field, text) in [("name", &chart.name), ("chart", &chart.chart)] {
            if text.is_empty() {
                self.wrong(value.span(), format!("charts: `{field}` is missing"));
            }
        }
        Some(chart)
    }
}

/// The file of a cluster that exists: read back, it asks for the same.
pub fn export(profile: &Profile) -> Result<String, toml::ser::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value {
        Number(i64),
        Text(String),
        List(Vec<String>),
    }
    #[derive(Serialize)]
    struct File<'a> {
        name: &'a str,
        #[serde(flatten)]
        settings: BTreeMap<&'static str, Value>,
        #[serde(skip_serializing_if = "<[Chart]>::is_empty")]
        charts: &'a [Chart],
    }
    let mut rows = BTreeMap::new();
    for setting in SETTINGS {
        let mut texts = (setting.get)(profile);
        if texts.is_empty() {
            continue;
        }
        let value = match setting.is_list() {
            true => Value::List(texts),
            false => match texts[0].parse() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::Text(texts.swap_remove(0)),
            },
        };
        rows.insert(setting.key, value);
    }
    toml::to_string(&File { name: &profile.name, settings: rows, charts: &profile.charts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse(text, Path::new("/f"), &|_, _| Ok(())).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_what_flags_say() {
        let text = "name = \"dev\"\ncpus = 1.5\napiserver-port = 6_443\nports = [\"8080:80\", 9090]\nmounts = [\"./src:/src\"]\n\
                    [[charts]]\nname = \"db\"\nchart = \"./db\"\nset = [\"a=1\"]\n";
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("db")).unwrap();
        let wanted = parse(text, folder.path(), &|_, _| Ok(())).unwrap();
        let below = |path: &str| format!("{}/{path}", folder.path().display());
        assert_eq!(wanted.name, "dev");
        assert_eq!(wanted.settings["cpus"], ["1.5"]);
        assert_eq!(wanted.settings["apiserver-port"], ["6443"]);
        assert_eq!(wanted.settings["ports"], ["8080:80", "9090"]);
        assert_eq!(wanted.settings["mounts"], [below("./src:/src")]);
        assert_eq!(wanted.charts.unwrap()[0].chart, below("./db"));
    }

    #[test]
    fn files_drivers_and_addons_that_are_not_there_are_mistakes_like_the_others() {
        let text = "cpus = \"many\"\ndriver = \"steam\"\naddons = [\"good\", \"bad\"]\nimages = [\"web:1\", \"app.tar\"]\n\
                    manifests = [\n  \"k8s\",\n]\n[[charts]]\nname = \"db\"\nchart = \"./db\"\nvalues = [\"v.yaml\"]\n";
        let known = |key: &str, value: &str| match (key, value) {
            ("driver", _) | ("addons", "bad") => Err(format!("there is no `{value}`")),
            _ => Ok(()),
        };
        let found: Vec<String> =
            parse(text, Path::new("/f"), &known).unwrap_err().iter().map(ToString::to_string).collect();
        let begins = [
            "1:8: cpus: ",
            "2:10: driver: there is no `steam`",
            "3:19: addons: there is no `bad`",
            "4:20: images: there is no file /f/app.tar",
            "6:3: manifests: there is no file /f/k8s",
            "10:9: charts: there is no file /f/./db",
            "11:10: charts: there is no file /f/v.yaml",
        ];
        assert!(found.len() == 7 && found.iter().zip(begins).all(|(one, begin)| one.starts_with(begin)), "{found:?}");
    }

    #[test]
    fn every_mistake_has_its_line_and_column() {
        let text = "memroy = \"4g\"\ncpus = \"many\"\n\nports = [\n  \"8080:http\",\n]\ndriver = [\"a\", \"b\"]\n[[charts]]\nnmae = \"db\"\n";
        let found = mistakes(text);
        assert_eq!(found[0], "1:1: memroy: there is no such setting; did you mean `memory`?");
        assert!(found[1].starts_with("2:8: cpus: `many`"), "{found:?}");
        assert!(found[2].starts_with("4:9: ports: `8080:http`"), "{found:?}");
        assert!(found[3].starts_with("7:10: driver: takes one value"), "{found:?}");
        assert!(found.iter().any(|one| one.starts_with("9:1:") && one.contains("did you mean `name`")), "{found:?}");
        assert!(found.iter().any(|one| one.contains("`chart` is missing")), "{found:?}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_where() {
        let found = mistakes("cpus = 2\nmemory = \n[x\n");
        assert!(found.iter().any(|one| one.starts_with("2:")), "{found:?}");
        assert!(found.len() >= 2, "{found:?}");
    }

    #[test]
    fn an_exported_file_asks_for_the_same() {
        let mut wanted = Wanted::named("dev");
        wanted.set("memory", vec!["2g".into()]);
        wanted.set("ports", vec!["8080:80".into()]);
        wanted.charts = Some(vec![Chart { name: "db".into(), chart: "repo/db".into(), ..Chart::default() }]);
        let profile = wanted.resolve(&[]).unwrap();
        let text = export(&profile).unwrap();
        let again = parse(&text, Path::new("/f"), &|_, _| Ok(())).unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
        assert_eq!(again.name, "dev");
        let (same, changes) = again.over(&profile).unwrap();
        assert_eq!(changes, []);
        assert_eq!(same, profile);
    }
}
