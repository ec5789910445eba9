// The package in workerd: bundled as users bundle it, driven over loopback. It may reach nothing but
// this machine.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client } from "baokit";
import { devServer, freePort, realServer, silentServer, start } from "./servers.mjs";
import { appRole } from "./smoke.mjs";

const tools = createRequire(join(process.env.BAOKIT_TOOLS, "package.json"));
const folder = mkdtempSync(join(tmpdir(), "baokit-workerd-"));
let workerd, base;

before(async () => {
  await tools("esbuild").build({
    entryPoints: ["worker.mjs"], bundle: true, format: "esm", outdir: folder, conditions: ["workerd", "worker", "browser"],
    loader: { ".wasm": "copy" }, assetNames: "[name]",
  });
  const modules = readdirSync(folder).map((file) =>
    file.endsWith(".wasm") ? `(name = "./${file}", wasm = embed "${file}")` : `(name = "${file}", esModule = embed "${file}")`);
  const port = await freePort();
  writeFileSync(join(folder, "config.capnp"), `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (compatibilityDate = "2026-01-01", modules = [${modules.sort().reverse().join(", ")}])),
    (name = "internet", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);`);
  base = `http://127.0.0.1:${port}`;
  workerd = await start(tools("workerd").default ?? tools("workerd"), ["serve", "--verbose", join(folder, "config.capnp")]);
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (await fetch(base).then(() => true, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`workerd did not start: ${workerd.log.join("\n")}`);
});

after(async () => {
  await workerd?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function ask(route, parameters = {}, signal = AbortSignal.timeout(20_000)) {
  const answer = await fetch(`${base}/${route}?${new URLSearchParams(parameters)}`, { signal });
  return answer.text();
}

test("the dev server without a socket", async () => {
  assert.equal(await ask("model"), "smoke: ok");
});

for (const [name, server] of [["dev", devServer], ["real", realServer]]) {
  test(`the ${name} server`, async (t) => {
    const { url, stop } = await server();
    t.after(stop);
    assert.equal(await ask("smoke", { url, name: "workerd" }), "smoke: ok");
  });
}

test("requests that share a client log in once and do not hang, though each lives in a context of its own", async (t) => {
  const { url, stop } = await devServer();
  t.after(stop);
  const credential = await appRole({ Client, url });
  const root = new Client({ url, token: "root", allowedMounts: ["secret"] });
  await root.write("openbao+kv2://secret/smoke/shared", { token: "value" });
  const parameters = {
    OPENBAO_URL: url, OPENBAO_ROLE_ID: credential.roleId, OPENBAO_SECRET_ID: credential.secretId,
    uri: "openbao+kv2://secret/smoke/shared#token",
  };
  // More than may be in flight at once, so that they wait for places as well as for the log-in.
  const texts = await Promise.all(Array.from({ length: 200 }, () => ask("shared", parameters)));
  assert.deepEqual(new Set(texts), new Set(["value"]));
  const accessors = (await root.request("LIST", "auth/token/accessors")).expose().data.keys;
  assert.equal(accessors.length, 2, "the root token's and that of the one log-in");
  const complaints = workerd.log.filter((line) => /different request|never|hang/i.test(line));
  assert.deepEqual(complaints, []);
});

test("an abort leaves no request running", async (t) => {
  const silent = await silentServer();
  t.after(silent.stop);
  // Tells when the silent server was asked.
  const asked = createServer((_, response) => {
    const timer = setInterval(() => silent.requests() && (clearInterval(timer), response.end("asked")), 10);
    response.on("close", () => clearInterval(timer));
  });
  asked.listen(0, "127.0.0.1");
  await once(asked, "listening");
  t.after(() => asked.close());
  const found = await ask("abort", { url: silent.url, asked: `http://127.0.0.1:${asked.address().port}` });
  assert.match(found, /^TimeoutError/);
  await silent.closed;
  assert.equal(silent.open(), 0);
});

test("a request that is gone gives its place back", async (t) => {
  const silent = await silentServer();
  t.after(silent.stop);
  const gone = ask("narrow", { url: silent.url }, AbortSignal.timeout(300));
  await assert.rejects(gone, { name: "TimeoutError" });
  await new Promise((resolve) => setTimeout(resolve, 3500));
  const requests = silent.requests();
  assert.equal(await ask("narrow", { url: silent.url }), "DEADLINE_EXCEEDED secret/data/a");
  assert.equal(silent.requests(), requests + 1);
});
