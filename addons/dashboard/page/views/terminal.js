// A shell in a container, over a WebSocket of the API: channels by the first byte of each message.

import { access, closeQuietly, socketAddress, socketProtocols } from "../lib/api.js";
import { el, fill } from "../lib/dom.js";
import { Terminal } from "../terminal/terminal.js";
import { button } from "./parts.js";

const [STDIN, ERROR, RESIZE] = [0, 3, 4];
/** The best shell that the container has. */
const SHELL = ["sh", "-c", "export TERM=xterm-256color; command -v bash >/dev/null 2>&1 && exec bash; exec sh"];

/** The tab with the terminal. */
export function terminalView(target, scope, about) {
  const { spec, status } = about.object;
  const running = new Set([...(status?.containerStatuses ?? []), ...(status?.ephemeralContainerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].filter((one) => one.state?.running).map((one) => one.name));
  const names = [...(spec.containers ?? []), ...(spec.ephemeralContainers ?? []), ...(spec.initContainers ?? [])].map((one) => one.name);
  const picker = el("select", { aria: { label: "Container" }, onchange: () => connect() }, names.map((name) => el("option", { value: name, disabled: !running.has(name) }, name)));
  picker.value = names.find((name) => running.has(name)) ?? names[0];
  const state = el("span.live", { role: "status" });
  let session = null;
  const terminal = new Terminal({
    label: `Terminal in ${about.name}`,
    onType: (text) => session?.send(STDIN, text),
    onResize: (columns, rows) => session?.send(RESIZE, JSON.stringify({ Width: columns, Height: rows })),
  });
  const say = (word, look) => fill(Object.assign(state, { className: `live ${look}` }), word);
  const connect = () => {
    session?.close();
    say("Connecting", "listing");
    const own = (session = open(about, picker.value, {
      onopen: () => {
        say("Connected", "watching");
        terminal.fit();
        const { columns, rows } = terminal.screen;
        own.send(RESIZE, JSON.stringify({ Width: columns, Height: rows }));
        terminal.focus();
      },
      onoutput: (bytes) => own === session && terminal.write(bytes),
      onend: (why) => {
        if (own !== session) return;
        say("Ended", "failed");
        terminal.say(why);
      },
    }));
  };
  fill(target, el(".term-bar", el("label.field", el("span", "Container"), picker), state, el(".spacer"), button("New session", "restart", () => connect())), terminal.element);
  scope.add(() => {
    session?.close();
    session = null;
    terminal.end();
  });
  requestAnimationFrame(() => (terminal.fit(), running.size ? connect() : terminal.say("No container of this pod runs.")));
}

/** Opens a session of exec. */
function open(about, container, { onopen, onoutput, onend }) {
  const query = new URLSearchParams([["container", container], ["stdin", "true"], ["stdout", "true"], ["tty", "true"], ...SHELL.map((word) => ["command", word])]);
  const socket = new WebSocket(socketAddress(`${about.path}/exec?${query}`), socketProtocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]));
  socket.binaryType = "arraybuffer";
  const encoder = new TextEncoder();
  let why = "";
  let opened = false;
  socket.onopen = () => {
    opened = true;
    onopen();
  };
  socket.onmessage = ({ data }) => {
    const bytes = new Uint8Array(data);
    if (bytes[0] === ERROR) why = ending(new TextDecoder().decode(bytes.subarray(1)));
    else onoutput(bytes.subarray(1));
  };
  socket.onclose = () => onend(why || (opened ? "The session has ended." : refusal()));
  return {
    send(channel, text) {
      if (socket.readyState !== WebSocket.OPEN) return;
      const bytes = encoder.encode(text);
      const message = new Uint8Array(bytes.length + 1);
      message[0] = channel;
      message.set(bytes, 1);
      socket.send(message);
    },
    close: () => closeQuietly(socket),
  };
}

const refusal = () => (access.about ? "The cluster refused the session: the container may have ended, or your rights do not allow it." : "The way by which this page is open carries no terminals; `coracle dashboard` does.");

/** What the status of an exec says about its end. */
function ending(text) {
  try {
    const { status, message, details } = JSON.parse(text);
    const code = details?.causes?.find((one) => one.reason === "ExitCode")?.message;
    return status === "Success" ? "The session has ended." : code ? `The session has ended with exit code ${code}.` : message;
  } catch {
    return text;
  }
}
