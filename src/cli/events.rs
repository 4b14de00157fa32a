//! What `-o json` prints while something is done: CloudEvents, one a line, with minikube's types and names of steps.
//!
//! Source: minikube `pkg/minikube/out/register`.

use serde_json::{Map, Value, json};
use std::io::Write;

/// A step of a command: what the text that announces it begins with, its name, and its number among minikube's.
pub struct Stage {
    pub text: &'static str,
    pub name: &'static str,
    pub number: u8,
}

/// The steps of a command.
pub struct Plan {
    pub total: u8,
    pub stages: &'static [Stage],
}

/// `start`.
pub static START: Plan = Plan {
    total: 19,
    stages: &[
        Stage { text: "coracle v", name: "Initial Minikube Setup", number: 0 },
        Stage { text: "using the driver", name: "Selecting Driver", number: 1 },
        Stage { text: "starting `", name: "Starting Node", number: 3 },
        Stage { text: "making the node image", name: "Pulling Base Image", number: 5 },
        Stage { text: "making the node's container", name: "Creating Container", number: 8 },
        Stage { text: "preparing the node", name: "Generating certificates", number: 12 },
        Stage { text: "starting the node", name: "Booting control plane", number: 13 },
        Stage { text: "waiting for the cluster", name: "Verifying Kubernetes", number: 17 },
        Stage { text: "enabling addons", name: "Enabling Addons", number: 18 },
        Stage { text: "done", name: "Done", number: 19 },
    ],
};

/// `stop`.
pub static STOP: Plan = Plan {
    total: 2,
    stages: &[
        Stage { text: "stopping", name: "Stopping", number: 0 },
        Stage { text: "powering off", name: "PowerOff", number: 1 },
        Stage { text: "done", name: "Done", number: 2 },
    ],
};

/// `pause`.
pub static PAUSE: Plan = Plan {
    total: 1,
    stages: &[Stage { text: "pausing", name: "Pausing", number: 0 }, Stage { text: "done", name: "Done", number: 1 }],
};

/// `unpause`.
pub static UNPAUSE: Plan = Plan {
    total: 1,
    stages: &[
        Stage { text: "unpausing", name: "Unpausing", number: 0 },
        Stage { text: "done", name: "Done", number: 1 },
    ],
};

/// `delete`.
pub static DELETE: Plan = Plan {
    total: 2,
    stages: &[
        Stage { text: "deleting", name: "Deleting", number: 0 },
        Stage { text: "stopping", name: "Stopping", number: 1 },
        Stage { text: "done", name: "Done", number: 2 },
    ],
};

impl Plan {
    /// The stage that a text announces.
    pub fn stage(&self, text: &str) -> Option<&'static Stage> {
        self.stages.iter().find(|stage| text.starts_with(stage.text))
    }

    /// The event of a stage.
    pub fn event(&self, stage: &Stage, message: &str) -> Value {
        let number = stage.number.to_string();
        let total = self.total.to_string();
        event("step", json!({"currentstep": number, "message": message, "name": stage.name, "totalsteps": total}))
    }
}

/// An event that only tells something.
pub fn told(kind: &str, message: &str) -> Value {
    event(kind, json!({"message": message}))
}

/// The event of an error, with its code, minikube's name for it, and what to do.
pub fn failed(code: u8, id: &str, message: &str, advice: &str) -> Value {
    let exit_code = code.to_string();
    event(
        "error",
        json!({"advice": advice, "exitcode": exit_code, "id": id, "issues": "", "message": message, "name": id, "url": ""}),
    )
}

fn event(kind: &str, data: Value) -> Value {
    let mut event = Map::new();
    event.insert("data".into(), data);
    event.insert("datacontenttype".into(), json!("application/json"));
    event.insert("id".into(), json!(uuid::Uuid::new_v4().to_string()));
    event.insert("source".into(), json!("https://coracle.local/"));
    event.insert("specversion".into(), json!("1.0"));
    event.insert("type".into(), json!(format!("io.k8s.sigs.minikube.{kind}")));
    Value::Object(event)
}

/// Prints an event on stdout.
pub fn print(event: &Value) {
    // A reader that went away is no error of ours.
    writeln!(std::io::stdout(), "{event}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_every_plan_are_distinct_and_rise_to_the_total() {
        for plan in [&START, &STOP, &PAUSE, &UNPAUSE, &DELETE] {
            assert!(plan.stages.windows(2).all(|pair| pair[0].number < pair[1].number));
            assert_eq!(plan.stages.last().map(|stage| (stage.number, stage.name)), Some((plan.total, "Done")));
        }
    }

    #[test]
    fn every_value_of_an_events_data_is_text() {
        let stage = START.stage("waiting for the cluster").unwrap();
        for event in [START.event(stage, "x"), told("info", "x"), failed(56, "DRV_UNSUPPORTED", "x", "")] {
            assert!(event["data"].as_object().unwrap().values().all(Value::is_string), "{event}");
            assert_eq!(event["specversion"], "1.0");
        }
    }
}
