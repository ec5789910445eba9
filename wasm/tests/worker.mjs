// A Worker that uses baokit; workerd.test.mjs drives it over HTTP.

import { Client } from "baokit";
import { DevServer } from "baokit/testing";
import { appRole, smoke } from "./smoke.mjs";

// One client for all requests, made before any: what a Worker does at its top must do no I/O.
let shared, narrow;

const ROUTES = {
  /** The smoke test, on the server that is named. */
  async smoke({ url, name }) {
    const credential = await appRole({ Client, url });
    return smoke({ Client, url, credential, name });
  },
  /** The same without a server. */
  async model() {
    const { fetch } = new DevServer();
    const credential = await appRole({ Client, url: "http://dev", fetch });
    return smoke({ Client, url: "http://dev", fetch, credential, name: "model" });
  },
  /** A read through the one client that all requests share. */
  async shared({ OPENBAO_URL, OPENBAO_ROLE_ID, OPENBAO_SECRET_ID, uri }) {
    shared ??= Client.fromEnv({ OPENBAO_URL, OPENBAO_ROLE_ID, OPENBAO_SECRET_ID, TENANT_ALLOWED_MOUNTS: "secret" });
    return (await shared.read(uri)).exposeString();
  },
  /** A read through another shared client, which lets one operation run at a time. */
  async narrow({ url }) {
    narrow ??= new Client({ url, token: "root", allowedMounts: ["secret"], maxConcurrent: 1, timeout: 1 });
    return narrow.read("openbao+kv2://secret/a").catch(({ code, subject }) => `${code} ${subject}`);
  },
  /** A read that nobody answers, given up once `asked` answers. */
  async abort({ url, asked }) {
    const controller = new AbortController();
    const client = new Client({ url, token: "root", allowedMounts: ["secret"] });
    const reading = client.read("openbao+kv2://secret/a", { signal: controller.signal });
    reading.catch(() => {});
    await (await fetch(asked)).text();
    controller.abort(new DOMException("enough", "TimeoutError"));
    return reading;
  },
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    try {
      return new Response(await ROUTES[pathname.slice(1)](Object.fromEntries(searchParams)));
    } catch (error) {
      return new Response(`${error.name} ${error.code ?? ""}: ${error.stack}`, { status: 500 });
    }
  },
};
