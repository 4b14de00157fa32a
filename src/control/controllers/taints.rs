//! Taints of nodes and the tolerations of pods.
//!
//! Source of the rules: k8s.io/api `core/v1/toleration.go`.

use k8s_openapi::api::core::v1::{Node, Taint, Toleration};

/// Effects.
pub const NO_SCHEDULE: &str = "NoSchedule";
pub const NO_EXECUTE: &str = "NoExecute";

/// Whether `toleration` covers `taint`.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    let key = text(&toleration.key);
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

/// The first taint with one of `effects` that none of `tolerations` covers.
pub fn untolerated<'a>(taints: &'a [Taint], effects: &[&str], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// The taints of a node.
pub fn of(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint { key: "a".into(), value: Some("b".into()), effect: NO_EXECUTE.into(), time_added: None };
        let toleration = |key: &str, operator: &str, value: &str, effect: &str| Toleration {
            key: Some(key.into()),
            operator: Some(operator.into()),
            value: Some(value.into()),
            effect: Some(effect.into()),
            toleration_seconds: None,
        };
        assert!(tolerates(&toleration("", "Exists", "", ""), &taint));
        assert!(tolerates(&toleration("a", "Equal", "b", NO_EXECUTE), &taint));
        assert!(!tolerates(&toleration("a", "Equal", "c", NO_EXECUTE), &taint));
        assert!(!tolerates(&toleration("a", "Exists", "", NO_SCHEDULE), &taint));
        let taints = [taint];
        assert!(untolerated(&taints, &[NO_SCHEDULE], &[]).is_none());
        assert!(untolerated(&taints, &[NO_EXECUTE], &[]).is_some());
    }
}
