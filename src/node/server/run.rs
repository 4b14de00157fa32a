//! `/run/NAMESPACE/POD/CONTAINER?cmd=…`: a command and its output, without streams.

use super::answer::{self, Answer};
use super::find;
use crate::node::context::Node;
use http::StatusCode;
use std::time::Duration;

/// How long a command may take; upstream sets no limit.
const LONGEST: Duration = Duration::from_secs(600);

/// Runs the command; its words are separated by blanks.
pub async fn answer(node: &Node, place: [&str; 4], query: &str) -> Answer {
    let container = match find::running(node, place) {
        Ok(container) => container,
        Err(refused) => return refused,
    };
    let command = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "cmd").map(|(_, value)| value);
    let argv = command.unwrap_or_default().split(' ').filter(|word| !word.is_empty()).map(String::from).collect();
    match node.runtime.exec_sync(&container.id, argv, LONGEST).await {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let status = if output.exit_code == 0 { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
            answer::of_type(status, "text/plain; charset=utf-8", text.into())
        }
        Err(error) => find::failed(error),
    }
}
