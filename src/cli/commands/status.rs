//! `coracle status`: minikube's text, JSON and exit bits.

use super::super::{Context, Exit, Failure, cluster_failure, template};
use super::output::Output;
use crate::cluster::status::{self, Status};
use crate::config::values;
use serde_json::Value;

/// Show what runs of the cluster
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
    /// A line of fields: {{.Name}} {{.Host}} {{.Kubelet}} {{.APIServer}} {{.Kubeconfig}}
    #[arg(short, long)]
    format: Option<String>,
    /// What is listed
    #[arg(short, long, default_value = "nodes", value_parser = ["nodes", "cluster"])]
    layout: String,
    /// The node
    #[arg(short, long)]
    node: Option<String>,
    /// Look again and again, every so often
    #[arg(short, long, num_args = 0..=1, default_missing_value = "1s", require_equals = true)]
    watch: Option<String>,
}

/// Prints the status; the exit code has a bit for each part that does not run.
pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Failure> {
    let Some(period) = &arguments.watch else { return once(&arguments, context).await };
    let period = values::duration(period).map_err(|why| Failure { error: why.into(), exit: Exit::Usage })?;
    // A timer that was asked for; the first tick is at once.
    let mut ticks = tokio::time::interval(period.max(std::time::Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        once(&arguments, context).await?;
    }
}

async fn once(arguments: &Arguments, context: &Context) -> Result<Exit, Failure> {
    let cluster = super::open(context)?;
    if let Some(node) = arguments.node.as_ref().filter(|node| **node != cluster.profile.name) {
        return Err(Failure { error: format!("there is no node `{node}`").into(), exit: Exit::GuestNotFound });
    }
    let status = status::of(&cluster).await.map_err(|error| cluster_failure(error, &context.profile))?;
    let has_room = status::has_room(&cluster);
    match (&arguments.format, arguments.output.is_json(), arguments.layout.as_str()) {
        (Some(format), ..) => context.printer.data(template::render(format, &fields(&status)?)?),
        (_, true, "cluster") => context.printer.data(status.layout(has_room).to_string()),
        (_, true, _) => context.printer.data(serde_json::to_string(&status)?),
        (_, _, "cluster") => context.printer.data(whole(&status.layout(has_room))),
        _ => context.printer.data(text(&status)),
    }
    if matches!(status.kubeconfig, status::Word::Misconfigured) && status.host == status::Word::Running {
        let option = super::option(&context.profile, &context.home.active());
        let what = "your kubeconfig does not point at this cluster";
        context.printer.say(format!("{what}: coracle update-context{option}"));
    }
    if let Some(detail) = status.detail {
        context.printer.say(format!("`{}`: {detail}", status.name));
    }
    Ok(Exit::Code(status.exit_bits()))
}

fn fields(status: &Status) -> Result<Vec<(&'static str, String)>, Failure> {
    let value = serde_json::to_value(status)?;
    let text = |name: &str| match &value[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let names = ["Name", "Host", "Kubelet", "APIServer", "Kubeconfig", "Worker", "TimeToStop"];
    Ok(names.map(|name| (name, text(name))).to_vec())
}

fn text(status: &Status) -> String {
    let time = status.time_to_stop.as_ref().map(|time| format!("timeToStop: {time}\n")).unwrap_or_default();
    format!(
        "{}\ntype: Control Plane\nhost: {:?}\nkubelet: {:?}\napiserver: {:?}\nkubeconfig: {:?}\n{time}",
        status.name, status.host, status.kubelet, status.api_server, status.kubeconfig
    )
}

fn whole(layout: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let mut lines = vec![format!("{}: {}", text(&layout["Name"]), text(&layout["StatusName"]))];
    for node in layout["Nodes"].as_array().into_iter().flatten() {
        lines.push(format!("  node {}: {}", text(&node["Name"]), text(&node["StatusName"])));
        for (name, component) in node["Components"].as_object().into_iter().flatten() {
            lines.push(format!("    {name}: {}", text(&component["StatusName"])));
        }
    }
    lines.join("\n")
}
