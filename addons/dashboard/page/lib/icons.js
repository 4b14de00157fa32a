// Small drawings, each a path in a square of 20.

import { svg } from "./dom.js";

const PATHS = {
  overview: "M3 3h6v8H3zM11 3h6v5h-6zM11 10h6v7h-6zM3 13h6v4H3z",
  workloads: "M10 2l7 4v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8",
  network: "M10 3v4M4 17v-3h12v3M10 7a2 2 0 1 0 0 .01M10 9v5M4 17a1 1 0 1 0 .01 0M16 17a1 1 0 1 0 .01 0",
  config: "M3 5h14M3 10h14M3 15h14M7 3v4M13 8v4M6 13v4",
  storage: "M3 5c0-3 14-3 14 0v10c0 3-14 3-14 0zM3 5c0 3 14 3 14 0M3 10c0 3 14 3 14 0",
  cluster: "M3 4h14v5H3zM3 11h14v5H3zM6 6.5h.01M6 13.5h.01",
  access: "M10 2l6 2.5v5c0 4-3 7-6 8.5-3-1.5-6-4.5-6-8.5v-5zM7.5 10l2 2 3.5-4",
  custom: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM13.5 11v5M11 13.5h5",
  charts: "M4 16V9M10 16V4M16 16v-5",
  addons: "M8 3h4v3h5v5h-3v2h3v4H3v-5h3v-2H3V6h5z",
  search: "M9 3a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM13.5 13.5L18 18",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  menu: "M3 5h14M3 10h14M3 15h14",
  check: "M4 10l4 4 8-9",
  alert: "M10 3l8 14H2zM10 8v4M10 14.5v.01",
  terminal: "M3 4h14v12H3zM6 8l2.5 2L6 12M10 12h4",
  logs: "M4 3h9l3 3v11H4zM7 9h6M7 12h6M7 6h3",
  edit: "M4 16l1-4 8-8 3 3-8 8zM11 6l3 3",
  trash: "M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11",
  restart: "M16 10a6 6 0 1 1-2-4.5M16 3v3.5h-3.5",
  scale: "M3 10h14M6 7l-3 3 3 3M14 7l3 3-3 3",
  play: "M6 4l10 6-10 6z",
  pause: "M7 4v12M13 4v12",
  chevron: "M7 5l5 5-5 5",
  down: "M10 3v10M5.5 9L10 13.5 14.5 9M4 17h12",
  external: "M8 4H4v12h12v-4M11 4h5v5M16 4l-7 7",
};

/** The drawing of that name; it says nothing to who listens. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, svg("path", { d: PATHS[name] ?? PATHS.custom }));
}
