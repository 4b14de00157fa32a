//! `componentstatuses`: which parts of the control plane live.
//!
//! A part works through a client of the server's own, and drops it when it ends, however it ends. So a part lives as long as
//! somebody holds its client.

use super::answer::{self, Answer};
use super::route::Call;
use crate::api::{Kind, Object, Status};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Names of components, and the identity of the client that each has; the store is part of the server itself.
const COMPONENTS: [(&str, &str); 3] =
    [("controller-manager", "system:kube-controller-manager"), ("etcd-0", ""), ("scheduler", "system:kube-scheduler")];

/// Whether an object of this kind is asked for, not read.
pub fn is_for(kind: &Kind) -> bool {
    kind.plural == "componentstatuses" && kind.group().is_empty()
}

/// Clients that were handed out, by the name of who uses them.
#[derive(Default)]
pub struct Clients(watch::Sender<Vec<String>>);

/// What a client holds for as long as it is there.
pub struct Held {
    name: String,
    all: watch::Sender<Vec<String>>,
}

impl Clients {
    /// Counts one client more until what is returned is dropped.
    pub fn hand_out(&self, name: &str) -> Held {
        self.0.send_modify(|all| all.push(name.to_string()));
        Held { name: name.to_string(), all: self.0.clone() }
    }

    /// Who has a client, each as often as it has one; tells when that changes.
    pub fn names(&self) -> watch::Receiver<Vec<String>> {
        self.0.subscribe()
    }

    fn is_held(&self, name: &str) -> bool {
        self.0.borrow().iter().any(|own| own == name)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.send_modify(|all| {
            if let Some(at) = all.iter().position(|own| *own == self.name) {
                all.swap_remove(at);
            }
        });
    }
}

/// Answers get and list.
pub fn answer(call: &Call, kind: &Kind) -> Result<Answer, Status> {
    let wanted = call.attributes();
    let lives = |user: &str| user.is_empty() || call.api.clients.is_held(user);
    let found = COMPONENTS.iter().filter(|(name, _)| wanted.name.is_empty() || wanted.name == *name);
    let mut found: Vec<Object> = found.filter_map(|(name, user)| object(name, lives(user))).collect();
    let (form, include) = (call.accepted.form, call.options.text("includeObject"));
    let value = match wanted.verb.as_str() {
        "get" => {
            let one = found.pop().ok_or_else(|| Status::not_found("", &kind.plural, &wanted.name))?;
            form.object(kind, one, include, true)
        }
        _ => form.list(kind, "v1", found, json!({}), include),
    };
    let mut answer = answer::value(StatusCode::OK, &value);
    answer::warn(&mut answer, &["v1 ComponentStatus is deprecated in v1.19+".to_string()]);
    Ok(answer)
}

fn object(name: &str, lives: bool) -> Option<Object> {
    let condition: Value = match lives {
        true => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        false => json!({"type": "Healthy", "status": "False", "error": "it has ended"}),
    };
    Object::from_value(json!({
        "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name, "creationTimestamp": null},
        "conditions": [condition],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lives_as_long_as_it_holds_its_client() {
        let clients = Clients::default();
        assert!(!clients.is_held("system:kube-scheduler"));
        let held = clients.hand_out("system:kube-scheduler");
        assert!(clients.is_held("system:kube-scheduler"));
        assert!(!clients.is_held("system:kube-controller-manager"));
        drop(held);
        assert!(!clients.is_held("system:kube-scheduler"));
    }
}
