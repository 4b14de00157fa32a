//! Expressions as those who write rules know them.

use super::*;
use serde_json::{Value, json};

fn run(text: &str, own: Value) -> Result<bool, String> {
    let expression = Expression::compile(text, &["self", "oldSelf"])?;
    let mut scope = Scope::default();
    scope.set("self", from_json(&own));
    expression.is_true(&scope)
}

#[test]
fn kubernetes_functions_are_there() {
    for text in [
        "self.list.isSorted() && self.list.sum() == 6 && self.list.min() == 1 && self.list.max() == 3",
        "self.list.indexOf(2) == 1 && self.list.lastIndexOf(9) == -1",
        "self.text.find('[0-9]+') == '12' && self.text.findAll('[a-z]').size() == 4 && self.text.matches('^ab')",
        "self.text.startsWith('ab') && self.text.upperAscii() == 'AB12CD' && self.text.replace('12', '').size() == 4",
        "self.text.split('12').join('-') == 'ab-cd' && '%s-%d'.format(['a', 1]) == 'a-1'",
        "quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('1500m').compareTo(quantity('1.5')) == 0",
        "isQuantity('1Gi') && !isQuantity('odd') && quantity('2').add(quantity('1k')).asInteger() == 1002",
        "url('https://a.example:8080/x?y=1').getHostname() == 'a.example' && isURL('https://a') && !isURL('::')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1')) && ip('::1').family() == 6",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && isCIDR('10.0.0.0/8') && !isIP('10.0.0.0/8')",
        "self.list.all(x, x > 0) && self.list.exists(x, x == 2) && self.list.map(x, x * 2)[0] == 2",
        "self.list.filter(x, x > 1).size() == 2 && has(self.text) && !has(self.other)",
        "self.?other.orValue('none') == 'none'",
        "!format.dns1123Label().validate('a-b').hasValue() && format.dns1123Label().validate('A').value().size() == 1",
        "format.named('uuid').value().validate('x').value()[0] == 'does not match the UUID format'",
        "!format.named('x').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()",
        "!format.date().validate('2026-01-31').hasValue() && format.byte().validate('?').value() == ['invalid base64']",
    ] {
        assert_eq!(run(text, json!({"list": [1, 2, 3], "text": "ab12cd"})), Ok(true), "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused_before_it_is_run() {
    for (text, words) in [
        ("self.", "compilation failed: "),
        ("other == 1", "compilation failed: undeclared reference to 'other' (in container '')"),
    ] {
        let error = run(text, json!({})).unwrap_err();
        assert!(error.starts_with(words), "{text}: {error}");
    }
}

#[test]
fn texts_with_a_format_are_times_durations_and_bytes() {
    let formatted = |format: &str| json!({"type": "string", "format": format});
    let schema = json!({"type": "object", "properties": {
        "at": formatted("date-time"), "day": formatted("date"), "wait": formatted("duration"), "data": formatted("byte"),
    }});
    let own = json!({"at": "2026-11-26T16:00:00Z", "day": "2026-11-25", "wait": "1h30m", "data": "YWI="});
    for text in [
        "self.at > timestamp('2026-01-01T00:00:00Z') && self.at - self.day == duration('40h')",
        "self.at.getFullYear() == 2026 && self.day.getDayOfMonth() == 24",
        "self.wait >= duration('90m') && self.wait.getMinutes() == 90 && duration('-1s') < self.wait",
        "self.data == b'ab' && self.data.size() == 2",
    ] {
        let expression = Expression::compile(text, &["self"]).unwrap();
        let mut scope = Scope::default();
        scope.set("self", from_schema(&own, &schema));
        assert_eq!(expression.is_true(&scope), Ok(true), "{text}");
    }
}

#[test]
fn expressions_that_are_too_deep_are_refused_and_others_can_be_run() {
    for part in ["+1", ".a", "[0]", " || self", "? self : self"] {
        for count in [99, 150, 2000, 8000 / part.len()] {
            let text = format!("self{}", part.repeat(count));
            if text.len() > LONGEST {
                continue;
            }
            if let Ok(expression) = Expression::compile(&text, &["self"]) {
                assert!(part != "+1" || count < DEEPEST, "{count}");
                let mut scope = Scope::default();
                scope.set("self", from_json(&json!(1)));
                // Whatever comes of it, it ends.
                drop(expression.run(&scope));
            }
        }
    }
    let words = "compilation failed: expression recursion limit exceeded: 100";
    assert_eq!(Expression::compile(&format!("1{}", "+1".repeat(8000)), &[]).unwrap_err(), words);
}

#[test]
fn no_expression_keeps_the_server_busy() {
    let many: Vec<u32> = (0..200).collect();
    let limit = "operation cancelled: actual cost limit exceeded";
    for text in [
        "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))",
        "self.map(a, self.map(b, self.map(c, self.map(d, a)))).size() == 1",
        "self.exists(a, self.exists(b, self.exists(c, self.filter(d, d < 0).size() > 0)))",
    ] {
        let started = std::time::Instant::now();
        assert_eq!(run(text, json!(many)), Err(limit.into()), "{text}");
        assert!(started.elapsed() < std::time::Duration::from_secs(30));
    }
}

#[test]
fn fields_are_known_by_names_that_can_be_written() {
    assert_eq!(value::escaped("a.b-c/d__e").as_deref(), Some("a__dot__b__dash__c__slash__d__underscores__e"));
    assert_eq!(value::escaped("namespace").as_deref(), Some("__namespace__"));
    assert_eq!(value::escaped("ä"), None);
}

#[test]
fn fields_that_a_schema_lacks_are_found() {
    let schema = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "object",
        "properties": {"name": {"type": "string"}}}}, "map": {"type": "object", "additionalProperties": {"type": "string"}}}});
    let unknown =
        |text: &str| shape::unknown_field(Expression::compile(text, &["self", "oldSelf"]).unwrap().parsed(), &schema);
    assert_eq!(unknown("self.list.all(x, x.name != '') && self.map.any == 'a' && self.metadata.name != ''"), None);
    assert_eq!(unknown("self.lost == 1").as_deref(), Some("undefined field 'lost'"));
    assert_eq!(unknown("self.list.exists(x, x.size == 1)").as_deref(), Some("undefined field 'size'"));
}
