//! The network of the node: pod links, service rules, DNS.
