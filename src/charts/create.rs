//! A new chart to start from: a web server with everything that most charts have.

use super::chart::{Chart, File};
use super::values::load_values;
use super::{Error, decode, package};
use std::path::{Path, PathBuf};

const LONGEST_NAME: usize = 250;
/// What stands for the chart's name in the files.
const NAME: &str = "<CHARTNAME>";

/// The files of a new chart.
const STARTER: &[(&str, &str)] = &[
    ("Chart.yaml", include_str!("starter/Chart.yaml")),
    ("values.yaml", include_str!("starter/values.yaml")),
    (".helmignore", include_str!("starter/helmignore")),
    ("templates/ingress.yaml", include_str!("starter/ingress.yaml")),
    ("templates/httproute.yaml", include_str!("starter/httproute.yaml")),
    ("templates/deployment.yaml", include_str!("starter/deployment.yaml")),
    ("templates/service.yaml", include_str!("starter/service.yaml")),
    ("templates/serviceaccount.yaml", include_str!("starter/serviceaccount.yaml")),
    ("templates/hpa.yaml", include_str!("starter/hpa.yaml")),
    ("templates/NOTES.txt", include_str!("starter/NOTES.txt")),
    ("templates/_helpers.tpl", include_str!("starter/helpers.tpl")),
    ("templates/tests/test-connection.yaml", include_str!("starter/test-connection.yaml")),
];

/// Makes a chart's folder in `folder`, or fills it up; `say` is told what is overwritten.
pub fn create(name: &str, folder: &Path, say: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    check_name(name)?;
    let folder = std::path::absolute(folder).map_err(|error| Error::io("getwd", folder, &error))?;
    let folder = PathBuf::from(super::chart::archive::clean(&folder.to_string_lossy()));
    let found = std::fs::metadata(&folder).map_err(|error| Error::io("stat", &folder, &error))?;
    if !found.is_dir() {
        return Err(Error::Chart(format!("no such directory {}", folder.display())));
    }
    let path = folder.join(name);
    if path.exists() && !path.is_dir() {
        return Err(Error::Chart(format!("file {} already exists and is not a directory", path.display())));
    }
    let files: Vec<File> =
        STARTER.iter().map(|(file, text)| File::new(*file, text.replace(NAME, name).as_bytes(), 0)).collect();
    for file in files.iter().map(|file| path.join(&file.name)).filter(|file| file.exists()) {
        say(&format!("WARNING: File {:?} already exists. Overwriting.", file.display().to_string()));
    }
    package::write_files(&path, &files)?;
    let charts = path.join("charts");
    std::fs::create_dir_all(&charts).map_err(|error| Error::io("mkdir", &charts, &error))?;
    Ok(path)
}

/// Makes a chart's folder out of another chart, in whose files `<CHARTNAME>` stands for the name.
pub fn create_from(name: &str, folder: &Path, starter: &Path) -> Result<PathBuf, Error> {
    check_name(name)?;
    let mut chart =
        Chart::load(starter).map_err(|error| Error::Chart(format!("could not load {}: {error}", starter.display())))?;
    chart.metadata = super::chart::Metadata {
        api_version: "v2".into(),
        name: name.into(),
        description: "A Helm chart for Kubernetes".into(),
        kind: "application".into(),
        version: "0.1.0".into(),
        app_version: "0.1.0".into(),
        ..Default::default()
    };
    let changed = |file: &File| File::new(file.name.clone(), file.text().replace(NAME, name).as_bytes(), file.modified);
    // A problem of the values is told before anything is written.
    let values = chart.raw_file("values.yaml").map(changed);
    if let Some(file) = &values {
        load_values(&file.data).map_err(|problem| Error::Chart(format!("transforming values file: {problem}")))?;
    }
    let metadata = serde_json::to_value(&chart.metadata).map_err(|error| Error::Chart(error.to_string()))?;
    let mut files = vec![File::new("Chart.yaml", decode::to_yaml(&metadata).as_bytes(), 0)];
    files.extend(values);
    files.extend(chart.schema.as_ref().map(|schema| File::new("values.schema.json", schema.text(), 0)));
    files.extend(chart.templates.iter().map(changed));
    files.extend(chart.files.iter().cloned());
    let path = folder.join(name);
    package::write_files(&path, &files)?;
    for subchart in &chart.dependencies {
        package::save(subchart, &path.join("charts"))?;
    }
    Ok(path)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::Chart(format!("chart name must be between 1 and {LONGEST_NAME} characters")));
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name == "." || name == ".." || !name.bytes().all(word) {
        return Err(Error::Chart("chart name must match the regular expression \"^[a-zA-Z0-9._-]+$\"".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::{Capabilities, Offline, ReleaseOptions, values::Map};

    #[test]
    fn a_new_chart_renders_and_passes_lint() {
        let folder = tempfile::tempdir().unwrap();
        let path = create("my-app", folder.path(), &|_| {}).unwrap();
        let messages = crate::charts::lint::lint(&path, &Map::new(), &Default::default(), |_| {}).unwrap();
        let told: Vec<String> = messages.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["[INFO] Chart.yaml: icon is recommended"]);
        let all = "ingress: {enabled: true, className: x, tls: [{secretName: s, hosts: [h]}]}\nautoscaling: {enabled: \
                   true}\nhttpRoute: {enabled: true}\n";
        for given in ["", all] {
            let mut chart = Chart::load(&path).unwrap();
            let given = load_values(given.as_bytes()).unwrap();
            let options = ReleaseOptions::default();
            let rendered =
                crate::charts::render(&mut chart, &given, &options, &Capabilities::default(), &Offline).unwrap();
            assert!(rendered.notes.contains("release-name-my-app"));
            assert_eq!(rendered.hooks.len(), 1);
            let kinds: Vec<&str> = rendered.manifests.iter().map(|one| one.kind.as_str()).collect();
            assert!(kinds.starts_with(&["ServiceAccount", "Service", "Deployment"]), "{kinds:?}");
        }
    }

    #[test]
    fn names_that_are_no_folder_are_refused() {
        for name in ["", "a/b", "..", "a b"] {
            assert!(create(name, Path::new("."), &|_| {}).is_err(), "{name}");
        }
    }
}
