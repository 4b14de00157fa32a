//! The scheduler: a queue, a table of filters, a table of scores.
