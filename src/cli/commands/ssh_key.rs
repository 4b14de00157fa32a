//! `coracle ssh-key` and `coracle ssh-host`: a node is entered without ssh, which is said.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;

/// Print the key of ssh; a node has no ssh, so this says what to do instead
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(short, long, hide = true)]
    node: Option<String>,
    #[arg(long, hide = true)]
    append_known: bool,
}

/// Refuses.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    super::open(context)?;
    let error = Hint::new("a node has no ssh server and no keys: it is entered directly", "coracle ssh, or coracle cp");
    Err(Failure { error: Box::new(error), exit: Exit::Failure })
}
