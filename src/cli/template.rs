//! `--format`: Go's templates over the fields that a command has.

use crate::charts::template::{self, BUILTINS, Offline, Templates, Value};

/// Why a template cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Template(String),
    #[error("the template names a field that is not there; there are {0}")]
    Unknown(String),
}

/// What Go writes where there is no field of a name.
const MISSING: &str = "<no value>";

/// Executes a template with the fields. Outside of its actions `\\n` and `\\t` are what they are in a string, because a shell
/// does not make them so.
pub fn render(text: &str, fields: &[(&str, String)]) -> Result<String, Error> {
    let failed = |error: template::Error| Error::Template(error.to_string());
    let mut set = Templates::new(|name| BUILTINS.iter().find(|function| function.name == name));
    set.parse("format", text).map_err(failed)?;
    let data = Value::map_from(fields.iter().map(|(name, value)| (*name, Value::from(value.as_str()))));
    let written = set.execute_bytes("format", &data, &Offline).map_err(failed)?;
    let out = String::from_utf8_lossy(&written).into_owned();
    if out.contains(MISSING) {
        let names: Vec<String> = fields.iter().map(|(field, _)| format!("{{{{.{field}}}}}")).collect();
        return Err(Error::Unknown(names.join(", ")));
    }
    Ok(out.replace("\\n", "\n").replace("\\t", "\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_put_in_and_unknown_ones_are_refused() {
        let fields = [("IP", "1.2.3.4".to_string()), ("Port", "80".into())];
        assert_eq!(render("http://{{.IP}}:{{ .Port }}", &fields).unwrap(), "http://1.2.3.4:80");
        assert_eq!(render("plain\\n", &fields).unwrap(), "plain\n");
        assert!(render("{{.Host}}", &fields).unwrap_err().to_string().contains("{{.IP}}, {{.Port}}"));
        assert!(render("{{.IP", &fields).unwrap_err().to_string().contains("unclosed action"));
    }

    #[test]
    fn conditions_and_functions_are_those_of_go() {
        let fields = [("Host", "Running".to_string())];
        assert_eq!(render(r#"{{if eq .Host "Running"}}up{{else}}down{{end}}"#, &fields).unwrap(), "up");
        assert_eq!(render(r#"{{printf "%-9s|" .Host}}{{"\n"}}"#, &fields).unwrap(), "Running  |\n");
    }
}
