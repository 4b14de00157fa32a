//! `coracle doctor`: whether each driver can be used here, and what the machine lacks.

use super::super::{Context, Exit, Failure};
use super::output::Output;
use crate::cluster::{doctor, life};
use doctor::Grade;

/// Look for what keeps clusters from running on this machine
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
}

/// Prints a line per finding; fails when something keeps every cluster from running.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let profiles = life::readable_profiles(&context.home);
    let findings = doctor::examine(&context.home, &profiles).await;
    if arguments.output.is_json() {
        context.printer.data(serde_json::to_string(&findings)?);
    } else {
        for finding in &findings {
            let word = match finding.grade {
                Grade::Ok => "ok",
                Grade::Warning => "warning",
                Grade::Error => "error",
            };
            context.printer.data(format!("{word:<8} {:<14} {}", finding.name, finding.detail));
            if !finding.fix.is_empty() {
                context.printer.data(format!("{:<23} fix: {}", "", finding.fix));
            }
        }
    }
    let is_well = findings.iter().all(|finding| finding.grade != Grade::Error);
    Ok(if is_well { Exit::Success } else { Exit::Code(55) })
}
