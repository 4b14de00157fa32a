//! The drafts of JSON Schema: what each calls things, where it keeps schemas in schemas, and its schema of schemas.
//!
//! The documents in `drafts/` are the specification's own.

/// One draft.
#[derive(Debug)]
pub struct Draft {
    /// Its number, or its year since 2019.
    pub version: u32,
    /// Where its schema of schemas is.
    pub url: &'static str,
    /// What it calls the address of a schema.
    pub id: &'static str,
    /// How addresses of its vocabularies begin.
    pub vocabulary: &'static str,
    /// Its vocabularies, and those that hold where nothing else is said.
    vocabularies: &'static [&'static str],
    defaults: &'static [&'static str],
}

/// Where a rule keeps schemas.
#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    /// The rule is one.
    One,
    /// Every member of its list.
    Items,
    /// Every member of its table.
    Members,
}

/// Rules that hold schemas, and the draft that brought them.
const PLACES: &[(u32, &str, Place)] = &[
    (4, "definitions", Place::Members),
    (4, "not", Place::One),
    (4, "allOf", Place::Items),
    (4, "anyOf", Place::Items),
    (4, "oneOf", Place::Items),
    (4, "properties", Place::Members),
    (4, "additionalProperties", Place::One),
    (4, "patternProperties", Place::Members),
    (4, "items", Place::One),
    (4, "items", Place::Items),
    (4, "additionalItems", Place::One),
    (4, "dependencies", Place::Members),
    (6, "propertyNames", Place::One),
    (6, "contains", Place::One),
    (7, "if", Place::One),
    (7, "then", Place::One),
    (7, "else", Place::One),
    (2019, "$defs", Place::Members),
    (2019, "dependentSchemas", Place::Members),
    (2019, "unevaluatedProperties", Place::One),
    (2019, "unevaluatedItems", Place::One),
    (2019, "contentSchema", Place::One),
    (2020, "prefixItems", Place::Items),
];

const fn old(version: u32, url: &'static str, id: &'static str) -> Draft {
    Draft { version, url, id, vocabulary: "", vocabularies: &[], defaults: &[] }
}

static DRAFTS: [Draft; 5] = [
    old(4, "http://json-schema.org/draft-04/schema", "id"),
    old(6, "http://json-schema.org/draft-06/schema", "$id"),
    old(7, "http://json-schema.org/draft-07/schema", "$id"),
    Draft {
        version: 2019,
        url: "https://json-schema.org/draft/2019-09/schema",
        id: "$id",
        vocabulary: "https://json-schema.org/draft/2019-09/vocab/",
        vocabularies: &["core", "applicator", "validation", "meta-data", "format", "content"],
        defaults: &["core", "applicator", "validation"],
    },
    Draft {
        version: 2020,
        url: "https://json-schema.org/draft/2020-12/schema",
        id: "$id",
        vocabulary: "https://json-schema.org/draft/2020-12/vocab/",
        vocabularies: &[
            "core",
            "applicator",
            "unevaluated",
            "validation",
            "meta-data",
            "format-annotation",
            "format-assertion",
            "content",
        ],
        defaults: &["core", "applicator", "unevaluated", "validation"],
    },
];

/// The newest draft, which holds where a schema names none.
pub fn newest() -> &'static Draft {
    &DRAFTS[4]
}

/// The draft that a `$schema` names.
pub fn named(uri: &str) -> Option<&'static Draft> {
    let (address, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let place = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://")).unwrap_or(address);
    match place {
        _ if !fragment.is_empty() => None,
        "json-schema.org/schema" => Some(newest()),
        place => DRAFTS.iter().find(|draft| draft.url.split_once("://").is_some_and(|(_, known)| known == place)),
    }
}

impl Draft {
    /// The rules of this draft that hold schemas.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Place)> {
        PLACES.iter().filter(|(since, ..)| *since <= self.version).map(|(_, rule, place)| (*rule, *place))
    }

    /// Whether a vocabulary exists, or holds where nothing else is said.
    pub fn has(&self, vocabulary: &str) -> bool {
        self.vocabularies.contains(&vocabulary)
    }

    /// Whether a vocabulary holds where nothing else is said.
    pub fn assumes(&self, vocabulary: &str) -> bool {
        self.version < 2019 || self.defaults.contains(&vocabulary)
    }

    /// Where the schema of a vocabulary is.
    pub fn vocabulary_url(&self, vocabulary: &str) -> String {
        format!("{}meta/{vocabulary}", self.url.trim_end_matches("schema"))
    }
}

macro_rules! documents {
    ($($path:literal $file:literal)*) => {
        &[$(($path, include_str!(concat!("drafts/", $file, ".json")))),*]
    };
}

/// The schemas of schemas, by where they are on their server.
const DOCUMENTS: &[(&str, &str)] = documents! {
    "draft-04/schema" "draft-04-schema"
    "draft-06/schema" "draft-06-schema"
    "draft-07/schema" "draft-07-schema"
    "draft/2019-09/schema" "draft-2019-09-schema"
    "draft/2019-09/meta/applicator" "draft-2019-09-meta-applicator"
    "draft/2019-09/meta/content" "draft-2019-09-meta-content"
    "draft/2019-09/meta/core" "draft-2019-09-meta-core"
    "draft/2019-09/meta/format" "draft-2019-09-meta-format"
    "draft/2019-09/meta/meta-data" "draft-2019-09-meta-meta-data"
    "draft/2019-09/meta/validation" "draft-2019-09-meta-validation"
    "draft/2020-12/schema" "draft-2020-12-schema"
    "draft/2020-12/meta/applicator" "draft-2020-12-meta-applicator"
    "draft/2020-12/meta/content" "draft-2020-12-meta-content"
    "draft/2020-12/meta/core" "draft-2020-12-meta-core"
    "draft/2020-12/meta/format-annotation" "draft-2020-12-meta-format-annotation"
    "draft/2020-12/meta/format-assertion" "draft-2020-12-meta-format-assertion"
    "draft/2020-12/meta/meta-data" "draft-2020-12-meta-meta-data"
    "draft/2020-12/meta/unevaluated" "draft-2020-12-meta-unevaluated"
    "draft/2020-12/meta/validation" "draft-2020-12-meta-validation"
};

/// The specification's own server; what lies there is not held against a schema of schemas.
pub fn is_specification(url: &str) -> bool {
    place(url).is_some()
}

fn place(url: &str) -> Option<&str> {
    url.strip_prefix("http://json-schema.org/").or_else(|| url.strip_prefix("https://json-schema.org/"))
}

/// A document of the specification's.
pub fn document(url: &str) -> Option<&'static str> {
    let place = match place(url)? {
        "schema" => place(newest().url)?,
        place => place,
    };
    DOCUMENTS.iter().find(|(known, _)| *known == place).map(|(_, text)| *text)
}
