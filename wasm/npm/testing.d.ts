/// <reference lib="esnext.disposable" />
// The types of baokit/testing.

/** A request that reached the server; the values of its headers are not kept. */
export interface Logged {
  method: string;
  target: string;
  headers: string[];
  status: number;
}

/** An OpenBao-compatible server in memory, as a fetch function without a socket. */
export class DevServer {
  constructor(options?: { rootToken?: string; seed?: number });
  readonly rootToken: string;
  /** To be passed as the option `fetch` of a client. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  readonly requests: Logged[];
  clearRequests(): void;
  /** Moves the clock on by so many seconds. */
  advance(seconds: number): void;
  seal(): void;
  unseal(): void;
  /** Forgets a token, as if it had been revoked elsewhere. */
  revoke(token: string): void;
  [Symbol.dispose](): void;
}
