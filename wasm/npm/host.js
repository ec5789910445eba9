// What the module asks of the platform: one request, timers, both clocks, randomness. Nothing is
// decided here; how far a failed request had come is all that this file judges.
//
// The module has no loop of its own: `run` polls its tasks, and each `Effect` wakes the task that
// waits for it.

/** What differs between platforms; an entry of the package may change it before a client is made. */
export const platform = {
  /** Whether a promise may be resolved from within the handling of another request. */
  wakesAcrossTasks: true,
  /** What every request is sent with: no redirect is followed, nothing goes along or is kept. */
  init: { redirect: "manual", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" },
};

export const wakesAcrossTasks = () => platform.wakesAcrossTasks;
export const monotonic = () => performance.now();
export const wall = () => Date.now();
export const random = (buffer) => void crypto.getRandomValues(buffer);
export const warn = (code, text) => console.warn(`baokit: ${code}: ${text}`);

/** What a task waits for. It settles once, through the platform or through `end`. */
class Effect {
  #outcome;
  #task;
  #stop;

  constructor(start) {
    this.#stop = start((outcome) => this.#settle(outcome));
  }

  #settle(outcome) {
    if (this.#outcome) return;
    this.#outcome = outcome;
    if (this.#task) wake(this.#task);
  }

  poll(task) {
    this.#task = task;
    return this.#outcome;
  }

  end() {
    this.#task = undefined;
    if (this.#outcome) return;
    this.#outcome = {};
    try {
      this.#stop();
    } catch {
      // It belonged to a request that is over, and ended with it.
    }
  }
}

export function sleep(milliseconds) {
  return new Effect((settle) => {
    const timer = setTimeout(settle, Math.ceil(milliseconds), {});
    return () => clearTimeout(timer);
  });
}

/** One request, put together and sent. */
export class Outgoing {
  #node;
  #target;
  #init;

  constructor(method, node, target) {
    this.#node = node;
    this.#target = target;
    this.#init = { ...platform.init, method, headers: [] };
  }

  header(name, value) {
    this.#init.headers.push([name, value]);
  }

  body(bytes) {
    // `bytes` is the module's own memory.
    this.#init.body = bytes.slice();
  }

  /** The outcome is `{ status, headers, body }`, or `{ failure, reason }`. */
  send(fetch, limit) {
    return new Effect((settle) => {
      const abort = new AbortController();
      const init = { ...this.#init, signal: abort.signal };
      const odd = () => settle({ failure: "after-send", reason: "fetch gave no reason" });
      exchange(fetch ?? globalThis.fetch, this.#node, this.#target, init, limit).then(settle, odd);
      return () => abort.abort();
    });
  }
}

/** The tasks under way, by number, in the order of their beginnings. */
const tasks = new Map();
/** How much longer than its limit a task may take: it may have had to wait for the processor. */
const GRACE = 2000;
const PENDING = Symbol("pending");

/** Has a task polled soon; by then it may be over. */
export function wake(number) {
  queueMicrotask(() => tasks.get(number)?.step());
}

/**
 * Drops the tasks that nothing will wake any more: where each request lives in a context of its own,
 * what a task waits for ends with its request, and the task would hold its place for good.
 */
function sweep(now) {
  for (const { until, drop } of tasks.values()) if (until < now) drop();
}

/** A promise of a task's result. Aborting the signal drops the task, and with it its request. */
export function run(task, signal) {
  const { number, limit } = task;
  const now = monotonic();
  if (!platform.wakesAcrossTasks) sweep(now);
  return new Promise((resolve, reject) => {
    let busy = false;
    const abort = () => {
      // A foreign fetch may abort its own caller; the task can't be dropped while it runs.
      if (busy) return;
      finish();
      reject(signal.reason);
    };
    const finish = () => {
      tasks.delete(number);
      signal?.removeEventListener("abort", abort);
      try {
        task.free();
      } catch {
        // After a panic it can't be; the promise settles all the same.
      }
    };
    const step = () => {
      if (signal?.aborted) return abort();
      busy = true;
      let result;
      try {
        result = task.poll(PENDING);
      } catch (error) {
        finish();
        return reject(error);
      } finally {
        busy = false;
      }
      if (result !== PENDING) {
        finish();
        resolve(result);
      } else if (signal?.aborted) {
        abort();
      }
    };
    tasks.set(number, { step, drop: () => busy || finish(), until: now + limit + GRACE });
    signal?.addEventListener("abort", abort);
    step();
  });
}

async function exchange(fetch, node, target, init, limit) {
  const url = new URL(node + target);
  if (url.pathname + url.search !== target) {
    return { failure: "before-send", reason: "the URL parser would change the path" };
  }
  let response;
  try {
    response = await fetch(url.href, init);
  } catch (error) {
    return refused(error);
  }
  // A browser hides the status and the target of a redirect. It was one, to an unknown place.
  if (response?.type === "opaqueredirect") return { status: 307, headers: [], body: new Uint8Array() };
  try {
    const announced = Number(response.headers.get("content-length"));
    const body = await read(response.body, announced, limit);
    if (!body) return { failure: "too-large", reason: `the answer is longer than ${limit} bytes` };
    return { status: response.status, headers: [...response.headers].flat(), body };
  } catch (error) {
    return { failure: "body", reason: name(causes(error).pop()) };
  }
}

/** The whole body, or nothing where it is longer than the limit. */
async function read(stream, announced, limit) {
  const chunks = [];
  let length = 0;
  if (stream) {
    const reader = stream.getReader();
    const tooLong = () => Math.max(length, announced) > limit;
    while (!tooLong()) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      chunks.push(value);
    }
    if (tooLong()) {
      reader.cancel().catch(() => {});
      return undefined;
    }
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

// What a system call was doing when it failed, and the codes of runtimes that do not tell so.
const CONNECTING = new Set(["connect", "getaddrinfo"]);
const NOT_CONNECTED = new Set(["UND_ERR_CONNECT_TIMEOUT", "ConnectionRefused", "FailedToOpenSocket"]);
// Deno has no codes; this is what its HTTP library says of a connection that was not made.
const NOT_CONNECTED_TEXT = /client error \(Connect\)/;
// A handshake that failed: certificates that are refused here (Node's codes, which are OpenSSL's names),
// certificates that the server's alert refuses, and what only a handshake says. All else, such as a
// broken record or what a server without TLS sends, may come after the request was read.
const HANDSHAKE = new Set([
  "ERR_TLS_CERT_ALTNAME_INVALID", "ERR_TLS_CERT_ALTNAME_FORMAT", "ERR_TLS_HANDSHAKE_TIMEOUT",
  "CERT_CHAIN_TOO_LONG", "CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CERT_REJECTED", "CERT_REVOKED",
  "CERT_SIGNATURE_FAILURE", "CERT_UNTRUSTED", "DEPTH_ZERO_SELF_SIGNED_CERT", "ERROR_IN_CERT_NOT_AFTER_FIELD",
  "ERROR_IN_CERT_NOT_BEFORE_FIELD", "HOSTNAME_MISMATCH", "INVALID_CA", "INVALID_PURPOSE", "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
  "UNABLE_TO_GET_CRL", "UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNKNOWN_CERTIFICATE_VERIFICATION_ERROR",
  "ERR_SSL_CERTIFICATE_VERIFY_FAILED", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
  "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED", "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
  "ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED",
  "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN",
  "ERR_SSL_SSL/TLS_ALERT_UNKNOWN_CA", "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE",
  "ERR_SSL_SSL/TLS_ALERT_UNSUPPORTED_CERTIFICATE", "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_REVOKED",
  "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED", "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN",
  "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE",
  "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "ERR_SSL_TLSV1_UNRECOGNIZED_NAME", "ERR_SSL_NO_SHARED_CIPHER",
  "ERR_SSL_UNSUPPORTED_PROTOCOL", "ERR_SSL_NO_PROTOCOLS_AVAILABLE", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
]);
/** How far a request had come that `fetch` gave no answer to. What can't be told counts as sent. */
function refused(error) {
  const chain = causes(error);
  const last = chain[chain.length - 1];
  const reason = name(last);
  if (chain.some((cause) => HANDSHAKE.has(cause?.code))) return { failure: "tls", reason };
  const unconnected = (cause) =>
    CONNECTING.has(cause?.syscall) || NOT_CONNECTED.has(cause?.code) || NOT_CONNECTED_TEXT.test(cause?.message);
  if (chain.some(unconnected)) {
    return { failure: "connect", reason };
  }
  return { failure: "after-send", reason };
}

/** The error and what lies behind it: Node wraps the system's errors, those of several addresses too. */
function causes(error) {
  const chain = [error];
  while (chain.length < 8 && (error = error?.cause ?? error?.errors?.[0])) chain.push(error);
  return chain;
}

/** A code or a class; never a message, which may quote a header. */
function name(error) {
  const text = String(error?.code ?? error?.name);
  return /^[A-Za-z0-9_]{1,64}$/.test(text) ? text : "fetch gave no reason";
}
