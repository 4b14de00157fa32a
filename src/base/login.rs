//! Addresses that say who asks, told without that.

/// What stands where something is not told.
pub const HIDDEN: &str = "*****";

/// A word in which an address, if there is one, does not say who asks.
pub fn without_login(word: &str) -> String {
    let (before, rest) = match word.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => return word.into(),
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{before}{HIDDEN}{}", &rest[at..]),
        None => word.into(),
    }
}

/// The same for the address of a proxy, which may have no scheme.
pub fn proxy_without_login(proxy: &str) -> String {
    match (proxy.contains("://"), proxy.rfind('@')) {
        (false, Some(at)) => format!("{HIDDEN}{}", &proxy[at..]),
        _ => without_login(proxy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_not_told() {
        assert_eq!(without_login("https://me:secret@host/x@y"), "https://*****@host/x@y");
        assert_eq!(without_login("me@host"), "me@host");
        assert_eq!(proxy_without_login("me:secret@proxy:3128"), "*****@proxy:3128");
        assert_eq!(proxy_without_login("http://me:se@cret@proxy:3128"), "http://*****@proxy:3128");
        assert_eq!(proxy_without_login("http://proxy:3128"), "http://proxy:3128");
    }
}
