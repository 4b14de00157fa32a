// New objects from YAML: every document is applied where its kind and name say.

import { MANAGER, send } from "../lib/api.js";
import { ofKind, path, placeOf } from "../lib/discovery.js";
import { el, fill } from "../lib/dom.js";
import { chosen } from "../lib/state.js";
import { documents, identity } from "../lib/yaml.js";
import { Editor } from "./editor.js";
import { button, dialog, link, pill } from "./parts.js";

const APPLY = "application/apply-patch+yaml";

/** Opens the dialog, with the beginning of an object of `resource`. */
export function edit(resource, namespace) {
  return dialog("Create from YAML", (close) => content(close, resource, namespace), "large");
}

function content(close, resource, namespace) {
  const said = el("ul.said", { role: "status" });
  const editor = new Editor({ label: "YAML", onsave: () => run(false) });
  editor.area.dataset.first = "";
  editor.text = begin(resource, namespace);
  const run = async (isTrial) => {
    fill(said);
    for (const text of documents(editor.text)) {
      const line = el("li", "…");
      said.append(line);
      try {
        const { made, href } = await apply(text, isTrial);
        fill(line, pill(isTrial ? "valid" : "applied", "good"), " ", link(`${made.kind} ${made.metadata.name}`, isTrial ? null : href));
      } catch (error) {
        fill(line, pill(error.reason || "refused", "bad"), " ", error.message);
        if (!isTrial) return;
      }
    }
  };
  const file = el("input", { type: "file", accept: ".yaml,.yml,.json", hidden: true, onchange: async () => (editor.text = await file.files[0].text()) });
  said.addEventListener("click", (event) => event.target.closest("a") && close(true));
  return [editor.element, said, el("footer.dialog-foot", file, button("Open a file", "down", () => file.click()), el(".spacer"),
    button("Check", "check", () => run(true)), button("Apply", "plus", () => run(false), "primary"))];
}

function begin(resource, namespace) {
  const example = { apiVersion: "v1", kind: "ConfigMap", namespaced: true };
  const chosenKind = resource ? { apiVersion: resource.group ? `${resource.group}/${resource.version}` : resource.version, kind: resource.kind, namespaced: resource.namespaced } : example;
  const where = chosenKind.namespaced ? `  namespace: ${namespace || chosen.namespace || "default"}\n` : "";
  return `apiVersion: ${chosenKind.apiVersion}\nkind: ${chosenKind.kind}\nmetadata:\n  name: example\n${where}`;
}

/** Applies one document; with `isTrial` the server only says what it would do. */
export async function apply(text, isTrial) {
  const { apiVersion, kind, name, namespace } = identity(text);
  if (!apiVersion || !kind) throw new Error("apiVersion and kind are missing at the beginning of a line.");
  const resource = ofKind(apiVersion, kind);
  if (!resource) throw new Error(`The cluster has no kind ${kind} of ${apiVersion}.`);
  const group = apiVersion.includes("/") ? apiVersion.split("/")[1] : apiVersion;
  const where = resource.namespaced ? namespace || chosen.namespace || "default" : "";
  const query = `${MANAGER}&fieldValidation=Strict${isTrial ? "&dryRun=All" : ""}`;
  const target = path({ ...resource, version: group }, where, name);
  const options = name ? { method: "PATCH", type: APPLY } : { method: "POST", type: "application/yaml" };
  const made = await (await send(`${target}?${query}`, { ...options, body: text })).json();
  return { made, href: placeOf({ apiVersion, kind, name: made.metadata.name, namespace: where }) };
}
