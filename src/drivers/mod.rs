//! Where a machine runs: the `Driver` trait and one file per driver.
