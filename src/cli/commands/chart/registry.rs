//! `registry`: logins of OCI registries.

use super::{Outcome, Problem, Scope, at_least};
use crate::charts::repository;
use std::io::{Read, Write};

/// Login to or logout from a registry
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Login to a registry
    Login(LoginFlags),
    /// Logout from a registry
    Logout(LogoutFlags),
}

#[derive(clap::Args)]
struct LoginFlags {
    /// The registry: a host, with its port
    #[arg(value_name = "HOST")]
    arguments: Vec<String>,
    /// Registry username
    #[arg(short, long)]
    username: Option<String>,
    /// Registry password or identity token
    #[arg(short, long)]
    password: Option<String>,
    /// Read password or identity token from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Allow connections to TLS registry without certs
    #[arg(long)]
    insecure: bool,
    /// Identify registry client using this SSL certificate file
    #[arg(long)]
    cert_file: Option<std::path::PathBuf>,
    /// Identify registry client using this SSL key file
    #[arg(long)]
    key_file: Option<std::path::PathBuf>,
    /// Verify certificates of HTTPS-enabled servers using this CA bundle
    #[arg(long)]
    ca_file: Option<std::path::PathBuf>,
    /// Use insecure HTTP connections
    #[arg(long)]
    plain_http: bool,
}

#[derive(clap::Args)]
struct LogoutFlags {
    /// The registry: a host, with its port
    #[arg(value_name = "HOST")]
    arguments: Vec<String>,
}

/// Looks after logins.
pub fn run(arguments: Arguments, scope: &Scope) -> Outcome {
    match arguments.action {
        Action::Login(flags) => login(flags, scope),
        Action::Logout(flags) => {
            at_least(1, &flags.arguments, "registry logout", "[host] [flags]")?;
            repository::logout(&flags.arguments[0], &scope.settings.registry_config)?;
            scope.print(&format!("Removing login credentials for {}\n", flags.arguments[0]));
            Ok(())
        }
    }
}

fn login(flags: LoginFlags, scope: &Scope) -> Outcome {
    at_least(1, &flags.arguments, "registry login", "[host] [flags]")?;
    let host = &flags.arguments[0];
    let mut username = flags.username.clone().unwrap_or_default();
    let password = match flags.password.clone().filter(|password| !password.is_empty()) {
        _ if flags.password_stdin => stdin()?,
        Some(password) => {
            scope.log("WARN", "using --password via the CLI is insecure. Use --password-stdin");
            password
        }
        None => {
            if username.is_empty() {
                username = ask("Username: ", false, scope)?.trim().to_string();
            }
            let (prompt, what) = if username.is_empty() { ("Token: ", "token") } else { ("Password: ", "password") };
            let password = ask(prompt, true, scope)?;
            if password.is_empty() {
                return Err(Problem(format!("{what} required")));
            }
            password
        }
    };
    let download = repository::Download {
        username: username.clone(),
        password: password.clone(),
        ca_file: flags.ca_file,
        cert_file: flags.cert_file,
        key_file: flags.key_file,
        insecure: flags.insecure,
        plain_http: flags.plain_http,
        ..repository::Download::default()
    };
    scope.wait(repository::check_login(host, &download, &scope.settings))?;
    repository::login(host, &username, &password, &scope.settings.registry_config)?;
    super::aside("Login Succeeded");
    Ok(())
}

/// A secret from stdin, without its line end.
pub fn stdin() -> Result<String, Problem> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_string())
}

/// A line from the terminal; a secret is not shown.
pub fn ask(prompt: &str, secret: bool, scope: &Scope) -> Result<String, Problem> {
    use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
    scope.print(prompt);
    // A prompt ends no line, and whoever does not read it needs none.
    std::io::stdout().flush().ok();
    let stdin = std::io::stdin();
    // A secret that comes through a pipe is announced by `--password-stdin`.
    if secret && !isatty(&stdin) {
        return Err(Problem("inappropriate ioctl for device".into()));
    }
    let shown = if secret && isatty(&stdin) { Some(tcgetattr(&stdin)?) } else { None };
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &hidden)?;
    }
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    if let Some(shown) = &shown {
        tcsetattr(&stdin, OptionalActions::Now, shown)?;
        scope.print("\n");
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}
