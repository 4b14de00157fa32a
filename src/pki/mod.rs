//! Keys, certificates and service-account tokens: every private key of a cluster is made here.
