// The package in Node, through its public API: what users do first, what they do wrong, what they may
// not see, and what may not be left behind.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { format, inspect } from "node:util";
import { BaokitError, Client, SecretPointer, SecretPrefix, SecretRef, SecretUri } from "baokit";
import { DevServer } from "baokit/testing";
import { devServer, freePort, realServer, silentServer } from "./servers.mjs";
import { appRole, smoke } from "./smoke.mjs";

const URI = "openbao+kv2://secret/app/api";
const CANARY = "canary-7f3a9c";

let dev;
before(async () => (dev = await devServer()));
after(() => dev.stop());

/** A client of a fresh model, and the model. */
function fresh(options = {}, server = new DevServer()) {
  const client = new Client({ url: "http://127.0.0.1:1", token: "root", allowedMounts: ["secret"], fetch: server.fetch, ...options });
  return { client, server };
}

function clone(object) {
  try {
    return structuredClone(object);
  } catch (error) {
    return error;
  }
}

/** The code of what the work fails with, which must be one of baokit's errors. */
async function code(work) {
  const error = await Promise.resolve().then(work).then(() => assert.fail("it did not fail"), (error) => error);
  assert(error instanceof BaokitError, `${error?.stack}`);
  return error.code;
}

// ---- what users do first

for (const [name, server] of [["dev", devServer], ["real", realServer]]) {
  test(`the smoke test on the ${name} server`, async (t) => {
    const { url, stop } = await server();
    t.after(stop);
    assert.equal(await smoke({ Client, url, credential: await appRole({ Client, url }), name: "node" }), "smoke: ok");
  });
}

test("the smoke test without a server", async () => {
  const { fetch } = new DevServer();
  const url = "http://127.0.0.1:1";
  const credential = await appRole({ Client, url, fetch });
  assert.equal(await smoke({ Client, url, fetch, credential, name: "model" }), "smoke: ok");
});

test("the five lines of the README", async () => {
  const env = { OPENBAO_URL: dev.url, OPENBAO_TOKEN: "root", TENANT_ALLOWED_MOUNTS: "secret" };
  const setUp = Client.fromEnv(env);
  await setUp.write("openbao+kv2://secret/app/api", { token: "value" });
  const connect = (text) => assert.equal(text, "value");
  const console = { log: (text) => assert.equal(text, "1 -> 2") };

  const client = Client.fromEnv(env);
  const token = await client.read("openbao+kv2://secret/app/api#token");
  connect(token.exposeString());
  const done = await client.rotate("openbao+kv2://secret/app/api#token", "new-value");
  console.log(`${done.oldVersion} -> ${done.newVersion}`);
});

test("a URI object serves as its text, and mounts serve below URIs", async () => {
  const { client } = fresh();
  const kv2 = client.kv2("secret");
  assert.equal((await kv2.write("app/api", { n: 1.5, list: [null, true] }, { cas: 0 })).version, 1);
  assert.equal(await code(() => kv2.write("app/api", {}, { cas: 0n })), "CAS_CONFLICT");
  await kv2.write("app/api", { n: 2 });
  assert.deepEqual((await kv2.read("app/api", { version: 1 })).expose(), { n: 1.5, list: [null, true] });
  assert.equal((await client.read(SecretUri.parse(`${URI}#n`))).expose(), 2);
  await kv2.delete("app/api", { versions: [1] });
  assert.equal(await code(() => client.read(`${URI}?version=1`)), "VERSION_DELETED");
  assert.equal((await kv2.versions("app/api")).currentVersion, 2);
});

test("the dev server has a clock and a log, and can be sealed", async () => {
  const { client, server } = fresh();
  const credential = await appRole({ Client, url: "http://127.0.0.1:1", fetch: server.fetch });
  const other = fresh({ token: undefined, ...credential }, server).client;
  await other.lookupSelf();
  server.clearRequests();
  server.advance(7200);
  assert.equal(await code(() => other.read("openbao+kv2://secret/smoke/none")), "SECRET_NOT_FOUND");
  assert.deepEqual(server.requests.map(({ target }) => target).slice(-2), ["/v1/auth/approle/login", "/v1/secret/data/smoke/none"]);
  server.seal();
  assert.equal(await code(() => fresh({ timeout: 0.2 }, server).client.read(URI)), "SERVER_SEALED");
  server.unseal();
  assert.equal(await code(() => client.read(URI)), "SECRET_NOT_FOUND");
});

// ---- what they may not see

test("nothing that holds a secret or a token shows it", async () => {
  const logged = [];
  const console_ = { ...console };
  for (const level of ["log", "warn", "error", "info", "debug"]) console[level] = (...words) => logged.push(format(...words));
  try {
    const server = new DevServer({ rootToken: CANARY });
    const { client } = fresh({ url: "http://openbao.example:1", token: CANARY }, server);
    await client.write(URI, { token: CANARY, list: [CANARY] });
    await client.request("POST", "secret/metadata/app/api", { custom_metadata: { owner: CANARY } });
    const secret = await client.read(URI);
    const text = await client.read(`${URI}#token`);
    const document = await client.request("GET", "secret/data/app/api");
    assert.deepEqual([secret.expose().token, text.exposeString(), secret.customMetadata.owner], [CANARY, CANARY, CANARY]);
    assert.equal(document.expose().data.data.token, CANARY);
    const versions = await client.versions(URI);
    assert.equal(versions.customMetadata.owner, CANARY);
    const role = fresh({ token: undefined, roleId: CANARY, secretId: CANARY }, server).client;
    const holders = { client, role, kv2: client.kv2("secret"), secret, text, document, versions, server };
    for (const [name, holder] of Object.entries(holders)) {
      const deep = { depth: null, showHidden: true };
      const own = { ...holder };
      const shown = [
        String(holder), `${holder}`, holder + "", JSON.stringify(holder), JSON.stringify({ holder }), JSON.stringify(own),
        format("%s %o %O %j %d", holder, holder, holder, holder, holder), inspect(holder), inspect([holder], deep),
        inspect(holder, { ...deep, customInspect: false }), inspect(own, deep), inspect(clone(holder), deep),
      ];
      console.log(holder);
      console.dir(holder);
      for (const line of shown) assert(!line.includes(CANARY), `${name}: ${line}`);
    }
    const faults = [
      () => client.read("openbao+kv2://secret/none#x"), () => client.read("openbao+kv2://other/a"), () => role.read(URI),
      () => client.write(URI, CANARY), () => client.rotate(`${URI}?version=1`, CANARY), () => new Client({ url: "http://a", token: `${CANARY}\n` }),
      () => client.write(URI, { secret }), () => client.write(URI, { [CANARY]: undefined }), () => client.read(CANARY),
      () => Client.fromEnv({ OPENBAO_URL: "http://a", OPENBAO_TOKEN: `${CANARY} ` }),
      () => fresh({ fetch: async (_, init) => { throw new Error(JSON.stringify(init.headers)); }, token: CANARY, timeout: 0.1 }).client.read(URI),
      () => fresh({ fetch: async () => new Response(CANARY, { status: 400 }), token: CANARY }).client.read(URI),
    ];
    for (const fault of faults) {
      const error = await Promise.resolve().then(fault).then(() => assert.fail(`${fault}`), (error) => error);
      for (const line of [String(error), inspect(error, { depth: null, showHidden: true }), JSON.stringify(error), error.stack]) {
        assert(!line.includes(CANARY), line);
      }
    }
    assert(logged.some((line) => line.includes("PLAIN_HTTP")));
    for (const line of logged) assert(!line.includes(CANARY), line);
  } finally {
    Object.assign(console, console_);
  }
});

test("a secret that was disposed of is gone, and a secret is not written by mistake", async () => {
  const { client } = fresh();
  await client.write(URI, { token: "value" });
  const secret = await client.read(URI);
  await assert.rejects(client.write(URI, { copy: secret }), TypeError);
  const dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
  secret[dispose]();
  secret[dispose]();
  assert.throws(() => secret.expose(), TypeError);
  assert.throws(() => secret.version, TypeError);
  client[dispose]();
  assert.equal(await code(() => client.read(URI)), "CLIENT_CLOSED");
});

// ---- what they do wrong

test("wrong types are TypeErrors that name the argument", async () => {
  const { client } = fresh();
  const kv2 = client.kv2("secret");
  const calls = [
    () => client.read(), () => client.read(7), () => client.read(null), () => client.read(URI, 7), () => client.read(URI, { signal: {} }),
    () => client.read("openbao+kv2://secret/\ud800"), () => client.write(URI), () => client.write(URI, undefined), () => client.write(URI, { a: NaN }),
    () => client.write(URI, { a: () => 0 }), () => client.write(URI, { a: 1n }), () => client.write(URI, new Map()), () => client.write(URI, Symbol("a")),
    () => client.rotate(URI, { a: { b: [undefined] } }), () => client.delete({}), () => client.versions([]), () => client.kv2(), () => kv2.read(1),
    () => kv2.read("a", { version: "1" }), () => kv2.read("a", { version: 1.5 }), () => kv2.write("a", {}, { cas: -1 }), () => kv2.write("a", {}, { cas: 2n ** 64n }),
    () => kv2.delete("a", { versions: 1 }), () => kv2.delete("a", { versions: ["1"] }), () => client.request(), () => client.request("GET"), () => client.request("GET", "a", 1n),
    () => client.renewSelf({ increment: "1h" }), () => new Client(7), () => new Client({ url: 7 }), () => new Client({ urls: "http://a" }), () => new Client({ urls: [7] }),
    () => new Client({ timeout: "30" }), () => new Client({ verifyTls: "no" }), () => new Client({ fetch: "fetch" }), () => new Client({ tokn: "a" }),
    () => Client(), () => Client.fromEnv(7), () => Client.fromEnv({ OPENBAO_URL: {} }),
    () => Client.describeSettings(7), () => Client.describeSettings({}, 7), () => SecretUri.parse(7), () => SecretUri.parse(URI, { acceptLegacy: "yes" }),
    () => SecretUri.parse(URI, { mount: 7 }), () => SecretPointer.parse({}), () => new SecretUri(), () => new (client.kv2("a").constructor)(),
    () => new DevServer({ seed: -1 }), () => new DevServer({ rootToken: 7 }), () => Client.prototype.read.call({}, URI),
  ];
  for (const call of calls) await assert.rejects(Promise.resolve().then(call), TypeError, `${call}`);
  const cyclic = {};
  cyclic.self = cyclic;
  await assert.rejects(client.write(URI, cyclic), TypeError);
  await assert.rejects(client.read(7), { message: "uri is a string" });
});

test("what JSON would change is refused by its place, and the value stays unsaid", async () => {
  const { client, server } = fresh();
  class Point {
    constructor() {
      this.x = CANARY;
    }
  }
  const wrong = [
    new RegExp(CANARY), new Map([[CANARY, CANARY]]), new Set([CANARY]), new Uint8Array(4), new ArrayBuffer(4), Promise.resolve(CANARY),
    new Point(), new Error(CANARY), new WeakMap(), new Date(NaN), new String(CANARY), { [Symbol(CANARY)]: CANARY }, [, 1], new Proxy(new Point(), {}),
    Object.create({ inherited: CANARY }), { toJSON: () => undefined }, { toJSON: () => new Map() }, Infinity, 7n, Symbol(CANARY), () => CANARY,
  ];
  for (const item of wrong) {
    const error = await client.write(URI, { [CANARY]: [0, item] }).then(() => assert.fail(`${typeof item}`), (error) => error);
    assert(error instanceof TypeError, error);
    assert.equal(error.code, "INVALID_VALUE");
    assert.match(error.message, /^the value\[key 1\]\[1\]/);
    assert(!error.stack.includes(CANARY), error.stack);
  }
  assert.equal(server.requests.length, 0);
  const nullish = Object.assign(Object.create(null), { a: new Date(0), b: SecretUri.parse(URI), c: JSON.parse('{"__proto__": 1}'), d: { toJSON: () => [1] } });
  await client.write(URI, { nullish, twice: [nullish, nullish] });
  const plain = { a: "1970-01-01T00:00:00.000Z", b: URI, c: JSON.parse('{"__proto__": 1}'), d: [1] };
  assert.equal(JSON.stringify((await client.read(URI)).expose()), JSON.stringify({ nullish: plain, twice: [plain, plain] }));
  // However deep: it is core that refuses it.
  assert.equal(await code(() => client.write(URI, { a: Array.from({ length: 1e5 }).reduce((deep) => [deep], 1) })), "INVALID_VALUE");
});

test("a wrong type has the code that core would give", async () => {
  const { client } = fresh();
  const wrong = [
    ["INVALID_URI", () => client.read(7)], ["INVALID_URI", () => client.kv2("secret").read(7)], ["INVALID_URI", () => SecretUri.parse(7)],
    ["INVALID_URI", () => SecretPrefix.parse(7)], ["INVALID_URI", () => SecretRef.parse(7)], ["INVALID_URI", () => client.admitPrefix(7)],
    ["INVALID_SETTING", () => new Client({ tokn: "a" })], ["INVALID_SETTING", () => new Client({ timeout: "30" })], ["INVALID_SETTING", () => new Client(7)],
    ["INVALID_SETTING", () => Client.fromEnv({ OPENBAO_URL: {} })], ["INVALID_SETTING", () => new Client({ fetch: 7 })],
    ["INVALID_VALUE", () => client.write(URI)], ["INVALID_VALUE", () => client.renewSelf({ increment: "1h" })], ["INVALID_VALUE", () => client.read(URI, { signal: {} })],
  ];
  for (const [expected, call] of wrong) {
    const found = Promise.resolve().then(call);
    await assert.rejects(found, (error) => error instanceof TypeError && error.code === expected, `${call}`);
  }
});

test("prefixes and references are parsed, and the guard is asked", async () => {
  const { client, server } = fresh();
  const parts = ({ provider, mount, path, wildcard }) => [provider, mount, path, wildcard];
  assert.deepEqual(parts(SecretPrefix.parse("openbao+kv2://secret")), ["openbao+kv2", "secret", "", false]);
  assert.deepEqual(parts(SecretPrefix.parse("openbao+kv2://secret/a%20b/c")), ["openbao+kv2", "secret", "a b/c", false]);
  const star = SecretPrefix.parse(" openbao+kv2://secret//app/* ", { acceptLegacy: true, wildcard: true });
  assert.deepEqual([...parts(star), `${star}`, JSON.stringify(star), inspect(star)],
    ["openbao+kv2", "secret", "app", true, "openbao+kv2://secret/app/*", '"openbao+kv2://secret/app/*"', "SecretPrefix(openbao+kv2://secret/app/*)"]);
  assert.deepEqual(parts(SecretPrefix.parse("yaml://secret/*", { wildcard: true })), ["yaml", "secret", "", true]);
  const uri = SecretUri.parse("openbao+kv2://secret/a%20b/c%3Fd#k%23%C3%A9?version=7");
  assert.deepEqual([uri.mount, uri.path, uri.fragment, uri.version], ["secret", "a b/c?d", "k#é", 7]);
  const bare = SecretUri.parse(URI);
  assert.deepEqual([bare.fragment, bare.version], [undefined, undefined]);
  assert.equal(await code(() => SecretPrefix.parse("openbao+kv2://secret/*")), "INVALID_WILDCARD");
  assert.equal(await code(() => SecretPrefix.parse("openbao+kv2://secret", { mount: "secret" })), "DOUBLE_MOUNT_SOURCE");
  assert(SecretRef.parse(URI) instanceof SecretUri);
  const pointer = SecretRef.parse("FILE:main:a");
  assert.deepEqual([pointer instanceof SecretPointer, `${pointer}`], [true, "file:main:a"]);
  assert.throws(() => new SecretPrefix(), TypeError);
  assert.equal(`${client.admitPrefix("openbao+kv2://secret/app")}`, "openbao+kv2://secret/app/");
  assert.equal(await code(() => client.admitPrefix("openbao+kv2://other/app")), "TENANT_MOUNT_MISMATCH");
  assert.equal(server.requests.length, 0);
});

test("a dev server that was disposed of is gone", async () => {
  const { client, server } = fresh();
  for (const seconds of [Infinity, NaN, -1]) assert.throws(() => server.advance(seconds), RangeError);
  assert.throws(() => server.advance("1"), TypeError);
  const dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
  server[dispose]();
  server[dispose]();
  const calls = [
    () => server.fetch("http://127.0.0.1"), () => server.requests, () => server.clearRequests(), () => server.advance(1),
    () => server.seal(), () => server.unseal(), () => server.revoke("a"), () => server.rootToken,
  ];
  for (const call of calls) {
    await assert.rejects(Promise.resolve().then(call), { name: "TypeError", code: "INVALID_VALUE" }, `${call}`);
  }
  client.close();
});

test("only what a handshake says counts as unsent", async () => {
  const found = async (error, call) => {
    let requests = 0;
    const fetch = async () => {
      requests += 1;
      throw new TypeError("fetch failed", { cause: Object.assign(new Error("tls"), { code: error }) });
    };
    return [await code(() => call(fresh({ fetch, timeout: 1 }).client)), requests];
  };
  const post = (client) => client.request("POST", "sys/tools/hash", {});
  for (const error of ["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID", "DEPTH_ZERO_SELF_SIGNED_CERT", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"]) {
    assert.equal((await found(error, post))[0], "TLS_FAILED", error);
  }
  const midway = ["ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "ERR_SSL_BAD_RECORD_TYPE", "ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_UNEXPECTED_EOF_WHILE_READING",
    "ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC", "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR", "ERR_TLS_INVALID_STATE"];
  for (const error of midway) assert.deepEqual(await found(error, post), ["INDETERMINATE", 1], error);
  assert.equal((await found("ERR_SSL_WRONG_VERSION_NUMBER", (client) => client.read(URI)))[0], "CONNECTION_LOST");
});

test("wrong settings and values have baokit's codes", async () => {
  const { client } = fresh();
  const url = "http://127.0.0.1:1";
  const wrong = [
    ["MISSING_SETTING", () => new Client()], ["MISSING_SETTING", () => new Client({ url })], ["MISSING_SETTING", () => Client.fromEnv({})],
    ["MISSING_SETTING", () => Client.describeSettings({})], ["UNSUPPORTED_ENGINE", () => new Client({ provider: "openbao+kv1" })],
    ["INVALID_SETTING", () => new Client({ url: "127.0.0.1", token: "a" })], ["INVALID_SETTING", () => new Client({ url, roleId: "a" })],
    ["INVALID_SETTING", () => new Client({ url, urls: [url], token: "a" })],
    ["INVALID_SETTING", () => new Client({ url, token: "a", verifyTls: false })],
    ["INVALID_SETTING", () => new Client({ url, token: "a", caPem: "-----BEGIN CERTIFICATE-----" })],
    ["INVALID_SETTING", () => new Client({ url, token: "a", clientCertificatePem: "-----BEGIN A", clientKeyPem: "-----BEGIN B" })],
    ["INVALID_SETTING", () => Client.fromEnv({ OPENBAO_URL: url, OPENBAO_TOKEN: "a", OPENBAO_CACERT: "/ca.pem" })],
    ["INVALID_SETTING", () => Client.fromEnv({ OPENBAO_URL: url, OPENBAO_TOKEN: "a", VAULT_TIMEOUT: "soon" })],
    ...[0, -1, NaN, Infinity, 1e300].map((timeout) => ["INVALID_SETTING", () => new Client({ url, token: "a", timeout })]),
    ...[0, -1, NaN, 1.5, 1e300].map((size) => ["INVALID_SETTING", () => new Client({ url, token: "a", maxConcurrent: size })]),
    ...[-1, NaN, 1e300].map((seconds) => ["INVALID_SETTING", () => new Client({ url, token: "a", renewalThreshold: seconds })]),
    ...[0, 1e9].map((size) => ["INVALID_SETTING", () => new Client({ url, token: "a", poolSize: size })]),
    ["INVALID_VALUE", () => client.write(URI, "scalar")], ["INVALID_VALUE", () => client.write(`${URI}#a`, "\ud800")],
    ["INVALID_VALUE", () => client.write(`${URI}#a`, Array.from({ length: 300 }).reduce((deep) => [deep], 1))],
    ["INVALID_URI", () => client.read("secret/app")], ["ILLEGAL_SEGMENT", () => client.kv2("secret").read("a/../b")],
    ["NOT_SUPPORTED", () => client.request("BREW", "sys/health")], ["INVALID_POINTER", () => SecretPointer.parse("file:../a")],
    ["AMBIGUOUS_MOUNT", () => SecretUri.parse(URI, { mount: "other" })],
  ];
  for (const [expected, call] of wrong) assert.equal(await code(call), expected, `${call}`);
  // Variables of a Worker may be numbers and booleans.
  const settings = Client.fromEnv({ OPENBAO_URL: url, OPENBAO_TOKEN: "a", VAULT_TIMEOUT: 7, VAULT_VERIFY_SSL: true }).settings;
  assert.deepEqual([settings.timeout, settings.verify_tls, settings.credential], [7, true, "token"]);
  assert.deepEqual(Client.describeSettings({ OPENBAO_URL: url, OPENBAO_ROLE_ID: "a", OPENBAO_SECRET_ID: "b" }).credential, "app_role");
});

test("an error tells who has to act", async () => {
  const { client } = fresh();
  const error = await client.read(`${URI}`).catch((error) => error);
  const { name, code, family, httpStatus, retryable, node, tries } = error;
  assert.deepEqual({ name, code, family, httpStatus, retryable, node, tries },
    { name: "BaokitError", code: "SECRET_NOT_FOUND", family: "caller", httpStatus: 404, retryable: false, node: "http://127.0.0.1:1", tries: 1 });
  assert(error instanceof Error && error.advice && error.subject && error.message.startsWith("SECRET_NOT_FOUND: "));
});

test("servers that are not there, or are none", async (t) => {
  const unreachable = { fetch: undefined, url: `http://127.0.0.1:${await freePort()}`, timeout: 5 };
  assert.equal(await code(() => fresh(unreachable).client.read(URI)), "SERVER_UNREACHABLE");
  assert.equal(await code(() => fresh(unreachable).client.write(URI, {})), "SERVER_UNREACHABLE");
  const plain = createServer((_, response) => response.end("hello"));
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  t.after(() => plain.close());
  const { port } = plain.address();
  assert.equal(await code(() => fresh({ ...unreachable, url: `https://127.0.0.1:${port}`, timeout: 1 }).client.read(URI)), "CONNECTION_LOST");
  assert.equal(await code(() => fresh({ ...unreachable, url: `http://127.0.0.1:${port}` }).client.read(URI)), "MALFORMED_ANSWER");
});

test("a fetch that misbehaves is an error, not a crash", async () => {
  const odd = [
    async () => undefined, async () => null, async () => 7, async () => ({}), async () => { throw undefined; }, async () => { throw "text"; },
    async () => { throw { get code() { throw new Error("odd"); } }; },
    () => { throw new Error("at once"); }, () => 7, async () => ({ status: 200, headers: new Headers(), body: { getReader: () => ({ read: async () => 7 }) } }),
    async () => Response.error(), async () => new Response("{", { headers: { "content-type": "application/json" } }), () => new Promise(() => {}),
    async () => new Response(null, { status: 204 }), async () => ({ status: "x", headers: [], body: null }),
  ];
  for (const fetch of odd) {
    const found = await code(() => fresh({ fetch, timeout: 0.2 }).client.read(URI));
    assert(["CONNECTION_LOST", "MALFORMED_ANSWER", "DEADLINE_EXCEEDED"].includes(found), `${fetch}: ${found}`);
  }
  const redirect = async () => Object.defineProperty(new Response(), "type", { value: "opaqueredirect" });
  assert.equal(await code(() => fresh({ fetch: redirect, timeout: 0.2 }).client.read(URI)), "REDIRECT_REFUSED");
  let seen;
  const look = async (url, init) => ((seen = { url, ...init }), new Response("{}", { status: 404, headers: { "content-type": "application/json" } }));
  await code(() => fresh({ fetch: look, timeout: 0.2 }).client.read(URI));
  const { redirect: mode, credentials, cache, referrerPolicy } = seen;
  assert.deepEqual({ mode, credentials, cache, referrerPolicy }, { mode: "manual", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" });
});

// ---- what may not be left behind

test("an abort ends the call and its request", async (t) => {
  const silent = await silentServer();
  t.after(silent.stop);
  const { client } = fresh({ fetch: undefined, url: silent.url });
  const controller = new AbortController();
  const call = client.read(URI, { signal: controller.signal });
  const timer = setInterval(() => silent.requests() && controller.abort(new Error("enough")), 10);
  await assert.rejects(call, { message: "enough" });
  clearInterval(timer);
  await silent.closed;
  assert.equal(silent.open(), 0);
  await assert.rejects(client.read(URI, { signal: controller.signal }), { message: "enough" });
  const second = new AbortController();
  const writing = client.write(URI, {}, { signal: second.signal });
  const again = setInterval(() => silent.requests() === 2 && second.abort(new Error("enough again")), 10);
  await assert.rejects(writing, { message: "enough again" });
  clearInterval(again);
  // Nothing is left that would hold a place or a log-in.
  for (const end = Date.now() + 20_000; silent.open() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(silent.open(), 0);
  assert.equal(silent.requests(), 2);
});

test("no method sends anything under a signal that is aborted already", async () => {
  let requests = 0;
  const { client } = fresh({ fetch: async () => ((requests += 1), new Response("{}")) });
  const words = {
    Client: { read: [URI], write: [URI, {}], rotate: [URI, {}], delete: [URI], versions: [URI], request: ["GET", "sys/health", undefined], lookupSelf: [], renewSelf: [] },
    Kv2: { read: ["a"], write: ["a", {}], delete: ["a"], versions: ["a"] },
  };
  // What sends nothing, whatever becomes of it.
  const silent = ["constructor", "kv2", "admitPrefix", "close", "toJSON", "toString", "settings"];
  for (const [name, object] of Object.entries({ Client: client, Kv2: client.kv2("secret") })) {
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(object)).filter((method) => !silent.includes(method));
    assert.deepEqual(methods.sort(), Object.keys(words[name]).sort());
    for (const method of methods) {
      const reason = new Error(`${name} ${method}`);
      const call = object[method](...words[name][method], { signal: AbortSignal.abort(reason) });
      await assert.rejects(call, (error) => error === reason, `${name}.${method}`);
    }
  }
  assert.equal(requests, 0);
});

test("a call settles even where its task can't be dropped", async () => {
  // No public call gets there without a panic, so this is the loop itself.
  const { run } = await import("./node_modules/baokit/host.js");
  const broken = (poll) => ({ number: -1, limit: 1000, poll, free: () => { throw new Error("in use"); } });
  assert.equal(await run(broken(() => 7)), 7);
  await assert.rejects(run(broken(() => { throw new Error("a panic"); })), { message: "a panic" });
  await assert.rejects(run(broken((pending) => pending), AbortSignal.abort(new Error("enough"))), { message: "enough" });
});

test("a fetch that aborts its own caller does no harm", async () => {
  const controller = new AbortController();
  const { client } = fresh({ fetch: () => (controller.abort(new Error("inside")), new Promise(() => {})) });
  await assert.rejects(client.read(URI, { signal: controller.signal }), { message: "inside" });
  assert.equal(await code(() => fresh().client.read(URI)), "SECRET_NOT_FOUND");
});

test("the deadline ends the request as well", async (t) => {
  const silent = await silentServer();
  t.after(silent.stop);
  const { client } = fresh({ fetch: undefined, url: silent.url, timeout: 2 });
  assert.equal(await code(() => client.read(URI)), "DEADLINE_EXCEEDED");
  await silent.closed;
  assert.equal(silent.open(), 0);
});

test("a call under way sends nothing more once its client is closed", async () => {
  let answer;
  const { client } = fresh({ fetch: () => new Promise((resolve) => (answer = resolve)) });
  const call = code(() => client.read(URI));
  await new Promise((resolve) => setTimeout(resolve, 10));
  client.close();
  answer(new Response("{}", { status: 503 }));
  assert.equal(await call, "CLIENT_CLOSED");
});

test("a thousand first calls at once make one log-in", async () => {
  const server = new DevServer();
  const credential = await appRole({ Client, url: "http://127.0.0.1:1", fetch: server.fetch });
  const { client } = fresh({ token: undefined, ...credential }, server);
  await fresh({}, server).client.write("openbao+kv2://secret/smoke/a", { token: "value" });
  server.clearRequests();
  const read = async () => (await client.read("openbao+kv2://secret/smoke/a#token")).exposeString();
  const texts = await Promise.all(Array.from({ length: 1000 }, read));
  assert.deepEqual(new Set(texts), new Set(["value"]));
  const logins = server.requests.filter(({ target }) => target === "/v1/auth/approle/login");
  assert.deepEqual([logins.length, server.requests.length], [1, 1001]);
});

test("ten thousand calls leave memory flat", async (t) => {
  const { client } = fresh({ fetch: undefined, url: dev.url });
  await client.write(URI, { token: "v".repeat(1000) });
  const settle = async () => {
    for (let round = 0; round < 5; round += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, arrayBuffers, external, rss } = process.memoryUsage();
    return { heapUsed, arrayBuffers, external, rss };
  };
  const calls = async (count) => {
    for (let left = count; left > 0; left -= 20) {
      await Promise.all(Array.from({ length: 20 }, (_, at) => (at % 10 ? client.read(`${URI}#token`) : client.read("openbao+kv2://secret/none").catch(() => {}))));
    }
  };
  await calls(2000);
  const before = await settle();
  await calls(10_000);
  const after = await settle();
  const grown = Object.fromEntries(Object.keys(before).map((key) => [key, after[key] - before[key]]));
  t.diagnostic(`memory after 10,000 calls, in KiB: ${Object.entries(grown).map(([key, bytes]) => `${key} ${Math.round(bytes / 1024)}`).join(", ")}`);
  assert(grown.heapUsed < 1 << 20, `heapUsed grew by ${grown.heapUsed}`);
  // The module's memory is among these.
  assert(grown.external < 1 << 20, `external grew by ${grown.external}`);
});
