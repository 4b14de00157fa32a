// Where the page begins: the token, the API, then the view that the address names.

import { access, getJson, takeToken } from "./lib/api.js";
import { discover } from "./lib/discovery.js";
import { el, fill } from "./lib/dom.js";
import * as metrics from "./lib/metrics.js";
import { Scope } from "./lib/state.js";
import { overview } from "./views/overview.js";
import { shell } from "./views/shell.js";
import { trouble } from "./views/parts.js";

const app = document.getElementById("app");

/** Addresses and the views that they show; views that are seldom seen are loaded when they are. */
const ROUTES = [
  [/^\/?$/, async () => overview, () => ({})],
  [/^\/list\/([^/]+)\/([^/]+)$/, async () => (await import("./views/list.js")).listView, ([group, name]) => ({ key: keyOf(group, name) })],
  [/^\/object\/([^/]+)\/([^/]+)\/([^/]+)\/([^/]+)(?:\/(\w+))?$/, async () => (await import("./views/object.js")).objectView,
    ([group, resource, namespace, name, tab]) => ({ key: keyOf(group, resource), namespace: namespace === "-" ? "" : namespace, name, tab })],
  [/^\/charts$/, async () => (await import("./views/charts.js")).chartsView, () => ({})],
  [/^\/charts\/([^/]+)\/([^/]+)$/, async () => (await import("./views/charts.js")).releaseView, ([namespace, name]) => ({ namespace, name })],
  [/^\/addons$/, async () => (await import("./views/addons.js")).addonsView, () => ({})],
  [/^\/kinds$/, async () => (await import("./views/custom.js")).customView, () => ({})],
];

const keyOf = (group, name) => `${group === "core" ? "" : group}/${name}`;

let scope = new Scope();
let frame = null;

async function route() {
  const path = location.hash.replace(/^#/, "");
  for (const [pattern, load, read] of ROUTES) {
    const found = pattern.exec(path);
    if (!found) continue;
    scope.end();
    const own = (scope = new Scope());
    const target = frame.begin(path);
    try {
      const view = await load();
      // Somebody may have gone on meanwhile.
      if (own === scope) await view(target, own, read(found.slice(1).map((part) => part && decodeURIComponent(part))));
    } catch (error) {
      if (own === scope) fill(target, trouble(error, route));
    }
    return;
  }
  location.hash = "#/";
}

async function begin() {
  takeToken();
  try {
    const [, about] = await Promise.all([discover(), aboutThis()]);
    access.about = about;
  } catch (error) {
    const { entrance } = await import("./views/entrance.js");
    return entrance(app, error, begin);
  }
  frame = shell(app);
  metrics.start();
  addEventListener("hashchange", route);
  await route();
}

/** What `coracle dashboard` tells of the cluster; nothing where the page came by another way. */
async function aboutThis() {
  if (!access.token) return null;
  try {
    return await getJson("/coracle/about");
  } catch {
    return null;
  }
}

// The address of another dashboard, or of this one again, opened in a tab that shows the page already.
addEventListener("hashchange", () => {
  if (!takeToken()) return;
  location.reload();
});

addEventListener("coracle:unauthorized", async () => {
  if (!frame) return;
  scope.end();
  removeEventListener("hashchange", route);
  frame = null;
  const { entrance } = await import("./views/entrance.js");
  entrance(app, Object.assign(new Error("the token is not valid any more"), { code: 401 }), begin);
});

fill(app, el("p.starting", "Coracle"));
begin();
