//! `env`: what Helm takes from the environment.

use super::{Outcome, Scope};

/// Helm client environment information
#[derive(clap::Args)]
pub struct Arguments {
    /// One variable
    #[arg(value_name = "NAME", hide = true)]
    name: Option<String>,
}

/// Prints the variables.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    let (settings, globals) = (&scope.settings, &scope.globals);
    let path = |path: &std::path::Path| path.display().to_string();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let variable = |name: &str, otherwise: String| std::env::var(name).unwrap_or(otherwise);
    let own = std::env::current_exe().map(|own| path(&own)).unwrap_or_default();
    let variables = [
        ("HELM_BIN", own),
        ("HELM_BURST_LIMIT", globals.burst_limit.to_string()),
        ("HELM_CACHE_HOME", path(&settings.cache_home)),
        ("HELM_CONFIG_HOME", path(&settings.config_home)),
        ("HELM_CONTENT_CACHE", path(&settings.content_cache)),
        ("HELM_DATA_HOME", path(&settings.data_home)),
        ("HELM_DEBUG", globals.debug.to_string()),
        ("HELM_KUBEAPISERVER", text(&globals.kube_apiserver)),
        ("HELM_KUBEASGROUPS", globals.kube_as_group.join(",")),
        ("HELM_KUBEASUSER", text(&globals.kube_as_user)),
        ("HELM_KUBECAFILE", text(&globals.kube_ca_file)),
        ("HELM_KUBECONTEXT", text(&globals.kube_context)),
        ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", globals.kube_insecure_skip_tls_verify.to_string()),
        ("HELM_KUBETLS_SERVER_NAME", text(&globals.kube_tls_server_name)),
        ("HELM_KUBETOKEN", text(&globals.kube_token)),
        ("HELM_MAX_HISTORY", variable("HELM_MAX_HISTORY", "10".into())),
        ("HELM_NAMESPACE", scope.namespace()),
        ("HELM_PLUGINS", variable("HELM_PLUGINS", path(&settings.data_home.join("plugins")))),
        ("HELM_QPS", format!("{:.2}", globals.qps)),
        ("HELM_REGISTRY_CONFIG", path(&settings.registry_config)),
        ("HELM_REPOSITORY_CACHE", path(&settings.repository_cache)),
        ("HELM_REPOSITORY_CONFIG", path(&settings.repository_config)),
    ];
    match &arguments.name {
        Some(name) => {
            let value = variables.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
            scope.print(&format!("{value}\n"));
        }
        None => variables.iter().for_each(|(name, value)| scope.print(&format!("{name}=\"{value}\"\n"))),
    }
    Ok(())
}
