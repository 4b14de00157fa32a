//! `coracle dashboard`.

use super::super::{Context, Exit, Failure};
use crate::base::Hint;

/// Show the dashboard
#[derive(clap::Args)]
pub struct Arguments {
    /// Print its address only
    #[arg(long)]
    url: bool,
    /// Port of this machine; any free one when 0
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// It is not built yet, which is said.
pub async fn run(_: Arguments, _: &Context) -> Result<Exit, Failure> {
    let error = Hint::new("this coracle has no dashboard yet", "kubectl get all -A");
    Err(Failure { error: Box::new(error), exit: Exit::Failure })
}
