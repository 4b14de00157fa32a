// Keys as the bytes that programs expect of them.

const CURSOR = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
const NUMBERED = { Insert: 2, Delete: 3, PageUp: 5, PageDown: 6, F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F11: 23, F12: 24 };
const FUNCTION = { F1: "P", F2: "Q", F3: "R", F4: "S" };
const SINGLE = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b" };

/** The bytes of a key, or nothing where the browser is to have it. */
export function bytesOf(event, modes) {
  const { key, ctrlKey, altKey, shiftKey, metaKey } = event;
  if (metaKey || (ctrlKey && shiftKey)) return null;
  const modifier = 1 + (shiftKey ? 1 : 0) + (altKey ? 2 : 0) + (ctrlKey ? 4 : 0);
  if (CURSOR[key]) {
    if (modifier > 1) return `\x1b[1;${modifier}${CURSOR[key]}`;
    return `\x1b${modes.applicationCursor ? "O" : "["}${CURSOR[key]}`;
  }
  if (NUMBERED[key]) return `\x1b[${NUMBERED[key]}${modifier > 1 ? `;${modifier}` : ""}~`;
  if (FUNCTION[key]) return modifier > 1 ? `\x1b[1;${modifier}${FUNCTION[key]}` : `\x1bO${FUNCTION[key]}`;
  if (key === "Tab" && shiftKey) return "\x1b[Z";
  const prefix = altKey ? "\x1b" : "";
  if (SINGLE[key]) return prefix + (key === "Backspace" && ctrlKey ? "\x08" : SINGLE[key]);
  if (ctrlKey && key.length === 1) {
    const code = key === " " ? 0 : key === "?" ? 127 : key.toUpperCase().charCodeAt(0) & 0x1f;
    return /[a-zA-Z@[\\\]^_ ?]/.test(key) ? prefix + String.fromCharCode(code) : null;
  }
  return altKey && key.length === 1 ? prefix + key : null;
}
