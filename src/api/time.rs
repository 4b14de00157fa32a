//! Times as objects have them: RFC 3339 in UTC, whole seconds.
//!
//! Source: k8s.io/apimachinery `pkg/apis/meta/v1/time.go`.

use jiff::Timestamp;

/// A moment; what is less than a second of it is cut off.
pub fn text(moment: Timestamp) -> String {
    format!("{moment:.0}")
}

/// This moment.
pub fn now() -> String {
    text(Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_cut_off() {
        for nanoseconds in [0, 1, 999_999_999] {
            let moment = Timestamp::new(1_790_000_000, nanoseconds).unwrap();
            assert_eq!(text(moment), "2026-09-21T14:13:20Z");
            assert_eq!(text(moment), moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
    }
}
