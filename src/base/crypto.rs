//! The process's provider of cryptography: ring, chosen once.

/// Makes ring the provider of every TLS connection of this process. Calling it again changes nothing.
pub fn install() {
    // An error says that there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
}
