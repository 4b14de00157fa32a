//! What a cluster's life says, in the user's language where that is known here: a table, and the language of the environment.
//! Data, events and errors are for programs too and stay as they are.

use std::sync::OnceLock;

/// What is said, and how the French say it. A `{}` stands for a name or a number.
const FRENCH: &[(&str, &str)] = &[
    ("using the driver {}", "Utilisation du pilote {}"),
    ("preparing the node", "Préparation du nœud"),
    ("making the node's image", "Création de l'image du nœud"),
    ("starting the node", "Démarrage du nœud"),
    ("starting the node's container", "Démarrage du conteneur du nœud"),
    ("waiting for the cluster", "Attente du cluster"),
    ("enabling addons", "Activation des modules"),
    ("loading {}", "Chargement de {}"),
    ("pulling {}", "Téléchargement de {}"),
    ("applying {}", "Application de {}"),
    ("installing the chart {}", "Installation du chart {}"),
    ("certificates had expired and were made anew", "Les certificats avaient expiré et ont été renouvelés"),
    ("`{}` is ready after {} s; kubectl uses it by default", "`{}` est prêt après {} s ; kubectl l'utilise par défaut"),
    ("`{}` is ready after {} s", "`{}` est prêt après {} s"),
    ("`{}` is running already; nothing was changed", "`{}` fonctionne déjà ; rien n'a été modifié"),
    (
        "The running cluster does not require reconfiguration",
        "Le cluster en cours d'exécution ne nécessite pas de reconfiguration",
    ),
    ("`{}` is running and was changed", "`{}` fonctionne et a été modifié"),
    ("nothing was changed (--dry-run)", "rien n'a été modifié (--dry-run)"),
    (
        "there is nothing to download, and nothing was started (--download-only)",
        "il n'y a rien à télécharger, et rien n'a été démarré (--download-only)",
    ),
    ("next: {}", "ensuite : {}"),
    ("stopping `{}`", "Arrêt de `{}`"),
    ("stopping the node", "Arrêt du nœud"),
    ("powering off", "Mise hors tension"),
    ("`{}` stopped", "`{}` est arrêté"),
    ("`{}` was not running", "`{}` n'était pas en cours d'exécution"),
    ("deleting `{}`", "Suppression de `{}`"),
    ("`{}` is gone", "`{}` a été supprimé"),
    ("pausing `{}`", "Mise en pause de `{}`"),
    ("`{}` is paused", "`{}` est en pause"),
    ("`{}` is paused already", "`{}` est déjà en pause"),
    ("unpausing `{}`", "Reprise de `{}`"),
    ("`{}` goes on", "`{}` continue"),
    ("keeping what the node has to tell", "Conservation des journaux du nœud"),
];

/// Languages other than English, by the code that begins the name of a locale.
const LANGUAGES: &[(&str, &[(&str, &str)])] = &[("fr", FRENCH)];

/// A line of talk as the user is to read it.
pub fn translated(text: &str) -> String {
    static TABLE: OnceLock<Option<&[(&str, &str)]>> = OnceLock::new();
    let table = TABLE.get_or_init(|| of_locale(&locale()));
    table.and_then(|table| find(table, text)).unwrap_or_else(|| text.to_string())
}

/// The locale of messages, as POSIX chooses it (XBD 8.2).
fn locale() -> String {
    let named = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    named.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
}

fn of_locale(locale: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
    LANGUAGES.iter().find(|(code, _)| *code == language).map(|(_, table)| *table)
}

fn find(table: &[(&str, &str)], text: &str) -> Option<String> {
    table.iter().find_map(|(from, to)| Some(filled(to, &captured(from, text)?)))
}

/// What stands in a text where the pattern has `{}`; nothing if the text is another one.
fn captured<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split("{}");
    let mut rest = text.strip_prefix(pieces.next()?)?;
    let mut found = Vec::new();
    for piece in pieces {
        let end = if piece.is_empty() { rest.len() } else { rest.find(piece)? };
        found.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    rest.is_empty().then_some(found)
}

fn filled(pattern: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut pieces = pattern.split("{}");
    let mut out = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        out += values.next().copied().unwrap_or_default();
        out += piece;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_kept() {
        let french = of_locale("fr_CA.UTF-8").unwrap();
        let said = |text: &str| find(french, text);
        assert_eq!(said("using the driver native").as_deref(), Some("Utilisation du pilote native"));
        assert_eq!(said("`two` is ready after 0.24 s").as_deref(), Some("`two` est prêt après 0.24 s"));
        assert_eq!(said("something else"), None);
        assert!(of_locale("C").is_none() && of_locale("").is_none() && of_locale("friesland").is_none());
    }

    #[test]
    fn both_sides_of_a_table_name_the_same() {
        for (from, to) in LANGUAGES.iter().flat_map(|(_, table)| table.iter()) {
            assert_eq!(from.matches("{}").count(), to.matches("{}").count(), "{from}");
        }
    }
}
