//! `--format`: the part of Go's templates that formats of one line use, fields between double braces.

/// Why a template cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the template has `{{{{` without `}}}}`")]
    Open,
    #[error("`{0}` is no field; there are {1}")]
    Unknown(String, String),
}

/// Puts the fields into a template.
pub fn render(template: &str, fields: &[(&str, String)]) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after.split_once("}}").ok_or(Error::Open)?;
        out += before;
        let name = inside.trim_matches(|c: char| c == '-' || c.is_whitespace()).trim_start_matches('.');
        match fields.iter().find(|(field, _)| *field == name) {
            Some((_, value)) => out += value,
            None => {
                let names: Vec<String> = fields.iter().map(|(field, _)| format!("{{{{.{field}}}}}")).collect();
                return Err(Error::Unknown(inside.trim().into(), names.join(", ")));
            }
        }
        rest = behind;
    }
    Ok((out + rest).replace("\\n", "\n").replace("\\t", "\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_put_in_and_unknown_ones_are_named() {
        let fields = [("IP", "1.2.3.4".to_string()), ("Port", "80".into())];
        assert_eq!(render("http://{{.IP}}:{{ .Port }}", &fields).unwrap(), "http://1.2.3.4:80");
        assert_eq!(render("plain", &fields).unwrap(), "plain");
        assert!(render("{{.Host}}", &fields).unwrap_err().to_string().contains("{{.IP}}, {{.Port}}"));
        assert_eq!(render("{{.IP", &fields), Err(Error::Open));
    }
}
