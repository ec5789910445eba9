// What users import: the operations with the names and the manners of JavaScript. Types of arguments
// are checked here, since those mistakes are the language's; every rule of baokit is in the module.

import { BaokitError } from "./error.js";
import { run } from "./host.js";
import { Texts, Versions } from "./shapes.js";
import { Notation, RawClient, describeSettings, parse } from "./wasm/baokit.js";

export { BaokitError, Versions };

const INSPECT = Symbol.for("nodejs.util.inspect.custom");
const DISPOSE = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const REDACTED = "[redacted]";
/** Only this file can make secrets; the key under which it passes an environment is its own, too. */
const OURS = Symbol("baokit");
/** The codes that wrong types have, beside the language's own kind of error. */
const [VALUE, SETTING, URI] = ["INVALID_VALUE", "INVALID_SETTING", "INVALID_URI"];

/** A client of one OpenBao cluster. */
export class Client {
  #raw;

  constructor(options = {}) {
    const { [OURS]: env, fetch, ...settings } = object(options, "options", SETTING);
    if (fetch !== undefined && typeof fetch !== "function") wrong("fetch", "a function", SETTING);
    this.#raw = new RawClient(checked(settings), env && lookup(env), fetch);
  }

  static fromEnv(env = ownEnvironment(), options = {}) {
    return new Client({ ...object(options, "options", SETTING), [OURS]: object(env, "env", SETTING) });
  }

  static describeSettings(env = ownEnvironment(), provider = undefined) {
    return describeSettings(lookup(object(env, "env", SETTING)), optional(string)(provider, "provider", SETTING));
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
    return new Kv2(OURS, this.#raw, string(mount, "mount", URI));
  }

  /** Sends nothing: it asks the guard of the tenant's mounts. */
  admitPrefix(text) {
    return new SecretPrefix(OURS, this.#raw.admitPrefix(string(text, "text", URI)));
  }

  async request(method, path, body, options) {
    const text = body === undefined ? undefined : json(body);
    const task = this.#raw.request(string(method, "method"), string(path, "path", URI), text);
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
    return new Secret(OURS, await run(this.#raw.kv2Read(this.#mount, string(path, "path", URI), version), signal(options)));
  }

  async write(path, data, options) {
    const cas = optional(count)(object(options ?? {}, "options").cas, "cas");
    return run(this.#raw.kv2Write(this.#mount, string(path, "path", URI), json(data), cas), signal(options));
  }

  async delete(path, options) {
    const versions = optional(counts)(object(options ?? {}, "options").versions, "versions") ?? [];
    return run(this.#raw.kv2Delete(this.#mount, string(path, "path", URI), BigUint64Array.from(versions)), signal(options));
  }

  async versions(path, options) {
    return run(this.#raw.kv2Versions(this.#mount, string(path, "path", URI)), signal(options));
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
      if (!secret.#raw) throw mistake("the secret was disposed of");
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

/** Names in their canonical text, which is all that shows of them. */
class Name {
  #text;

  constructor(key, text, parts) {
    ours(key);
    this.#text = text;
    Object.assign(this, parts);
    Object.freeze(this);
  }

  toString() {
    return this.#text;
  }

  toJSON() {
    return this.#text;
  }

  [INSPECT]() {
    return `${this.constructor.name}(${this.#text})`;
  }
}

// Where the parts of canonical texts lie; a mark inside a name is always escaped there.
const PARTS = /^([^:]+):\/\/([^/]+)\/([^#?]*?)(?:#([^?]+))?(?:\?version=(\d+))?$/;
const PREFIX_PARTS = /^([^:]+):\/\/([^/]+)\/(?:(.*)\/)?(\*?)$/;

/** The canonical URI of one secret, or of one key in it. */
class SecretUri extends Name {
  constructor(key, text) {
    ours(key);
    const [, provider, mount, path, fragment, version] = PARTS.exec(text);
    super(key, text, {
      provider,
      mount: decodeURIComponent(mount),
      path: decodeURIComponent(path),
      fragment: fragment && decodeURIComponent(fragment),
      // A bigint only where a number would not be exact.
      version: Number.isSafeInteger(Number(version)) ? Number(version) : version && BigInt(version),
    });
  }

  static parse(text, options = {}) {
    const { acceptLegacy, mount } = object(options, "options");
    return new SecretUri(OURS, parsed(Notation.Uri, text, acceptLegacy, mount));
  }
}

/** The canonical prefix that a list, a search or a policy names. */
class SecretPrefix extends Name {
  constructor(key, text) {
    ours(key);
    const [, provider, mount, path = "", star] = PREFIX_PARTS.exec(text);
    const wildcard = star !== "";
    super(key, text, { provider, mount: decodeURIComponent(mount), path: decodeURIComponent(path), wildcard });
  }

  static parse(text, options = {}) {
    const { acceptLegacy, wildcard, mount } = object(options, "options");
    const notation = optional(boolean)(wildcard, "wildcard") ? Notation.Wildcard : Notation.Prefix;
    return new SecretPrefix(OURS, parsed(notation, text, acceptLegacy, mount));
  }
}

/** A pointer to a credential outside any mount. */
class SecretPointer extends Name {
  static parse(text) {
    return new SecretPointer(OURS, parsed(Notation.Pointer, text));
  }
}

/** A reference to a secret in either notation; it becomes a pointer or a URI. */
const SecretRef = Object.freeze({
  parse(text) {
    const canonical = parsed(Notation.Ref, text);
    return PARTS.test(canonical) ? new SecretUri(OURS, canonical) : new SecretPointer(OURS, canonical);
  },
});

/** The canonical text of what core accepts. */
function parsed(notation, text, acceptLegacy, mount) {
  const lenient = optional(boolean)(acceptLegacy, "acceptLegacy") ?? false;
  return parse(notation, string(text, "text", URI), lenient, optional(string)(mount, "mount", URI));
}

export { Kv2, Secret, SecretPointer, SecretPrefix, SecretRef, SecretUri, SecretValue };

// Types of arguments: each function gives the value back or throws a TypeError that names it, and that
// has the code which core would give to it.

function ours(key) {
  if (key !== OURS) throw mistake("Illegal constructor");
}

/** A TypeError with the code of baokit that fits. */
function mistake(message, code = VALUE) {
  return Object.assign(new TypeError(message), { code });
}

function wrong(name, wanted, code) {
  throw mistake(`${name} is ${wanted}`, code);
}

function string(value, name, code) {
  if (typeof value !== "string") wrong(name, "a string", code);
  // It would arrive as U+FFFD, and name something else.
  if (/\p{Surrogate}/u.test(value)) wrong(name, "a string without lone surrogates", code);
  return value;
}

function strings(value, name, code) {
  if (!Array.isArray(value)) wrong(name, "an array of strings", code);
  return value.map((item) => string(item, `each of ${name}`, code));
}

function boolean(value, name, code) {
  return typeof value === "boolean" ? value : wrong(name, "a boolean", code);
}

function number(value, name, code) {
  return typeof value === "number" ? value : wrong(name, "a number", code);
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

function object(value, name, code) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : wrong(name, "an object", code);
}

function optional(check) {
  return (value, name, code) => (value === undefined || value === null ? undefined : check(value, name, code));
}

function address(uri) {
  return uri instanceof SecretUri ? uri.toString() : string(uri, "uri", URI);
}

function signal(options) {
  const { signal } = object(options ?? {}, "options");
  const legal = signal === undefined || signal === null || signal instanceof AbortSignal;
  return legal ? (signal ?? undefined) : wrong("signal", "an AbortSignal");
}

const OPTIONS = {
  provider: string, url: string, urls: strings, token: string, roleId: string, secretId: string, namespace: string,
  caPem: string, clientCertificatePem: string, clientKeyPem: string, verifyTls: boolean, timeout: number,
  renewalThreshold: number, poolSize: number, maxConcurrent: number, tenantId: string, allowedMounts: strings,
  acceptLegacy: boolean,
};

/** Options as the module asks for them, all of their types checked. */
function checked(options) {
  const result = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name)) throw mistake(`there is no option ${name}`, SETTING);
    result[name] = optional(OPTIONS[name])(value, name, SETTING);
  }
  const get = (name) => result[name];
  return { text: get, texts: get, number: get, flag: get };
}

function ownEnvironment() {
  const env = globalThis.process?.env;
  if (!env) throw mistake("this platform has no environment of its own: pass env", SETTING);
  return env;
}

/** Reads a key of an environment. A Worker's variables may be numbers and booleans, too. */
function lookup(env) {
  return {
    text(key) {
      const value = env[key];
      if (typeof value === "number" || typeof value === "boolean") return String(value);
      return optional(string)(value, key, SETTING);
    },
  };
}

/** Core refuses what is nested less deep than this already, so that nothing below it matters. */
const DEEPEST = 200;

/** A value as JSON. What JSON would leave out or change is refused: it would be lost unnoticed. */
function json(value) {
  return JSON.stringify(faithful(value, [], new Set()));
}

/** A copy that JSON holds as it is. A refusal names the place, never the value, and no key: it may be confidential. */
function faithful(original, place, within) {
  const refuse = (what) => {
    throw mistake(`the value${place.map((at) => `[${at}]`).join("")} ${what}`);
  };
  if (original instanceof SecretValue) refuse("is a secret: what is written is what expose() gives");
  if (original instanceof Date && Number.isNaN(original.getTime())) refuse("is no date");
  const value = typeof original?.toJSON === "function" ? original.toJSON() : original;
  if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : refuse("is a number that JSON has not");
  if (typeof value !== "object") refuse(`is of the type ${typeof value}, which JSON has not`);
  if (within.has(value)) refuse("is inside itself");
  if (within.size > DEEPEST) return null;
  within.add(value);
  let copy;
  if (Array.isArray(value)) {
    // With the holes, which map would pass over.
    copy = Array.from(value, (item, at) => faithful(item, [...place, at], within));
  } else {
    if (!isPlain(value)) refuse("is an object of a class that JSON has not");
    // Without a prototype, so that no name is special.
    copy = Object.create(null);
    for (const [at, [key, item]] of Object.entries(value).entries()) {
      copy[key] = faithful(item, [...place, `key ${at + 1}`], within);
    }
  }
  within.delete(value);
  return copy;
}

/** Whether an object is nothing but its keys and values; those of another realm are so, too. */
function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  const plain = prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf"));
  return plain && Object.getOwnPropertySymbols(value).length === 0;
}
