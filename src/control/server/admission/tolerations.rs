//! DefaultTolerationSeconds: a pod outlives its node by five minutes, unless it says something else.
//!
//! Source: plugin/pkg/admission/defaulttolerationseconds.

use super::{Api, Change, Object, Plugin, Verb, items, list_at, spec};
use crate::api::Status;
use async_trait::async_trait;
use serde_json::json;

const KEYS: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

pub struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    async fn mutate(&self, _: &Api, change: &mut Change<'_>) -> Result<(), Status> {
        if change.is("", "pods") && change.verb == Verb::Create {
            tolerate_node_loss(change.object);
        }
        Ok(())
    }
}

fn tolerate_node_loss(pod: &mut Object) {
    for key in KEYS {
        let is_tolerated = items(spec(pod), "tolerations").iter().any(|toleration| {
            let text = |field: &str| toleration[field].as_str().unwrap_or_default();
            (text("key").is_empty() || text("key") == *key) && matches!(text("effect"), "" | "NoExecute")
        });
        if !is_tolerated {
            let own = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
            list_at(pod, &["spec", "tolerations"]).push(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn tolerations(own: Value) -> Vec<Value> {
        let mut pod = Object::from_value(json!({"spec": {"tolerations": own}})).unwrap();
        tolerate_node_loss(&mut pod);
        items(spec(&pod), "tolerations").to_vec()
    }

    #[test]
    fn what_a_pod_tolerates_already_is_left_alone() {
        assert_eq!(tolerations(json!([{"operator": "Exists"}])).len(), 1);
        let own = json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]);
        let all = tolerations(own);
        assert_eq!((all.len(), &all[1]["key"]), (2, &json!("node.kubernetes.io/unreachable")));
        assert_eq!(tolerations(Value::Null).len(), 2);
    }
}
