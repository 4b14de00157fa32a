//! Addons: the catalog (folders of `addons/`) and the loop that makes wanted addons applied.
