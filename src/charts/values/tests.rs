//! Merging and coalescing, after the tables of Helm's own tests, as facts.

use super::*;
use crate::charts::chart::Chart;
use serde_json::json;

fn map(value: Value) -> Map {
    match value {
        Value::Object(table) => table,
        other => panic!("{other} is no table"),
    }
}

fn chart(name: &str, values: Value, dependencies: Vec<Chart>) -> Chart {
    let mut chart = Chart { values: map(values), dependencies, ..Chart::default() };
    chart.metadata.name = name.into();
    chart
}

fn coalesced(chart: &Chart, given: Value) -> Value {
    Value::Object(coalesce(chart, map(given), &mut Warnings::new()).unwrap())
}

#[test]
fn given_values_win_and_null_takes_a_default_away() {
    let chart = chart("a", json!({"x": 1.0, "y": {"z": 1.0, "w": 2.0}, "n": null, "t": {"k": null, "l": 1.0}}), vec![]);
    assert_eq!(
        coalesced(&chart, json!({"x": null, "y": {"z": null}, "more": null})),
        json!({"y": {"w": 2.0}, "more": null, "t": {"l": 1.0}})
    );
    assert_eq!(coalesced(&chart, json!({"y": 5})), json!({"x": 1.0, "y": 5, "t": {"l": 1.0}}));
}

#[test]
fn subcharts_are_filled_below_their_names_and_globals_go_down() {
    let inner = chart("inner", json!({"port": 80.0, "global": {"own": true, "shared": "inner"}}), vec![]);
    let outer =
        chart("outer", json!({"inner": {"port": 8080.0}, "global": {"shared": "outer", "t": {"a": 1.0}}}), vec![inner]);
    assert_eq!(
        coalesced(&outer, json!({"global": {"t": {"b": 2}}})),
        json!({
            "global": {"shared": "outer", "t": {"a": 1.0, "b": 2}},
            "inner": {"port": 8080.0, "global": {"own": true, "shared": "outer", "t": {"a": 1.0, "b": 2}}},
        })
    );
}

#[test]
fn a_given_null_takes_a_subcharts_default_away_and_one_of_the_parents_file_does_not() {
    let inner = chart("inner", json!({"a": 1.0, "b": {"c": 1.0, "d": 2.0}}), vec![]);
    let outer = chart("outer", json!({"inner": {"b": {"c": null}}}), vec![inner]);
    assert_eq!(coalesced(&outer, json!({})), json!({"inner": {"a": 1.0, "b": {"c": 1.0, "d": 2.0}, "global": {}}}));
    assert_eq!(
        coalesced(&outer, json!({"inner": {"b": {"c": null}}})),
        json!({"inner": {"a": 1.0, "b": {"d": 2.0}, "global": {}}})
    );
}

#[test]
fn merging_keeps_nulls() {
    let inner = chart("inner", json!({"a": 1.0, "b": null}), vec![]);
    let outer = chart("outer", json!({"x": null, "inner": {"a": null}}), vec![inner]);
    let merged = merge_chart(&outer, Map::new(), &mut Warnings::new()).unwrap();
    assert_eq!(Value::Object(merged), json!({"x": null, "inner": {"a": null, "b": null, "global": {}}}));
}

#[test]
fn tables_and_other_values_do_not_mix() {
    let chart = chart("a", json!({"t": {"x": {"y": 1.0}}, "s": {"p": 1.0}}), vec![]);
    let mut warnings = Warnings::new();
    let given = map(json!({"t": {"x": 5}, "s": {"p": {"q": 1}}}));
    let values = coalesce(&chart, given, &mut warnings).unwrap();
    assert_eq!(Value::Object(values), json!({"t": {"x": 5}, "s": {"p": {"q": 1}}}));
    assert_eq!(
        warnings.iter().map(Warning::text).collect::<Vec<_>>(),
        [
            "warning: destination for a.s.p is a table. Ignoring non-table value (1)",
            "warning: cannot overwrite table with non table for a.t.x (map[y:1])",
        ]
    );
    let outer = super::tests::chart("outer", json!({}), vec![chart]);
    let problem = coalesce(&outer, map(json!({"a": "x"})), &mut Warnings::new()).unwrap_err();
    assert_eq!(problem, "type mismatch on a: %!t(string=x)");
    let given = map(json!({"a": [true, null, [1.0], {"b": "c", "d": {"e": false}}]}));
    let problem = coalesce(&outer, given, &mut Warnings::new()).unwrap_err();
    let inner = "map[%!t(string=b):%!t(string=c) %!t(string=d):map[%!t(string=e):false]]";
    assert_eq!(problem, format!("type mismatch on a: [true <nil> [%!t(float64=1)] {inner}]"));
}

#[test]
fn flags_are_merged_in_helms_order() {
    let files = |name: &str| match name {
        "a.yaml" => Ok(b"x: 1\nt: {a: 1, b: 2}\n---\n# second\nx: 2\n".to_vec()),
        "-" => Ok(b"t: {b: 3}".to_vec()),
        "file.txt" => Ok(b"text\n".to_vec()),
        name => Err(format!("open {name}: no such file or directory")),
    };
    let flags = ValueFlags {
        files: vec!["a.yaml".into(), "-".into()],
        json: vec!["t.c=[1]".into(), "{\"j\": {\"k\": 1}}".into()],
        set: vec!["x=3".into()],
        text: vec!["s=1".into()],
        from_file: vec!["f=file.txt".into()],
        literal: vec!["l=a,b".into()],
    };
    let values = Value::Object(merge(&flags, &files).unwrap());
    let wanted = json!({
        "x": 3, "t": {"a": 1.0, "b": 3.0, "c": [1.0]}, "j": {"k": 1.0}, "s": "1", "f": "text\n", "l": "a,b",
    });
    assert_eq!(values, wanted);
    let problem = |flags: ValueFlags| merge(&flags, &files).unwrap_err().to_string();
    let set = |text: &str| ValueFlags { set: vec![text.into()], ..ValueFlags::default() };
    assert_eq!(problem(set("a")), "failed parsing --set data: key \"a\" has no value");
    let json = ValueFlags { json: vec!["{x".into()], ..ValueFlags::default() };
    assert_eq!(problem(json), "failed parsing --set-json data JSON: {x");
    let missing = ValueFlags { files: vec!["no.yaml".into()], ..ValueFlags::default() };
    assert_eq!(problem(missing), "open no.yaml: no such file or directory");
}

#[test]
fn whole_floats_are_written_whole() {
    let value = json!({"a": 1.0, "b": [1.5, 1e6], "c": {"d": 12345678901234567890.0}, "e": 7});
    assert_eq!(plain(&value).to_string(), r#"{"a":1,"b":[1.5,1000000],"c":{"d":12345678901234567000},"e":7}"#);
    assert_eq!(go_display(&json!({"a": [1.0, null, true, "x"], "b": 1e21})), "map[a:[1 <nil> true x] b:1e+21]");
}

#[test]
fn paths_lead_to_tables_and_values() {
    let values = map(json!({"a": {"b": {"c": true}}}));
    assert_eq!(at_path(&values, "a.b.c"), Some(&json!(true)));
    assert_eq!(at_path(&values, "a.b"), None);
    assert!(table(&values, "a.b").is_some());
    assert!(table(&values, "a.x").is_none());
}

#[test]
fn globals_that_are_no_table_leave_a_subchart_as_it_is() {
    let inner = chart("inner", json!({"global": "own"}), vec![]);
    let outer = chart("outer", json!({"global": "x"}), vec![inner]);
    assert_eq!(coalesced(&outer, json!({})), json!({"global": "x", "inner": {"global": "own"}}));
}

#[test]
fn warnings_are_written_as_gos_log_writes_them() {
    let warning = Warning::warn("a b").with("plain", "é/x").with("path", "a b").with("error", "\"x\" is not");
    assert_eq!(warning.to_string(), r#"level=WARN msg="a b" plain=é/x path="a b" error="\"x\" is not""#);
}

#[test]
fn documents_begin_where_kubernetes_lets_them_begin() {
    let cut = |text| documents(text).into_iter().collect::<Result<Vec<_>, _>>();
    assert_eq!(cut("---\na: 1\n--- # x\nb: 2").unwrap(), ["---\na: 1\n", "b: 2"]);
    assert_eq!(cut("a: 1\n---\n---\nb: 2\n---\n").unwrap(), ["a: 1\n", "---\nb: 2\n"]);
    assert!(cut("").unwrap().is_empty());
    let told = load_values(b"a: 1\n--- b: 2\n").unwrap_err();
    assert_eq!(told, "error reading yaml document: invalid Yaml document separator: b: 2");
    let told = load_values(b"---\na: 1\nb: c: d\n").unwrap_err();
    assert!(told.ends_with("yaml: line 3: mapping values are not allowed in this context"), "{told}");
}
