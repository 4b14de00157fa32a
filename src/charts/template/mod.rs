//! Go's `text/template`, exact to its output and to its errors.
//!
//! ```text
//! value, text      what templates compute with          number, quote, time, format   Go's strconv, time and fmt
//! lexer, parser    text -> node (trees)                 builtins, methods             what the language has of itself
//! exec, call       tree + value -> text                 engine                        sets of templates, include, tpl
//! function, hash   the tables' types                    stack                         the stack it all runs on
//! shelf            sets whose templates are read when they are needed
//! ```
//!
//! Values are shared within one thread (`Rc`), so a render is one closure given to [`on_stack`], which has a stack for
//! templates that call each other deeply. Elsewhere executing works too, but gives up at a shallower depth.

mod builtins;
mod call;
mod engine;
mod entries;
mod error;
mod exec;
mod format;
mod function;
mod hash;
mod lexer;
mod location;
mod methods;
mod moment;
mod node;
mod number;
mod parser;
mod quote;
mod shelf;
mod stack;
mod text;
pub(crate) mod time;
mod value;

pub use builtins::{FUNCTIONS as BUILTINS, url_query};
pub use engine::{Engine, Host, Offline, Templates};
pub use entries::Entries;
pub use error::Error;
pub use format::{display, display_bytes, sprintf};
pub use function::{Call, Failure, Function, Method, Type, failure};
pub use hash::Names;
pub use methods::{fraction, truncated};
pub use moment::parse as parse_time;
pub use number::{Bad, format_float, json_float, parse_float, parse_int, parse_uint};
pub use parser::Finder;
pub use quote::{is_print, letters, quote, quote_letter, unquote};
pub use shelf::{Contents, Shelf, Shelved, Source};
pub use stack::run as on_stack;
pub use text::{Text, lossy};
pub use value::{Element, IntType, List, Map, MapKind, Object, UintType, Value};
