//! Shared caches: one list and watch per kind and process, however many read it.
