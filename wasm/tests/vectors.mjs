// Runs every vector through the public API. The flow server plays the other side, compares, and keeps
// the tally; nothing is judged here.
//
// usage: node vectors.mjs PATH-OF-FLOW-SERVER REPORT

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { BaokitError, Client, SecretPointer, SecretPrefix, SecretRef, SecretUri } from "baokit";

// What no fetch can do for a client.
const LACKS_AS_CLIENT = ["verify_tls"];

const [program, report] = process.argv.slice(2);
const server = spawn(program, ["--face", "javascript", "--report", report, "--watch-stdin"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const lines = createInterface({ input: server.stdout });
const [, base] = (await lines[Symbol.asyncIterator]().next()).value.match(/^listening (\S+)$/);
// Warnings about plain HTTP are not what is looked at here.
console.warn = () => {};

async function control(method, path, body) {
  const answer = await fetch(base + path, { method, body: body && JSON.stringify(body) });
  const document = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path}: ${document.error}`);
  return document;
}

/** The error as the flow server compares it. */
function told(error) {
  if (error instanceof BaokitError) return { code: error.code, subject: error.subject };
  return { code: "FOREIGN", subject: String(error) };
}

async function outcome(work) {
  try {
    return await work();
  } catch (error) {
    return { error: told(error) };
  }
}

async function result(work) {
  const { error, ...fine } = await outcome(work);
  return error ?? fine;
}

const secret = (it) => ({
  value: it.expose(),
  version: it.version,
  created_time: it.createdTime,
  custom_metadata: it.customMetadata,
});
const change = (it) => ({ old_version: it.oldVersion, new_version: it.newVersion });
const versions = (it) => ({
  current_version: it.currentVersion,
  custom_metadata: it.customMetadata,
  versions: it.versions.map(({ version, createdTime, deletionTime, destroyed }) => ({
    version, created_time: createdTime, deletion_time: deletionTime, destroyed,
  })),
});
const nothing = () => ({});

const OPERATIONS = {
  read: async (client, step) => secret(await client.read(step.uri)),
  read_text: async (client, step) => ({ value: (await client.read(step.uri)).exposeString() }),
  write: async (client, step) => change(await client.write(step.uri, step.value)),
  rotate: async (client, step) => change(await client.rotate(step.uri, step.value)),
  delete: async (client, step) => nothing(await client.delete(step.uri)),
  versions: async (client, step) => versions(await client.versions(step.uri)),
  kv2_read: async (client, step) => secret(await client.kv2(step.mount).read(step.path, { version: step.version })),
  async kv2_write(client, step) {
    const written = await client.kv2(step.mount).write(step.path, step.value, { cas: step.cas });
    return { version: written.version, created_time: written.createdTime };
  },
  kv2_delete: async (client, step) =>
    nothing(await client.kv2(step.mount).delete(step.path, { versions: step.versions })),
  kv2_versions: async (client, step) => versions(await client.kv2(step.mount).versions(step.path)),
  async request(client, step) {
    return { value: (await client.request(step.method, step.path, step.body ?? undefined)).expose() };
  },
  async lookup_self(client) {
    const { accessor, policies, ttl, renewable, numUses } = await client.lookupSelf();
    return { accessor, policies, ttl, renewable, num_uses: numUses };
  },
  async renew_self(client, step) {
    const { leaseDuration, renewable } = await client.renewSelf({ increment: step.increment });
    return { lease_duration: leaseDuration, renewable };
  },
  close: (client) => nothing(client.close()),
  admit_prefix: (client, step) => nothing(client.admitPrefix(step.uri)),
};

function perform(client, step) {
  const once = () => result(async () => OPERATIONS[step.op](client, step));
  return step.parallel > 1 ? Promise.all(Array.from({ length: step.parallel }, once)) : once();
}

function uri(item) {
  const options = { acceptLegacy: item.legacy, mount: item.mount };
  if (item.as !== "secret") {
    return { canonical: `${SecretPrefix.parse(item.input, { ...options, wildcard: item.as === "wildcard" })}` };
  }
  const parsed = SecretUri.parse(item.input, options);
  const { provider, mount, path, fragment = null, version = null } = parsed;
  return { canonical: `${parsed}`, provider, mount, path, fragment, version: version === null ? null : Number(version) };
}

async function played(item) {
  const { env } = await control("POST", `/cases/${item.id}/start`);
  const options = { provider: item.provider };
  if (item.tenant !== undefined) options.tenantId = item.tenant;
  return outcome(async () => {
    const client = Client.fromEnv(env, options);
    const results = [];
    for (const step of item.steps) results.push(await perform(client, step));
    client.close();
    return { results };
  });
}

async function outcomeOf(item) {
  const lacks = item.kind === "config" ? [] : LACKS_AS_CLIENT;
  const need = item.needs.find((need) => lacks.includes(need));
  if (need) return { skipped: need };
  if (item.kind === "uri") return { results: [await result(() => uri(item))] };
  if (item.kind === "pointer") {
    const notation = item.as === "ref" ? SecretRef : SecretPointer;
    return { results: [await result(() => ({ canonical: `${notation.parse(item.input)}` }))] };
  }
  if (item.kind === "config") return { results: [await result(() => Client.describeSettings(item.env, item.provider))] };
  return played(item);
}

for (const item of (await control("GET", "/cases")).cases) {
  const { ok, problem } = await control("POST", `/cases/${item.id}/finish`, await outcomeOf(item));
  if (!ok) console.log(`not ok: ${item.kind} ${item.name}: ${problem}`);
}
// It prints the tally itself.
await control("POST", "/end");
process.exitCode = await new Promise((resolve) => server.on("exit", resolve));
