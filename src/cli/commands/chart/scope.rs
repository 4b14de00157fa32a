//! What every command of Helm's is given: the global flags, the environment's settings, the cluster's names.

use super::Problem;
use crate::charts::repository::Settings;
use crate::client::config::{Named, named};
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;

/// Flags of every command.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Namespace scope for this request
    #[arg(short, long, global = true, env = "HELM_NAMESPACE", hide_env = true)]
    pub namespace: Option<String>,
    /// Name of the kubeconfig context to use
    #[arg(long, global = true, env = "HELM_KUBECONTEXT", hide_env = true)]
    pub kube_context: Option<String>,
    /// Path to the kubeconfig file
    #[arg(long, global = true)]
    pub kubeconfig: Option<String>,
    /// The address and the port for the Kubernetes API server
    #[arg(long, global = true, env = "HELM_KUBEAPISERVER", hide_env = true)]
    pub kube_apiserver: Option<String>,
    /// Username to impersonate for the operation
    #[arg(long, global = true, env = "HELM_KUBEASUSER", hide_env = true)]
    pub kube_as_user: Option<String>,
    /// Group to impersonate for the operation, this flag can be repeated to specify multiple groups
    #[arg(long, global = true)]
    pub kube_as_group: Vec<String>,
    /// The certificate authority file for the Kubernetes API server connection
    #[arg(long, global = true, env = "HELM_KUBECAFILE", hide_env = true)]
    pub kube_ca_file: Option<String>,
    /// Bearer token used for authentication
    #[arg(long, global = true, env = "HELM_KUBETOKEN", hide_env = true)]
    pub kube_token: Option<String>,
    /// If true, the Kubernetes API server's certificate will not be checked for validity
    #[arg(long, global = true)]
    pub kube_insecure_skip_tls_verify: bool,
    /// Server name to use for Kubernetes API server certificate validation
    #[arg(long, global = true, env = "HELM_KUBETLS_SERVER_NAME", hide_env = true)]
    pub kube_tls_server_name: Option<String>,
    /// Enable verbose output
    #[arg(long, global = true)]
    pub debug: bool,
    /// Path to the registry config file
    #[arg(long, global = true)]
    pub registry_config: Option<String>,
    /// Path to the directory containing cached repository indexes
    #[arg(long, global = true)]
    pub repository_cache: Option<String>,
    /// Path to the file containing repository names and URLs
    #[arg(long, global = true)]
    pub repository_config: Option<String>,
    /// Path to the directory containing cached content
    #[arg(long, global = true)]
    pub content_cache: Option<String>,
    /// Client-side default throttling limit
    #[arg(long, global = true, default_value_t = 100, hide_default_value = true)]
    pub burst_limit: i64,
    /// Queries per second used when communicating with the Kubernetes API
    #[arg(long, global = true, default_value_t = 0.0, hide_default_value = true)]
    pub qps: f32,
    /// Use colored output (never, auto, always)
    #[arg(long, global = true, visible_alias = "colour", default_value = "auto", hide_default_value = true)]
    pub color: String,
    /// The cluster of coracle's to use, by its profile
    #[arg(long, global = true, env = "CORACLE_PROFILE", hide_env = true)]
    pub profile: Option<String>,
}

impl Globals {
    /// The kubeconfig that is said, if one is.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        self.kubeconfig.as_ref().filter(|path| !path.is_empty()).map(Into::into)
    }

    /// The context that is said, or the one of coracle's cluster that is.
    pub fn context(&self) -> Option<String> {
        let mut said = [&self.kube_context, &self.profile].into_iter().flatten();
        said.find(|name| !name.is_empty()).cloned()
    }

    /// Whether a cluster is said that need not be one of coracle's.
    pub fn is_elsewhere(&self) -> bool {
        let mut said = [&self.kubeconfig, &self.kube_apiserver].into_iter().flatten();
        said.any(|value| !value.is_empty())
    }
}

/// What a command is given besides its own arguments.
#[derive(Clone)]
pub struct Scope {
    pub globals: Globals,
    pub settings: Settings,
}

impl Scope {
    pub fn new(mut globals: Globals, profile: Option<String>) -> Self {
        let mut settings = Settings::from_environment();
        let flags = [
            (&globals.registry_config, &mut settings.registry_config),
            (&globals.repository_cache, &mut settings.repository_cache),
            (&globals.repository_config, &mut settings.repository_config),
            (&globals.content_cache, &mut settings.content_cache),
        ];
        for (flag, setting) in flags {
            if let Some(path) = flag {
                *setting = path.into();
            }
        }
        globals.debug |= std::env::var("HELM_DEBUG").is_ok_and(|word| super::go_bool(&word).unwrap_or(false));
        globals.profile = globals.profile.or(profile);
        Self { globals, settings }
    }

    /// The namespace, for what needs no cluster: the flag, that of the kubeconfig's context, or `default`.
    pub fn namespace(&self) -> String {
        let given = self.globals.namespace.clone().filter(|name| !name.is_empty());
        given.or_else(|| self.context()?.namespace).unwrap_or_else(|| "default".into())
    }

    /// The API server's address, without a slash at its end; nothing where no flag and no kubeconfig says one.
    pub fn server(&self) -> Option<String> {
        let given = self.globals.kube_apiserver.clone().filter(|server| !server.is_empty());
        given.or_else(|| self.context()?.server).map(|server| server.trim_end_matches('/').to_string())
    }

    /// What the context that is used says; nothing where its kubeconfig is missing or broken.
    fn context(&self) -> Option<Named> {
        named(self.globals.kubeconfig().as_deref(), self.globals.context().as_deref())
    }

    /// Prints data.
    pub fn print(&self, text: &str) {
        // A reader that went away is no error of ours.
        std::io::stdout().write_all(text.as_bytes()).ok();
    }

    /// Says something on stderr, in the form of Helm's log.
    pub fn log(&self, level: &str, text: &str) {
        super::aside(format_args!("level={level} msg={text:?}"));
    }

    /// Runs what waits for the network. Set up only here, so that other commands start without it.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T, crate::charts::Error>>) -> Result<T, Problem> {
        // The one provider of cryptography; a second call would be refused, which is as good.
        crate::base::crypto::install();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(work)?)
    }
}
