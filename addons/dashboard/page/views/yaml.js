// An object as YAML, written by the server and read by it. A change names the version that it is of: where somebody else was
// faster, the server refuses, and both changes are shown.

import { getText, MANAGER, send } from "../lib/api.js";
import { copy, el, fill } from "../lib/dom.js";
import { withoutManagedFields } from "../lib/yaml.js";
import { differenceView, Editor } from "./editor.js";
import { button, pill, toast, trouble } from "./parts.js";

const read = async (about) => withoutManagedFields(await getText(about.path, { accept: "application/yaml" }));

/** The tab with the editor. */
export async function yamlView(target, scope, about) {
  const said = el(".yaml-said", { role: "status" });
  const state = el("span");
  const editor = new Editor({ label: `${about.resource.kind} ${about.name} as YAML`, onsave: () => save(), onchange: () => tell() });
  let base = "";
  const load = async () => {
    try {
      editor.text = base = await read(about);
      fill(said);
      tell();
    } catch (error) {
      fill(said, trouble(error, load));
    }
  };
  const isChanged = () => editor.text !== base;
  const tell = () => {
    const isNewer = about.object.metadata.resourceVersion !== versionOf(base);
    fill(state, isChanged() ? pill("changed", "warn") : null, isNewer ? pill("there is a newer version", "warn") : null);
  };
  const save = async (isTrial = false) => {
    fill(said);
    try {
      const query = `${MANAGER}&fieldValidation=Strict${isTrial ? "&dryRun=All" : ""}`;
      await send(`${about.path}?${query}`, { method: "PUT", body: editor.text, type: "application/yaml" });
      if (isTrial) return void fill(said, pill("valid", "good"), " The server would take this.");
      toast(`${about.name} is saved`);
      await load();
    } catch (error) {
      if (error.code === 409 && error.reason === "Conflict") return conflict(error);
      fill(said, trouble(error));
    }
  };
  /** Shows what the other change was; mine can be put on top of it, or left. */
  const conflict = async (error) => {
    const theirs = await read(about);
    const rebase = () => {
      editor.text = withVersion(editor.text, versionOf(theirs));
      base = theirs;
      save();
    };
    fill(said, el(".conflict", { role: "alert" }, trouble(Object.assign(new Error(error.message), { reason: "Somebody else changed it meanwhile" })),
      el(".halves", el("div", el("h3", "Their change"), differenceView(base, theirs)), el("div", el("h3", "From theirs to yours"), differenceView(theirs, withVersion(editor.text, versionOf(theirs))))),
      el(".actions", button("Take theirs", "down", load), button("Write mine over theirs", "edit", rebase, "danger"))));
  };
  scope.add(about.onchange(() => {
    // A newer version comes into an editor in which nothing was written.
    if (!isChanged() && base && about.object.metadata.resourceVersion !== versionOf(base)) load();
    else tell();
  }));
  fill(target, el(".yaml-bar", state, el(".spacer"), el("button.button", { type: "button", onclick: (event) => copy(editor.text, event.currentTarget) }, "Copy"),
    button("Reload", "restart", load), button("Check", "check", () => save(true)), button("Save", "edit", () => save(), "primary")), said, editor.element);
  await load();
}

const VERSION = /^  resourceVersion: "?(\w+)"?$/m;
const versionOf = (text) => VERSION.exec(text)?.[1];
const withVersion = (text, version) => text.replace(VERSION, `  resourceVersion: "${version}"`);

