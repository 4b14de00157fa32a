//! `coracle unpause`.

use super::super::{Context, Exit, Failure, cluster_failure, events};
use super::output::Output;

/// Let a paused cluster go on
#[derive(clap::Args)]
pub struct Arguments {
    /// Given for minikube's sake: everything that stands still goes on
    #[arg(short, long, value_delimiter = ',', hide = true)]
    namespaces: Vec<String>,
    /// Given for minikube's sake, as above
    #[arg(short = 'A', long, hide = true)]
    all_namespaces: bool,
    #[command(flatten)]
    output: Output,
}

/// Thaws everything.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    arguments.output.tell(context);
    let _held = super::hold(context, &context.profile)?;
    let cluster = super::open_up(context).await?;
    let steps = context.printer.plan(&events::UNPAUSE);
    steps.note(&format!("unpausing `{}`", context.profile));
    let stood_still = cluster.unpause().map_err(|error| cluster_failure(error, &context.profile))?;
    steps.note("done");
    drop(steps);
    let word = if stood_still { "goes on" } else { "was not paused" };
    context.printer.say(format!("`{}` {word}", context.profile));
    Ok(Exit::Success)
}
