//! References to variables in text: `$(NAME)`. Source of the syntax: k8s.io/kubernetes third_party/forked/golang/expansion.

/// `text` with every `$(NAME)` that `find` knows replaced; others stay as they are, and `$$` is one `$`.
pub fn expand(text: &str, find: impl Fn(&str) -> Option<String>) -> String {
    replace(text, |name| find(name).unwrap_or_else(|| format!("$({name})")))
}

/// As [`expand`], but an unknown name is an error: the name.
pub fn expand_known(text: &str, find: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut missing = None;
    let expanded = replace(text, |name| {
        find(name).unwrap_or_else(|| {
            missing.get_or_insert_with(|| name.to_string());
            String::new()
        })
    });
    match missing {
        Some(name) => Err(name),
        None => Ok(expanded),
    }
}

fn replace(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('(') {
            match inner.find(')') {
                Some(end) => {
                    out += &value(&inner[..end]);
                    rest = &inner[end + 1..];
                }
                None => out.push('$'),
            }
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced_and_others_stay() {
        let find = |name: &str| (name == "A").then(|| "one".to_string());
        for (text, expected) in [
            ("$(A)-$(B)", "one-$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$A $(A", "$A $(A"),
            ("$", "$"),
            ("$()", "$()"),
            ("é$(A)", "éone"),
        ] {
            assert_eq!(expand(text, find), expected, "{text}");
        }
        assert_eq!(expand_known("$(A)/$(B)", find), Err("B".into()));
    }
}
