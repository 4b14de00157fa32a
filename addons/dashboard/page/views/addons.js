// Addons of the cluster, each with a button: what `coracle addons` lists and switches.

import { access, command, getJson } from "../lib/api.js";
import { ofKey, path, place } from "../lib/discovery.js";
import { el, fill, framed } from "../lib/dom.js";
import { Watches } from "../lib/watch.js";
import { stateOf } from "./kinds.js";
import { button, pill, ratio, toast, trouble } from "./parts.js";

const LABEL = "coracle.local/addon";
const WORKLOADS = ["apps/deployments", "apps/daemonsets"];

/** Shows the addons and how their workloads are. */
export async function addonsView(target, scope) {
  document.title = "Addons · Coracle";
  if (!access.about) return void fill(target, trouble(new Error("Addons are switched by `coracle addons`, which this page reaches when `coracle dashboard` opened it.")));
  const box = el(".addons");
  fill(target, el("header.view-head", el("div", el("h1", "Addons"), el("p.view-sub", "Parts of the cluster that can be switched on and off"))), box);
  let states = {};
  const busy = new Set();
  const watches = new Watches();
  scope.add(() => watches.stop());
  const draw = framed(() => fill(box, Object.keys(states).sort().map((name) => addon(name))));
  const all = WORKLOADS.map((key) => [key, watches.add(path(ofKey(key), ""), { query: `labelSelector=${encodeURIComponent(LABEL)}`, onchange: draw })]);

  const load = async () => {
    const answer = await getJson("/coracle/addons");
    if (answer.code !== 0) throw new Error(answer.err);
    states = JSON.parse(answer.out);
    draw();
  };
  const toggle = async (name, isOn) => {
    busy.add(name);
    draw();
    try {
      await command(`addons/${encodeURIComponent(name)}/${isOn ? "disable" : "enable"}`);
      toast(`${name} is ${isOn ? "off" : "on"}`);
    } catch (error) {
      toast(error.message, "bad");
    }
    busy.delete(name);
    await load();
  };
  function addon(name) {
    const known = access.about.addons.find((one) => one.name === name);
    const isOn = states[name].Status === "enabled";
    const own = all.flatMap(([key, watch]) => watch.list.filter((one) => one.metadata.labels?.[LABEL] === name).map((one) => [key, one]));
    const change = busy.has(name) ? pill(isOn ? "switching off" : "switching on", "warn")
      : known ? button(isOn ? "Switch off" : "Switch on", isOn ? "pause" : "play", () => toggle(name, isOn), isOn ? "" : "primary") : el("span.quiet", "built in");
    return el(`section.card.addon${isOn ? ".on" : ""}`, { data: { addon: name } },
      el("header", el("h2", known?.title || name), pill(isOn ? "enabled" : "disabled", isOn ? "good" : "plain")),
      el("p", known?.description || "Part of the executable; always on."), el("p.quiet", name),
      own.map(([key, one]) => el("a.addon-part", { href: place(ofKey(key), one.metadata.namespace, one.metadata.name) }, one.metadata.name, " ", stateOf(key, one) === "Ready" ? pill("Ready") : ratio(stateOf(key, one)))),
      el("footer", change));
  }
  await load();
}
