//! Canaries: which requests go to the other service.

use super::variables::cookie;
use http::HeaderMap;
use rand::RngExt;
use regex::Regex;

/// What a canary Ingress says of requests, in the order in which it is looked at: header, cookie, chance.
#[derive(Clone, Debug, Default)]
pub struct Canary {
    pub header: Option<String>,
    pub header_value: Option<String>,
    pub header_pattern: Option<Regex>,
    pub cookie: Option<String>,
    pub weight: u32,
    pub weight_total: Option<u32>,
    /// Whether clients stay with the canary by its affinity.
    pub is_sticky: bool,
}

impl Canary {
    /// Whether a request is the canary's.
    pub fn takes(&self, headers: &HeaderMap) -> bool {
        let by_header = || self.by_header(headers);
        let by_cookie = || self.cookie.as_deref().and_then(|name| word(cookie(headers, name)?));
        by_header().or_else(by_cookie).unwrap_or_else(|| self.by_chance())
    }

    fn by_header(&self, headers: &HeaderMap) -> Option<bool> {
        let value = headers.get(self.header.as_deref()?)?.to_str().ok()?;
        match (&self.header_value, &self.header_pattern) {
            (Some(wanted), _) => (value == wanted).then_some(true),
            (None, Some(pattern)) => pattern.is_match(value).then_some(true),
            (None, None) => word(value),
        }
    }

    fn by_chance(&self) -> bool {
        let total = self.weight_total.unwrap_or(100).max(100);
        // Whoever has no weight needs no dice.
        self.weight > 0 && rand::rng().random_range(0..total) < self.weight
    }
}

fn word(value: &str) -> Option<bool> {
    match value {
        "always" => Some(true),
        "never" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn header_cookie_and_chance_decide_in_this_order() {
        let named = |weight| Canary {
            header: Some("x-canary".into()),
            cookie: Some("canary".into()),
            weight,
            ..Canary::default()
        };
        let valued = Canary { header_value: Some("blue".into()), ..named(0) };
        let matched = Canary { header_pattern: Some(Regex::new("^b").unwrap()), ..named(0) };
        let cases: &[(&Canary, &[(&'static str, &str)], bool)] = &[
            (&named(0), &[], false),
            (&named(100), &[], true),
            (&named(0), &[("x-canary", "always")], true),
            (&named(100), &[("x-canary", "never")], false),
            (&named(0), &[("x-canary", "perhaps")], false),
            (&named(0), &[("cookie", "canary=always")], true),
            (&named(100), &[("cookie", "a=b; canary=never")], false),
            (&named(0), &[("x-canary", "never"), ("cookie", "canary=always")], false),
            (&valued, &[("x-canary", "blue")], true),
            (&valued, &[("x-canary", "always")], false),
            (&matched, &[("x-canary", "bold")], true),
            (&matched, &[("x-canary", "old")], false),
        ];
        for (canary, given, expected) in cases {
            assert_eq!(canary.takes(&headers(given)), *expected, "{canary:?} {given:?}");
        }
    }

    #[test]
    fn a_weight_is_a_part_of_its_total() {
        let canary = Canary { weight: 300, weight_total: Some(1000), ..Canary::default() };
        let taken = (0..4000).filter(|_| canary.takes(&HeaderMap::new())).count();
        assert!((900..1500).contains(&taken), "{taken}");
    }
}
