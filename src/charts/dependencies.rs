//! Which subcharts take part, under which names, and what they hand up.
//!
//! Source of the rules: Helm `pkg/chart/v2/util/dependencies.go`. Conditions win over tags; an alias makes a copy of the
//! subchart; `import-values` takes tables of a subchart into the parent's own values.

use super::chart::{Chart, Dependency};
use super::values::{self, Map, Value, Warning, Warnings, go_display};
use super::{Error, version};

/// How many tables deep values may be handed up.
const DEEPEST: usize = 1000;

/// Prepares a chart for rendering with the values that were given: subcharts that are switched off are taken out,
/// aliases get their names, imported values their place.
pub fn process(chart: &mut Chart, given: &Map, warnings: &mut Warnings) -> Result<(), Error> {
    enable(chart, given, "", warnings).map_err(Error::Values)?;
    import(chart, warnings).map_err(Error::Values)
}

/// The dependencies that `Chart.yaml` names and that are not in `charts/`.
pub fn check(chart: &Chart) -> Result<(), Error> {
    let there = |wanted: &&Dependency| chart.dependencies.iter().any(|subchart| subchart.name() == wanted.name);
    let wanted = chart.metadata.dependencies.iter();
    let missing: Vec<&str> = wanted.filter(|wanted| !there(wanted)).map(|wanted| wanted.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(Error::Chart(format!("found in Chart.yaml, but missing in charts/ directory: {missing}")))
}

fn fits(wanted: &Dependency, chart: &Chart) -> bool {
    chart.name() == wanted.name && version::is_compatible(&wanted.version, &chart.metadata.version)
}

fn enable(chart: &mut Chart, given: &Map, path: &str, warnings: &mut Warnings) -> Result<(), String> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    rename(chart);
    let values = values::coalesce(chart, given.clone(), warnings)?;
    let wanted = &mut chart.metadata.dependencies;
    for dependency in wanted.iter_mut() {
        dependency.enabled = true;
        by_tags(dependency, &values, warnings);
        by_condition(dependency, &values, path, warnings);
    }
    let off: Vec<String> = wanted.iter().filter(|one| !one.enabled).map(|one| one.name.clone()).collect();
    wanted.retain(|one| !off.contains(&one.name));
    chart.dependencies.retain(|subchart| !off.iter().any(|name| name == subchart.name()));
    for subchart in &mut chart.dependencies {
        let path = format!("{path}{}.", subchart.name());
        enable(subchart, &values, &path, warnings)?;
    }
    Ok(())
}

/// Gives each dependency its chart, by alias if it has one; charts that nobody names stay as they are, in front.
fn rename(chart: &mut Chart) {
    let there = std::mem::take(&mut chart.dependencies);
    let wanted = &mut chart.metadata.dependencies;
    let unnamed = there.iter().filter(|subchart| !wanted.iter().any(|one| fits(one, subchart)));
    let mut kept: Vec<Chart> = unnamed.cloned().collect();
    for dependency in wanted {
        if let Some(found) = there.iter().find(|subchart| fits(dependency, subchart)) {
            let mut copy = found.clone();
            if !dependency.alias.is_empty() {
                copy.metadata.name = dependency.alias.clone();
            }
            kept.push(copy);
        }
        if !dependency.alias.is_empty() {
            dependency.name = dependency.alias.clone();
        }
    }
    chart.dependencies = kept;
}

/// Something is no boolean that switches a subchart.
fn odd() -> Warning {
    Warning::warn("returned non-bool value")
}

fn by_tags(dependency: &mut Dependency, values: &Map, warnings: &mut Warnings) {
    let Some(tags) = values::table(values, "tags") else { return };
    let (mut on, mut off) = (false, false);
    for tag in &dependency.tags {
        match tags.get(tag) {
            Some(Value::Bool(true)) => on = true,
            Some(Value::Bool(false)) => off = true,
            Some(_) => warnings.push(odd().with("tag", tag).with("chart", &dependency.name)),
            None => {}
        }
    }
    dependency.enabled = on || !off;
}

fn by_condition(dependency: &mut Dependency, values: &Map, path: &str, warnings: &mut Warnings) {
    for condition in dependency.condition.trim().split(',').filter(|condition| !condition.is_empty()) {
        match values::at_path(values, &format!("{path}{condition}")) {
            Some(Value::Bool(enabled)) => {
                dependency.enabled = *enabled;
                return;
            }
            Some(_) => warnings.push(odd().with("path", condition).with("chart", &dependency.name)),
            None => {}
        }
    }
}

fn import(chart: &mut Chart, warnings: &mut Warnings) -> Result<(), String> {
    for subchart in &mut chart.dependencies {
        import(subchart, warnings)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let mut merged = values::merge_chart(chart, Map::new(), warnings)?;
    let mut imported = Map::new();
    for dependency in &mut chart.metadata.dependencies {
        for wanted in &mut dependency.import_values {
            let Some((child, parent)) = paths(wanted) else { continue };
            if parent.split('.').count() > DEEPEST {
                return Err(format!("import-values of {}: a parent of more than {DEEPEST} names", dependency.name));
            }
            let is_export = wanted.is_string();
            *wanted = serde_json::json!({"child": child, "parent": parent});
            let path = format!("{}.{child}", dependency.name);
            match values::table(&merged, &path) {
                Some(table) => values::tables(&mut imported, &nested(&parent, table), true, warnings),
                None => {
                    let why = format!("{:?} is not a table", missing(&merged, &path));
                    let warning = if is_export {
                        Warning::warn("ImportValues missing table")
                    } else {
                        Warning::warn("ImportValues missing table from chart").with("chart", &dependency.name)
                    };
                    warnings.push(warning.with("error", &why));
                }
            }
        }
    }
    values::tables(&mut merged, &imported, true, warnings);
    chart.values = merged;
    Ok(())
}

/// The first name of a path that leads to no table.
fn missing<'p>(values: &Map, path: &'p str) -> &'p str {
    let mut table = Some(values);
    path.split('.')
        .find(|name| {
            table = table.and_then(|table| table.get(*name)).and_then(Value::as_object);
            table.is_none()
        })
        .unwrap_or(path)
}

/// Where an entry of `import-values` takes from and puts to.
fn paths(wanted: &Value) -> Option<(String, String)> {
    match wanted {
        Value::String(name) => Some((format!("exports.{name}"), ".".into())),
        Value::Object(entry) => {
            let part = |name: &str| entry.get(name).map_or("<nil>".into(), go_display);
            Some((part("child"), part("parent")))
        }
        _ => None,
    }
}

/// The table below a path of names; `.` is the top.
fn nested(path: &str, table: &Map) -> Map {
    if path == "." {
        return table.clone();
    }
    path.rsplit('.').fold(table.clone(), |inner, name| Map::from_iter([(name.to_string(), Value::Object(inner))]))
}
