// The door to the API: same origin, with the token of `coracle dashboard` or one that somebody typed.

const KEY = "coracle.token";

/** What the page knows of its way to the API. */
export const access = {
  token: sessionStorage.getItem(KEY) ?? "",
  /** What `coracle dashboard` tells, where the page came by it: then there are streams and commands too. */
  about: null,
};

/** Keeps the token for this tab. */
export function setToken(token) {
  access.token = token;
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

/** Takes the token out of the address, so that it is in no history and no bookmark; whether there was one. */
export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return false;
  setToken(found[1]);
  history.replaceState(null, "", `${location.pathname}#/`);
  return true;
}

/** A failure that the API told of. */
export class ApiError extends Error {
  constructor(code, status) {
    super(status?.message || `the API answered ${code}`);
    this.code = code;
    this.reason = status?.reason ?? "";
    this.details = status?.details ?? {};
  }
}

/** Headers of every request. */
export function headers(accept, type) {
  const all = { Accept: accept ?? "application/json" };
  if (type) all["Content-Type"] = type;
  if (access.token) all.Authorization = `Bearer ${access.token}`;
  return all;
}

/** How often what only reads is asked again where no answer came, and after how many milliseconds. */
const AGAIN = { times: 3, pause: 100 };

/** Asks. A browser ends its requests when the machine's networks change, as they do when a cluster starts or is deleted. */
async function ask(path, options) {
  for (let left = options.method === "GET" ? AGAIN.times : 0; ; left--) {
    try {
      return await fetch(path, options);
    } catch (error) {
      if (left === 0 || options.signal?.aborted) throw error;
      await new Promise((done) => setTimeout(done, AGAIN.pause));
    }
  }
}

/** One request; the answer as it came, if it is none of a failure. */
export async function send(path, { method = "GET", body, type, accept, signal } = {}) {
  const options = { method, body, signal, headers: headers(accept, body === undefined ? undefined : type ?? "application/json") };
  const answer = await ask(path, { ...options, credentials: "omit", cache: "no-store" });
  if (answer.ok) return answer;
  let status = null;
  const text = await answer.text();
  try {
    status = JSON.parse(text);
  } catch {
    status = { message: text.trim().slice(0, 500) };
  }
  if (answer.status === 401) dispatchEvent(new CustomEvent("coracle:unauthorized"));
  throw new ApiError(answer.status, status);
}

export const getJson = async (path, options) => (await send(path, options)).json();
export const getText = async (path, options) => (await send(path, options)).text();

/** Writes; `value` is an object, or text with its type. */
export async function write(method, path, value, type) {
  const body = value === undefined ? undefined : typeof value === "string" ? value : JSON.stringify(value);
  return (await send(path, { method, body, type })).json();
}

export const MERGE = "application/merge-patch+json";
export const MANAGER = "fieldManager=coracle-dashboard";

/** Runs a command of `coracle` in the user's name; its output, or an error with what it said. */
export async function command(path, input) {
  const answer = await write("POST", `/coracle/${path}`, input, "application/yaml");
  if (answer.code === 0) return answer;
  throw new Error((answer.err || answer.out || "the command failed").trim());
}

/** The token as WebSockets carry it: they have no headers of a page's. */
export function socketProtocols(protocols) {
  if (!access.token) return protocols;
  const encoded = btoa(access.token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [...protocols, `base64url.bearer.authorization.k8s.io.${encoded}`];
}

/** The address of a WebSocket at this origin. */
export const socketAddress = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

/** Closes a WebSocket; one that is being opened is closed when it is, as browsers take anything else for a fault. */
export function closeQuietly(socket) {
  if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket.close();
}

/** An answer that does not end: its text in pieces, as an async iterator. Ends when `signal` says so. */
export function stream(path, { accept, signal }) {
  return access.about ? socketStream(path, accept, signal) : fetchStream(path, accept, signal);
}

async function* fetchStream(path, accept, signal) {
  const answer = await send(path, { accept, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

async function* socketStream(path, accept, signal) {
  if (signal?.aborted) return;
  const socket = new WebSocket(socketAddress("/coracle/stream"), socketProtocols(["stream.coracle.local"]));
  socket.binaryType = "arraybuffer";
  const decoder = new TextDecoder();
  const queue = [];
  let [wake, ended, failure, status] = [null, false, null, 0];
  const tell = () => wake?.();
  const abort = () => closeQuietly(socket);
  signal?.addEventListener("abort", abort);
  socket.onopen = () => socket.send(JSON.stringify({ path, accept: accept ?? "application/json" }));
  socket.onclose = (event) => {
    ended = true;
    if (event.code !== 1000 && !signal?.aborted) failure ??= new Error("the connection to the cluster was lost");
    tell();
  };
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") queue.push(decoder.decode(event.data, { stream: true }));
    else {
      const said = JSON.parse(event.data);
      status = said.status;
      if (said.message) failure = new ApiError(said.status, said);
    }
    tell();
  };
  try {
    let said = "";
    for (;;) {
      while (queue.length) {
        const piece = queue.shift();
        if (status < 400) yield piece;
        else said += piece;
      }
      if (ended) break;
      await new Promise((resolve) => (wake = resolve));
    }
    if (status >= 400 && !failure) failure = new ApiError(status, parsed(said));
    if (failure && !signal?.aborted) throw failure;
  } finally {
    signal?.removeEventListener("abort", abort);
    closeQuietly(socket);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text };
  }
}

/** Lines of a stream, in arrays as they come: many at once are one paint. */
export async function* lines(pieces) {
  let rest = "";
  for await (const piece of pieces) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop();
    if (parts.length) yield parts;
  }
  if (rest) yield [rest];
}
