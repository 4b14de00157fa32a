// Elements from code. Whatever comes from the cluster becomes text of a text node or a value of a property that is no markup
// and no address; there is no way to markup from text in this page.

/** An element: `el("a.link.big", { href: "#/" }, "text", child, …)`. Names with `on` are listeners, `data` and `aria` are objects. */
export function el(selector, properties, ...children) {
  if (properties instanceof Node || Array.isArray(properties) || (properties !== null && typeof properties !== "object")) {
    children.unshift(properties);
    properties = {};
  }
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  return set(element, properties ?? {}, children);
}

/** The same in SVG; every property is an attribute. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function set(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else if (name === "aria") for (const [key, to] of Object.entries(value)) element.setAttribute(`aria-${key}`, String(to));
    else if (name === "href") setAddress(element, value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Only places of this page and web addresses are followed: `javascript:` is none of them. */
function setAddress(element, value) {
  if (/^(#|https?:\/\/)/.test(value)) element.setAttribute("href", value);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Calls `work` once before the next paint, however often it was asked for. */
export function framed(work) {
  let asked = 0;
  return () => {
    if (asked) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      work();
    });
  };
}

/** A text in which what was searched for is marked. */
export function marked(text, query) {
  if (!query) return [text];
  const parts = [];
  const [low, wanted] = [text.toLowerCase(), query.toLowerCase()];
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    if (at > from) parts.push(text.slice(from, at));
    parts.push(el("mark", text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

/** Copies a text, and says so on the button for a moment. */
export async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1200);
}
