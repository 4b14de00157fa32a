//! The API server: every rule that a request passes, from TLS to the store.
