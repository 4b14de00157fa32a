//! Build script placeholder for the schema tables.
fn main() {}
