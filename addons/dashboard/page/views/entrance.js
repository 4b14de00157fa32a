// What is shown where the page cannot reach the API: how to open it, or a place for a token.

import { access, setToken } from "../lib/api.js";
import { copy, el, fill } from "../lib/dom.js";
import { icon } from "../lib/icons.js";

/** Explains `error`, and calls `again` with a new token. */
export function entrance(app, error, again) {
  document.title = "Coracle";
  const isRefused = error.code === 401 || error.code === 403;
  const command = "coracle dashboard";
  const copied = el("button.button", { type: "button", onclick: (event) => copy(command, event.currentTarget) }, "Copy");
  fill(app, el("main.entrance",
    el("img.entrance-mark", { src: "icon.svg", alt: "" }),
    el("h1", isRefused && access.token ? "This session is over" : isRefused ? "Who are you?" : "This is the dashboard, without a cluster behind it"),
    el("p", isRefused && access.token
      ? "The address belongs to a dashboard that was ended, or to another cluster. Open the one that this command prints:"
      : isRefused ? "The cluster is here, and wants to know whose rights to use. This command opens the dashboard with yours:"
        : "The page has no rights of its own: it shows what yours allow. On the machine of the cluster, this opens it with them:"),
    el(".command", el("code", command), copied),
    isRefused && tokenForm(again),
    el("details", el("summary", "What the page was told"), el("pre", `${error.code ? `${error.code} ` : ""}${error.message}`)),
  ));
}

function tokenForm(again) {
  const input = el("input", { type: "password", name: "token", autocomplete: "off", required: true, placeholder: "Bearer token", aria: { label: "Bearer token" } });
  const onsubmit = (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    again();
  };
  return el("form.token", { onsubmit }, el("p", "Or take a token, such as one of ", el("code", "kubectl create token NAME"), ":"),
    el(".command", input, el("button.button.primary", { type: "submit" }, icon("access"), "Go on")));
}
