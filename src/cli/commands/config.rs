//! `coracle config`: what every new cluster is to be like, and the cluster file of one that exists.

use super::super::{Context, Exit, Failure, amounts, complete, content, template};
use crate::config::minikube::KUBERNETES;
use crate::config::{Effect, Preferences, Wanted, file, settings};
use crate::drivers::DRIVERS;
use serde_json::json;

/// Set what new clusters are like
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Set a value
    Set {
        #[arg(add = complete::preferences())]
        name: String,
        value: String,
    },
    /// Print a value
    Get {
        #[arg(add = complete::preferences())]
        name: String,
    },
    /// Forget a value
    Unset {
        #[arg(add = complete::preferences())]
        name: String,
    },
    /// Print every value that is set
    View {
        /// A line of fields for each: {{.ConfigKey}} {{.ConfigValue}}
        #[arg(long, default_value = "- {{.ConfigKey}}: {{.ConfigValue}}")]
        format: String,
    },
    /// Print the values that a setting can have
    Defaults {
        #[arg(add = complete::preferences())]
        name: String,
        /// Form of the answer
        #[arg(short, long, default_value = "", value_parser = ["", "json", "yaml"])]
        output: String,
    },
    /// Print the cluster file of the cluster
    Export,
}

/// Does what was said.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let mut preferences = Preferences::load(&context.home)?;
    let usage = |what: String| Failure { error: what.into(), exit: Exit::Usage };
    match arguments.command {
        Command::Set { name, value } => {
            preferences.set(&name, &value).map_err(|problem| usage(problem.to_string()))?;
            content::check_value(&name, &value).map_err(|why| usage(format!("{name}: {why}")))?;
            if let Some(setting) = settings::find(&name) {
                let mut wanted = Wanted::default();
                wanted.set(setting.key, vec![value.clone()]);
                amounts::check(&wanted, false, context)?;
            }
            if name == "profile" {
                context.home.set_active(&value)?;
            }
            preferences.save(&context.home)?;
            if settings::find(&name)
                .is_some_and(|setting| setting.effect != Effect::Live || name == "cpus" || name == "memory")
            {
                let text = "! These changes will take effect upon a coracle delete and then a coracle start";
                context.printer.say(text);
            }
        }
        Command::Get { name } => match preferences.0.get(&name) {
            Some(value) => context.printer.data(value),
            None => {
                // The words that scripts look for.
                crate::cli::printer::aside("Error: specified key could not be found in config");
                return Ok(Exit::Usage);
            }
        },
        Command::Unset { name } => {
            Preferences::is_known(&name).map_err(|problem| usage(problem.to_string()))?;
            preferences.0.remove(&name);
            preferences.save(&context.home)?;
        }
        Command::View { format } => {
            for (key, value) in &preferences.0 {
                let fields = [("ConfigKey", key.clone()), ("ConfigValue", value.clone())];
                context.printer.data(template::render(&format, &fields)?);
            }
        }
        Command::Defaults { name, output } => defaults(&name, &output, context)?,
        Command::Export => {
            let cluster = super::open(context)?;
            context.printer.raw(&file::export(&cluster.wanted_profile()).map_err(|error| error.to_string())?);
        }
    }
    Ok(Exit::Success)
}

fn defaults(name: &str, output: &str, context: &Context) -> Result<(), Failure> {
    let values: Vec<&str> = match name {
        "driver" => DRIVERS.iter().map(|driver| driver.name()).collect(),
        "kubernetes-version" => vec![KUBERNETES],
        _ => {
            let what = format!("no values are known for `{name}`; there are some for driver and kubernetes-version");
            return Err(Failure { error: what.into(), exit: Exit::Usage });
        }
    };
    match output {
        "json" => context.printer.data(json!(values).to_string()),
        "yaml" => context.printer.raw(&crate::api::yaml::to_text(&json!(values))?),
        _ => values.iter().for_each(|value| context.printer.data(format!("* {value}"))),
    }
    Ok(())
}
