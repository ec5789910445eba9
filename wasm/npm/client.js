// What users import: the operations with the names and the manners of JavaScript. Types of arguments
// are checked here, since those mistakes are the language's; every rule of baokit is in the module.

import { BaokitError } from "./error.js";
import { run } from "./host.js";
import { Texts, Versions } from "./shapes.js";
import { RawClient, describeSettings, parsePointer, parseUri } from "./wasm/baokit.js";

export { BaokitError, Versions };

const INSPECT = Symbol.for("nodejs.util.inspect.custom");
const DISPOSE = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const REDACTED = "[redacted]";
/** Only this file can make secrets; the key under which it passes an environment is its own, too. */
const OURS = Symbol("baokit");

/** A client of one OpenBao cluster. */
export class Client {
  #raw;

  constructor(options = {}) {
    const { [OURS]: env, fetch, ...settings } = object(options, "options");
    if (fetch !== undefined && typeof fetch !== "function") throw new TypeError("fetch is a function");
    this.#raw = new RawClient(checked(settings), env && lookup(env), fetch);
  }

  static fromEnv(env = ownEnvironment(), options = {}) {
    return new Client({ ...object(options, "options"), [OURS]: object(env, "env") });
  }

  static describeSettings(env = ownEnvironment(), provider = undefined) {
    return describeSettings(lookup(object(env, "env")), optional(string)(provider, "provider"));
  }

  get settings() {
    return this.#raw.settings();
  }

  async read(uri, options) {
    return new Secret(OURS, await run(this.#raw.read(address(uri)), signal(options)));
  }

  async write(uri, value, options) {
    return run(this.#raw.write(address(uri), json(value)), signal(options));
  }

  async rotate(uri, value, options) {
    return run(this.#raw.rotate(address(uri), json(value)), signal(options));
  }

  async delete(uri, options) {
    return run(this.#raw.delete(address(uri)), signal(options));
  }

  async versions(uri, options) {
    return run(this.#raw.versions(address(uri)), signal(options));
  }

  kv2(mount) {
    return new Kv2(OURS, this.#raw, string(mount, "mount"));
  }

  async request(method, path, body, options) {
    const text = body === undefined ? undefined : json(body);
    const task = this.#raw.request(string(method, "method"), string(path, "path"), text);
    return new SecretValue(OURS, await run(task, signal(options)));
  }

  async lookupSelf(options) {
    return run(this.#raw.lookupSelf(), signal(options));
  }

  async renewSelf(options) {
    const { increment } = object(options ?? {}, "options");
    return run(this.#raw.renewSelf(optional(count)(increment, "increment")), signal(options));
  }

  close() {
    this.#raw.close();
  }

  [DISPOSE]() {
    this.close();
  }

  toJSON() {
    return { nodes: this.settings.nodes };
  }

  toString() {
    return `Client(${this.settings.nodes})`;
  }

  [INSPECT]() {
    return this.toString();
  }
}

/** The KVv2 engine at one mount. */
class Kv2 {
  #raw;
  #mount;

  constructor(key, raw, mount) {
    ours(key);
    this.#raw = raw;
    this.#mount = mount;
  }

  async read(path, options) {
    const version = optional(count)(object(options ?? {}, "options").version, "version");
    return new Secret(OURS, await run(this.#raw.kv2Read(this.#mount, string(path, "path"), version), signal(options)));
  }

  async write(path, data, options) {
    const cas = optional(count)(object(options ?? {}, "options").cas, "cas");
    return run(this.#raw.kv2Write(this.#mount, string(path, "path"), json(data), cas), signal(options));
  }

  async delete(path, options) {
    const versions = optional(counts)(object(options ?? {}, "options").versions, "versions") ?? [];
    return run(this.#raw.kv2Delete(this.#mount, string(path, "path"), BigUint64Array.from(versions), signal(options)));
  }

  async versions(path, options) {
    return run(this.#raw.kv2Versions(this.#mount, string(path, "path")), signal(options));
  }

  toString() {
    return `Kv2(${this.#mount})`;
  }

  [INSPECT]() {
    return this.toString();
  }
}

/** What a secret holds; only this file can ask. */
let held;

/** A value that leaves only through `expose`. It lies in the module's memory, where it can be wiped. */
class SecretValue {
  #raw;

  constructor(key, raw) {
    ours(key);
    this.#raw = raw;
  }

  static {
    held = (secret) => {
      if (!secret.#raw) throw new TypeError("the secret was disposed of");
      return secret.#raw;
    };
  }

  expose() {
    return held(this).expose();
  }

  exposeString() {
    return held(this).exposeString();
  }

  [DISPOSE]() {
    this.#raw?.free();
    this.#raw = undefined;
  }

  toJSON() {
    return REDACTED;
  }

  toString() {
    return REDACTED;
  }

  [INSPECT]() {
    return `${this.constructor.name}(${REDACTED})`;
  }
}

/** A secret as it was read. */
class Secret extends SecretValue {
  get version() {
    return held(this).about.version;
  }

  get createdTime() {
    return held(this).about.createdTime;
  }

  get customMetadata() {
    return Texts.plain(held(this).about.customMetadata);
  }
}

/** The canonical URI of one secret, or of one key in it. */
class SecretUri {
  #text;

  constructor(key, { text, provider, mount, path, fragment, version }) {
    ours(key);
    this.#text = text;
    this.provider = provider;
    this.mount = mount;
    this.path = path;
    this.fragment = fragment;
    // A bigint only where a number would not be exact.
    this.version = version <= Number.MAX_SAFE_INTEGER ? Number(version) : version;
    Object.freeze(this);
  }

  static parse(text, options = {}) {
    const { acceptLegacy, mount } = object(options, "options");
    const lenient = optional(boolean)(acceptLegacy, "acceptLegacy") ?? false;
    return new SecretUri(OURS, parseUri(string(text, "text"), lenient, optional(string)(mount, "mount")));
  }

  toString() {
    return this.#text;
  }

  toJSON() {
    return this.#text;
  }

  [INSPECT]() {
    return `SecretUri(${this.#text})`;
  }
}

/** A pointer to a credential outside any mount. */
class SecretPointer {
  #text;

  constructor(key, text) {
    ours(key);
    this.#text = text;
    Object.freeze(this);
  }

  static parse(text) {
    return new SecretPointer(OURS, parsePointer(string(text, "text")));
  }

  toString() {
    return this.#text;
  }

  toJSON() {
    return this.#text;
  }

  [INSPECT]() {
    return `SecretPointer(${this.#text})`;
  }
}

export { Kv2, Secret, SecretPointer, SecretUri, SecretValue };

// Types of arguments: each function gives the value back or throws a TypeError that names it.

function ours(key) {
  if (key !== OURS) throw new TypeError("Illegal constructor");
}

function wrong(name, wanted) {
  throw new TypeError(`${name} is ${wanted}`);
}

function string(value, name) {
  if (typeof value !== "string") wrong(name, "a string");
  // It would arrive as U+FFFD, and name something else.
  if (/\p{Surrogate}/u.test(value)) wrong(name, "a string without lone surrogates");
  return value;
}

function strings(value, name) {
  if (!Array.isArray(value)) wrong(name, "an array of strings");
  return value.map((item) => string(item, `each of ${name}`));
}

function boolean(value, name) {
  return typeof value === "boolean" ? value : wrong(name, "a boolean");
}

function number(value, name) {
  return typeof value === "number" ? value : wrong(name, "a number");
}

/** A count as the module takes it: a bigint of 64 bits. */
function count(value, name) {
  const legal = typeof value === "bigint" ? value >= 0n && value < 2n ** 64n : Number.isSafeInteger(value) && value >= 0;
  return legal ? BigInt(value) : wrong(name, "a whole number, not below 0");
}

function counts(value, name) {
  if (!Array.isArray(value)) wrong(name, "an array of whole numbers");
  return value.map((item) => count(item, `each of ${name}`));
}

function object(value, name) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : wrong(name, "an object");
}

function optional(check) {
  return (value, name) => (value === undefined || value === null ? undefined : check(value, name));
}

function address(uri) {
  return uri instanceof SecretUri ? uri.toString() : string(uri, "uri");
}

function signal(options) {
  const { signal } = object(options ?? {}, "options");
  const legal = signal === undefined || signal === null || signal instanceof AbortSignal;
  return legal ? (signal ?? undefined) : wrong("signal", "an AbortSignal");
}

const OPTIONS = {
  provider: string, url: string, urls: strings, token: string, roleId: string, secretId: string, namespace: string,
  caPem: string, clientCertificatePem: string, clientKeyPem: string, verifyTls: boolean, timeout: number,
  poolSize: number, maxConcurrent: number, tenantId: string, allowedMounts: strings, acceptLegacy: boolean,
};

/** Options as the module asks for them, all of their types checked. */
function checked(options) {
  const result = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name)) throw new TypeError(`there is no option ${name}`);
    result[name] = optional(OPTIONS[name])(value, name);
  }
  const { url } = result;
  if (url !== undefined) {
    if (result.urls !== undefined) throw new TypeError("url and urls are two names of one option");
    result.urls = [url];
  }
  const get = (name) => result[name];
  return { text: get, texts: get, number: get, flag: get };
}

function ownEnvironment() {
  const env = globalThis.process?.env;
  if (!env) throw new TypeError("this platform has no environment of its own: pass env");
  return env;
}

/** Reads a key of an environment. A Worker's variables may be numbers and booleans, too. */
function lookup(env) {
  return {
    text(key) {
      const value = env[key];
      if (typeof value === "number" || typeof value === "boolean") return String(value);
      return optional(string)(value, key);
    },
  };
}

/** A value as JSON. What JSON would leave out or change is refused: it would be lost unnoticed. */
function json(value) {
  const text = JSON.stringify(value, function (key, item) {
    // As it was before its own toJSON.
    const original = this[key];
    if (original instanceof SecretValue) throw new TypeError("a secret is written as what expose() gives");
    if (["undefined", "function", "symbol", "bigint"].includes(typeof item)) {
      throw new TypeError(`JSON has no ${typeof item}`);
    }
    if (typeof item === "number" && !Number.isFinite(item)) throw new TypeError(`JSON has no ${item}`);
    if (original instanceof Map || original instanceof Set) throw new TypeError("JSON has no maps and sets");
    return item;
  });
  return text;
}
