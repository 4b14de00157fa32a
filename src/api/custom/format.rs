//! Formats of strings, and numbers as Go writes them.
//!
//! Source: k8s.io/kube-openapi `pkg/validation/strfmt`, k8s.io/apiextensions-apiserver `pkg/apiserver/validation/formats.go`.

use crate::api::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use std::sync::LazyLock;

/// Whether a text is of a format; nothing is said of formats that are not known.
pub fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "byte" => STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "cidr" => names::cidr(text).is_empty(),
        "hostname" => names::dns_subdomain(&text.to_ascii_lowercase()).is_empty(),
        "email" => EMAIL.is_match(text),
        "mac" => MAC.is_match(text),
        "uri" => text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some()) || URN.is_match(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => UUID.is_match(text),
        "duration" => is_duration(text),
        "k8s-short-name" => names::dns_label(text).is_empty(),
        "k8s-long-name" => names::dns_subdomain(text).is_empty(),
        _ => true,
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file is well-formed")
}

static EMAIL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[^@\s<>]+@[^@\s<>]+$"));
static MAC: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$"));
static URN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[a-zA-Z][a-zA-Z0-9+.-]*:\S+$"));
static UUID: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"));
static DURATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^[+-]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$",
    )
});
static WORDS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[0-9]+\s*(ns|nano|us|µs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week)s?$"));

/// A duration of Go, or a number and a word.
fn is_duration(text: &str) -> bool {
    DURATION.is_match(text) || WORDS.is_match(text)
}

/// A floating-point number as Go's `%v` writes it.
pub fn number(number: f64) -> String {
    let exponent = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_texts_apart() {
        let cases = [
            ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
            ("date", "2026-01-02", "2026-1-2"),
            ("byte", "YQ==", "a"),
            ("ipv4", "10.0.0.1", "::1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0"),
            ("email", "a@b.c", "a"),
            ("uri", "https://example.com/a", "a b"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("duration", "1h30m", "soon"),
        ];
        for (format, right, wrong) in cases {
            assert!(fits(format, right), "{format}: {right}");
            assert!(!fits(format, wrong), "{format}: {wrong}");
        }
        assert!(fits("something", "else"));
    }

    #[test]
    fn numbers_read_as_in_go() {
        assert_eq!([number(10.0), number(0.5), number(2e6)], ["10", "0.5", "2e+06"]);
    }
}
