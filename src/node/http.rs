//! Requests to pods: what hooks and probes send. Certificates are not checked, redirects stay on the same host.

use crate::node::pod::hooks;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use reqwest::redirect::Policy;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest part of an answer that is read (kubelet: maxRespBodyLength).
const BODY: usize = 10 << 10;
const REDIRECTS: usize = 10;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Target {
    /// What an `httpGet` of a container means.
    pub fn of(get: &HTTPGetAction, spec: &Container, address: Option<IpAddr>) -> Result<Self, String> {
        let host = get.host.clone().filter(|host| !host.is_empty());
        let host = host.or(address.map(|address| address.to_string())).ok_or("the pod has no address")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
        let port = hooks::port(&get.port, spec)?;
        let path = get.path.as_deref().unwrap_or("/");
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let headers = get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        Ok(Self { url: format!("{scheme}://{host}:{port}{path}"), headers: headers.collect() })
    }
}

/// Sends a GET.
pub async fn get(target: &Target, timeout: Duration) -> Result<Answer, String> {
    let mut request = client()?.get(&target.url).timeout(timeout);
    let named = |name: &str| target.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    if !named("user-agent") {
        request = request.header("User-Agent", "kube-probe/1.36");
    }
    if !named("accept") {
        request = request.header("Accept", "*/*");
    }
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await.map_err(|error| words(&target.url, &error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= BODY {
            break;
        }
    }
    body.truncate(BODY);
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// In the words of Go's HTTP client, which people search for.
fn words(url: &str, error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        return format!("Get \"{url}\": {why}");
    }
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(refused) if error.is_connect() => {
            let at = error.url().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
            format!("Get \"{url}\": dial tcp {}: connect: {}", at.unwrap_or_default(), plain(refused))
        }
        _ => format!("Get \"{url}\": {cause}"),
    }
}

/// An error of the kernel as Go prints it: lower case, without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn client() -> Result<&'static reqwest::Client, String> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        crate::base::crypto::install();
        let same_host = Policy::custom(|attempt| {
            let from = attempt.previous().last().and_then(|url| url.host_str().map(String::from));
            match attempt.url().host_str().map(String::from) == from && attempt.previous().len() < REDIRECTS {
                true => attempt.follow(),
                false => attempt.stop(),
            }
        });
        let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().redirect(same_host);
        // A probe asks whether a connection can be made: none is kept.
        builder.pool_max_idle_per_host(0).build().map_err(|error| error.to_string())
    });
    client.as_ref().map_err(Clone::clone)
}
