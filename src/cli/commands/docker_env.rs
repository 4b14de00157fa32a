//! `coracle docker-env`: there is no Docker engine in a node, which is said.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;

/// Point a Docker client at the node; a node has no engine, so this says what to do instead
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub shared: Shared,
}

/// Flags that scripts give.
#[derive(clap::Args)]
pub struct Shared {
    #[arg(long, hide = true)]
    shell: Option<String>,
    #[arg(short, long, hide = true)]
    output: Option<String>,
    #[arg(short, long, hide = true)]
    unset: bool,
    #[arg(long, hide = true)]
    no_proxy: bool,
    #[arg(long, hide = true)]
    ssh_host: bool,
    #[arg(long, hide = true)]
    ssh_add: bool,
}

/// Refuses.
pub async fn run(_: Arguments, context: &Context) -> Result<Exit, Failure> {
    refuse("Docker", "docker", context)
}

/// Says that the node has no engine of that name.
pub fn refuse(engine: &str, program: &str, context: &Context) -> Result<Exit, Failure> {
    super::open(context)?;
    let what = format!("a node has no {engine} engine inside; its images are loaded straight from archives");
    let hint = format!("{program} build -t IMAGE . && {program} save IMAGE | coracle image load -");
    Err(Failure { error: Box::new(Hint::new(what, hint)), exit: Exit::Code(99) })
}
