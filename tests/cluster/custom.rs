//! Custom kinds as people use them: defined, established, made, shown, scaled, deleted, all by `kubectl`.

use super::harness::Cluster;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.harbour.example.com}
spec:
  group: harbour.example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.oars, statusReplicasPath: .status.oars}
    additionalPrinterColumns:
    - {name: Oars, type: integer, jsonPath: .spec.oars}
    - {name: Colour, type: string, jsonPath: .spec.colour}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the boat is.
            required: [colour]
            properties:
              colour: {type: string, enum: [red, blue], description: The colour of the hull.}
              oars: {type: integer, minimum: 0, maximum: 8, default: 2}
          status:
            type: object
            properties: {oars: {type: integer}}
"#;

fn boat(name: &str, spec: &str) -> String {
    format!("apiVersion: harbour.example.com/v1\nkind: Boat\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

#[test]
fn a_kind_is_defined_used_and_deleted() {
    let Some(cluster) = Cluster::started("custom") else { return };
    cluster.kubectl_with("apply", DEFINITION).ok();
    cluster.kubectl("wait --for=condition=Established crd/boats.harbour.example.com --timeout=10s").ok();

    cluster.kubectl_with("create", &boat("one", "{colour: red}")).ok();
    let refused = cluster.kubectl_with("create", &boat("two", "{colour: green, oars: 9}"));
    assert!(
        refused.err.contains("spec.colour: Unsupported value: \"green\": supported values: \"red\", \"blue\""),
        "{}",
        refused.err
    );
    let bound = "spec.oars: Invalid value: 9: spec.oars in body should be less than or equal to 8";
    assert!(refused.err.contains(bound), "{}", refused.err);

    let shown = cluster.kubectl("get bt").ok();
    let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [["NAME", "OARS", "COLOUR"], ["one", "2", "red"]]);
    assert!(cluster.kubectl("get all").ok().contains("boat.harbour.example.com/one"));

    let explained = cluster.kubectl("explain boat.spec.colour").ok();
    assert!(explained.contains("The colour of the hull."), "{explained}");

    cluster.kubectl("scale boat one --replicas=4").ok();
    assert_eq!(cluster.kubectl("get boat one -o jsonpath={.spec.oars}").ok(), "4");

    let definition = "crd boats.harbour.example.com";
    cluster.kubectl(&format!("delete {definition} --timeout=20s")).ok();
    assert_eq!(cluster.kubectl("get boats").code, 1);
    cluster.kubectl_with("apply", DEFINITION).ok();
    cluster.kubectl("wait --for=condition=Established crd/boats.harbour.example.com --timeout=10s").ok();
    assert_eq!(cluster.kubectl("get boats -o name").ok(), "", "nothing is left of the old ones");

    cluster.coracle("stop").ok();
    cluster.coracle("start").ok();
    cluster.kubectl_with("create", &boat("three", "{colour: blue}")).ok();
}
