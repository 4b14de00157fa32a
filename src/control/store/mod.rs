//! The store: revisions, watch log, durability; the only writer of object data.
