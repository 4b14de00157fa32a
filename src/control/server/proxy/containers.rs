//! Which container of a pod is meant.
//!
//! Source of the wording: pkg/registry/core/pod/strategy.go.

use crate::api::{Object, Status};

/// Lists of containers in a pod, in the order in which they are named.
const LISTS: &[&str] = &["initContainers", "containers", "ephemeralContainers"];

/// The container that is asked for, or the only one.
pub fn choose(pod: &Object, asked: &str) -> Result<String, Status> {
    let (name, all) = (pod.name(), names(pod));
    if !asked.is_empty() {
        let is_there = all.iter().any(|own| own == asked);
        let refused = || Status::bad_request(format!("container {asked} is not valid for pod {name}"));
        return if is_there { Ok(asked.to_string()) } else { Err(refused()) };
    }
    let regular = list(pod, "containers");
    match regular.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let why = format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
            Err(Status::bad_request(why))
        }
    }
}

fn names(pod: &Object) -> Vec<String> {
    LISTS.iter().flat_map(|field| list(pod, field)).collect()
}

fn list(pod: &Object, field: &str) -> Vec<String> {
    let list = pod.at(&["spec", field]).and_then(|list| list.as_array());
    list.into_iter().flatten().filter_map(|one| one["name"].as_str()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_several_containers_one_must_be_named() {
        let pod = |names: &[&str]| {
            let containers: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            let spec = json!({"containers": containers, "initContainers": [{"name": "init"}]});
            Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
        };
        let why = |result: Result<String, Status>| result.unwrap_err().message;
        assert_eq!(choose(&pod(&["a"]), "").unwrap(), "a");
        assert_eq!(choose(&pod(&["a", "b"]), "init").unwrap(), "init");
        let several = why(choose(&pod(&["a", "b"]), ""));
        assert_eq!(several, "a container name must be specified for pod p, choose one of: [init a b]");
        assert_eq!(why(choose(&pod(&["a"]), "x")), "container x is not valid for pod p");
    }
}
