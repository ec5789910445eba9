// Servers for the tests: the dev server, the real one, one that never answers, workerd. Each is a
// child of its own and is ended by `stop`.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** How long a server may take until it answers. */
const READY = 30_000;

/** A child; `until` sees its lines and says when it is ready, by what it returns. */
export async function start(command, words, { until, env = {} } = {}) {
  const child = spawn(command, words, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  const ended = once(child, "exit").catch((error) => [error]);
  const ready = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        const found = until?.(line);
        if (found) resolve(found);
      });
    }
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const died = ended.then(([status]) => Promise.reject(new Error(`${command} ended (${status}): ${log.join("\n")}`)));
  const late = new Promise((_, reject) => setTimeout(reject, READY, new Error(`${command} is late: ${log.join("\n")}`)).unref());
  died.catch(() => {});
  late.catch(() => {});
  try {
    return { found: until && (await Promise.race([ready, died, late])), log, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export async function devServer() {
  const { found, stop } = await start(process.env.BAOKIT_DEVSERVER, [], {
    until: (line) => line.match(/^listening on (\S+)/)?.[1],
  });
  return { url: found, stop };
}

/** `bao server -dev`, at home in a folder of its own. */
export async function realServer() {
  const home = mkdtempSync(join(tmpdir(), "baokit-"));
  const address = `127.0.0.1:${await freePort()}`;
  const words = ["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", `-dev-listen-address=${address}`];
  const server = await start(process.env.BAOKIT_BAO, words, { env: { HOME: home } });
  const url = `http://${address}`;
  const stop = async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  };
  // It is healthy a moment before it mounts secret/, so this asks for the mount.
  for (const end = Date.now() + READY; ; ) {
    const answer = await fetch(`${url}/v1/secret/config`, { headers: { "X-Vault-Token": "root" } }).catch(() => null);
    if (answer?.ok) return { url, stop };
    if (Date.now() > end) {
      await stop();
      throw new Error(`the real server did not start: ${server.log.join("\n")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * Takes requests and never answers. `open` counts the requests whose connection still stands; a spare
 * connection without one, such as Node's fetch opens after an abort, is no request. `closed` resolves
 * with the first request that its client gives up.
 */
export async function silentServer() {
  const sockets = new Set();
  const waiting = new Set();
  let requests = 0;
  let close;
  const closed = new Promise((resolve) => (close = resolve));
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      requests += 1;
      waiting.add(socket);
    });
    socket.on("close", () => {
      sockets.delete(socket);
      if (waiting.delete(socket)) close();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  };
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, closed, open: () => waiting.size, requests: () => requests, stop };
}

export async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}
