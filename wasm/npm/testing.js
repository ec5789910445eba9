// An OpenBao-compatible server in memory, as a fetch function without a socket.

import { RawServer } from "./wasm/testing.js";

const DISPOSE = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const INSPECT = Symbol.for("nodejs.util.inspect.custom");
/** The log keeps this many requests, the newest. */
const LOG_LENGTH = 10_000;

/** A TypeError, or what else fits, with the code of baokit that goes with it. */
function mistake(Kind, message) {
  return Object.assign(new Kind(message), { code: "INVALID_VALUE" });
}

/** A server like `bao server -dev`: KV version 2 at `secret/`, AppRole, policies. */
export class DevServer {
  #raw;
  #rootToken;
  #advanced = 0;
  #requests = [];

  constructor({ rootToken = "root", seed = 1 } = {}) {
    if (typeof rootToken !== "string") throw mistake(TypeError, "rootToken is a string");
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
      throw mistake(TypeError, "seed is a whole number below 2^32");
    }
    this.#rootToken = rootToken;
    this.#raw = new RawServer(seed, rootToken);
  }

  /** To be passed as the option `fetch`; it answers whatever host the address names. */
  fetch = async (input, init) => {
    this.#server();
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const { pathname, search } = new URL(request.url);
    const target = pathname + search;
    const body = new Uint8Array(await request.arrayBuffer());
    const headers = [...request.headers];
    const { method } = request;
    // Once more, since the body took its time.
    const answer = this.#server().handle(Date.now() + this.#advanced, method, target, headers.flat(), body);
    const { status } = answer;
    this.#requests.push({ method, target, headers: headers.map(([name]) => name), status });
    if (this.#requests.length > LOG_LENGTH) this.#requests.shift();
    const list = answer.headers;
    const pairs = list.flatMap((name, at) => (at % 2 ? [] : [[name, list[at + 1]]]));
    const content = answer.body;
    answer.free();
    return new Response([204, 205, 304].includes(status) ? null : content, { status, headers: pairs });
  };

  #server() {
    if (!this.#raw) throw mistake(TypeError, "the server was disposed of");
    return this.#raw;
  }

  get rootToken() {
    this.#server();
    return this.#rootToken;
  }

  /** The requests so far: method, target, names of the headers, status. Their values are not kept. */
  get requests() {
    this.#server();
    return [...this.#requests];
  }

  clearRequests() {
    this.#server();
    this.#requests = [];
  }

  /** Moves the clock on: tokens expire as if so many seconds had passed. */
  advance(seconds) {
    this.#server();
    if (typeof seconds !== "number") throw mistake(TypeError, "seconds is a number");
    if (!(seconds >= 0 && seconds < Infinity)) throw mistake(RangeError, "seconds is finite and not below 0");
    this.#advanced += seconds * 1000;
  }

  seal() {
    this.#server().seal();
  }

  unseal() {
    this.#server().unseal();
  }

  /** Forgets a token, as if it had been revoked elsewhere. */
  revoke(token) {
    if (typeof token !== "string") throw mistake(TypeError, "token is a string");
    this.#server().revoke(token);
  }

  [DISPOSE]() {
    this.#raw?.free();
    this.#raw = undefined;
  }

  toJSON() {
    return {};
  }

  [INSPECT]() {
    return "DevServer";
  }
}
