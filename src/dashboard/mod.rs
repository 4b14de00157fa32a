//! The dashboard: a page for a browser, and the two ways to it.
//!
//! ```text
//!            coracle dashboard                                   pod of the addon
//! browser ── proxy (127.0.0.1, a token) ── API     browser ── server: the page's files alone
//! ```
//!
//! The page (`addons/dashboard/page`) is a client of the API like any other. What it asks goes through `proxy`, which gives it
//! the user's rights; `server` has no rights to give. `guard` decides whose requests `proxy` takes.

pub mod commands;
mod guard;
pub mod page;
pub mod proxy;
pub mod server;
mod stream;

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// What goes wrong in a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// An answer to a browser.
pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A body that is all there.
fn whole(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
