/// <reference lib="esnext.disposable" />
// The types of baokit, for TypeScript and for editors.

import type { Code } from "./codes.js";
export type { Code };

/** A value that JSON can hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface Options {
  /** `openbao+kv2` (the default) or `hashicorp+kv2`. */
  provider?: string | null;
  /** The node, or a load balancer: `https://host:port`. */
  url?: string | null;
  /** The nodes of one cluster. */
  urls?: readonly string[] | null;
  /** A token that somebody else obtained. */
  token?: string | null;
  /** AppRole; it wins over a token. */
  roleId?: string | null;
  secretId?: string | null;
  /** The namespace; the root namespace by default. */
  namespace?: string | null;
  /** Refused: `fetch` takes its authorities from the runtime. So are the three that follow. */
  caPem?: string | null;
  clientCertificatePem?: string | null;
  clientKeyPem?: string | null;
  /** Only true is honoured. */
  verifyTls?: boolean | null;
  /** The deadline of a whole operation in seconds; 30 by default. */
  timeout?: number | null;
  /** How long before its end a token is renewed, in seconds; 600 by default. */
  renewalThreshold?: number | null;
  /** Without effect: `fetch` keeps its own connections. */
  poolSize?: number | null;
  /** How many operations may be in flight at once; 50 by default. */
  maxConcurrent?: number | null;
  /** The tenant that errors name; `dev` by default. */
  tenantId?: string | null;
  /** The mounts that URIs may name; none by default. */
  allowedMounts?: readonly string[] | null;
  /** Whether URIs with duplicate slashes, or white space around them, are forgiven. */
  acceptLegacy?: boolean | null;
  /** Replaces the platform's `fetch`. */
  fetch?: (input: string, init: RequestInit) => Promise<Response>;
}

/** Aborting it ends the call and its request; the promise rejects with the signal's reason. */
export interface CallOptions {
  signal?: AbortSignal | null;
}

/** The keys and values of an environment: `process.env`, or the bindings of a Worker. */
export type Environment = object;

/** What a client was set up with; of the credential only the kind. */
export interface Settings {
  readonly provider: string;
  readonly nodes: string[];
  readonly credential: "token" | "app_role";
  readonly namespace: string | null;
  readonly ca: string | null;
  readonly client_certificate: [string, string] | null;
  readonly verify_tls: boolean;
  readonly timeout: number;
  readonly renewal_threshold: number;
  readonly pool_size: number;
  readonly max_concurrent: number;
  readonly tenant_id: string;
  readonly allowed_mounts: string[];
  readonly accept_legacy: boolean;
  readonly warnings: string[];
}

/** A write or rotation that was carried out. */
export interface Change {
  /** The version that was the newest before, 0 where there was none. */
  oldVersion: number;
  newVersion: number;
}

export interface Written {
  version: number;
  createdTime: string;
}

export interface Version {
  version: number;
  createdTime: string;
  deletionTime: string | null;
  destroyed: boolean;
}

/** The versions that OpenBao still knows, oldest first. */
export class Versions {
  private constructor();
  readonly currentVersion: number;
  readonly versions: Version[];
  /** The key's `custom_metadata`; not shown when the object is logged. */
  readonly customMetadata: Record<string, string>;
}

export interface TokenInfo {
  accessor: string;
  policies: string[];
  /** Seconds, 0 for a token without an end. */
  ttl: number;
  renewable: boolean;
  /** 0 for a token without such a limit. */
  numUses: number;
}

export interface Renewal {
  leaseDuration: number;
  renewable: boolean;
}

/** A value that leaves only through `expose`; redacted in logs, JSON and texts. */
export class SecretValue {
  protected constructor();
  /** The plain value. */
  expose<T = Json>(): T;
  /** The plain value, which must be a string: else `WRONG_TYPE`. */
  exposeString(): string;
  /** Wipes the value in the module's memory; it can't be exposed any more. */
  [Symbol.dispose](): void;
  toJSON(): string;
  toString(): string;
}

/** A secret as it was read: the whole map, or one value where the URI had a fragment. */
export class Secret extends SecretValue {
  readonly version: number;
  /** RFC 3339 in UTC, by the server's clock. */
  readonly createdTime: string;
  readonly customMetadata: Record<string, string>;
}

/** The canonical URI of one secret, or of one key in it. */
export class SecretUri {
  private constructor();
  static parse(text: string, options?: { acceptLegacy?: boolean | null; mount?: string | null }): SecretUri;
  readonly provider: string;
  readonly mount: string;
  readonly path: string;
  readonly fragment: string | undefined;
  /** A bigint only beyond `Number.MAX_SAFE_INTEGER`. */
  readonly version: number | bigint | undefined;
  /** The canonical text. */
  toString(): string;
  toJSON(): string;
}

/** The canonical prefix that a list, a search or a policy names. */
export class SecretPrefix {
  private constructor();
  /** With `wildcard` it may end in a slash and a star. */
  static parse(
    text: string,
    options?: { acceptLegacy?: boolean | null; wildcard?: boolean | null; mount?: string | null },
  ): SecretPrefix;
  readonly provider: string;
  readonly mount: string;
  /** Empty for the whole mount. */
  readonly path: string;
  readonly wildcard: boolean;
  /** The canonical text. */
  toString(): string;
  toJSON(): string;
}

/** A reference to a secret in either notation. */
export type SecretRef = SecretUri | SecretPointer;
export const SecretRef: {
  /** A pointer where the text is one, else a URI. */
  parse(text: string): SecretRef;
};

/** A pointer to a credential outside any mount: `file:store:name` or `db:credentials:uuid`. */
export class SecretPointer {
  private constructor();
  static parse(text: string): SecretPointer;
  /** The canonical text. */
  toString(): string;
  toJSON(): string;
}

/** The KVv2 engine at one mount, below the level of URIs and of the tenant guard. */
export class Kv2 {
  private constructor();
  read(path: string, options?: CallOptions & { version?: number | bigint | null }): Promise<Secret>;
  /** With `cas` (the current version, 0 for none) a lost answer is made good by sending it again. */
  write(path: string, data: Json | object, options?: CallOptions & { cas?: number | bigint | null }): Promise<Written>;
  /** Deletes these versions, or the newest where none is named. */
  delete(path: string, options?: CallOptions & { versions?: readonly (number | bigint)[] | null }): Promise<void>;
  versions(path: string, options?: CallOptions): Promise<Versions>;
}

/** A client of one OpenBao cluster. It sends nothing until it is asked to. */
export class Client {
  constructor(options: Options);
  /** The settings of an environment (`process.env` where there is one), overruled by options. */
  static fromEnv(env?: Environment, options?: Options): Client;
  /** What an environment comes to, without making a client. */
  static describeSettings(env?: Environment, provider?: string | null): Settings;
  readonly settings: Settings;

  /** Reads a secret, or one key of it where the URI has a fragment. */
  read(uri: string | SecretUri, options?: CallOptions): Promise<Secret>;
  /** Writes a new version: the whole secret (an object), or with a fragment that key alone. */
  write(uri: string | SecretUri, value: Json | object, options?: CallOptions): Promise<Change>;
  /** Like `write`, but stops with `CAS_CONFLICT` where another writer comes in between. */
  rotate(uri: string | SecretUri, value: Json | object, options?: CallOptions): Promise<Change>;
  /** Deletes the newest version, or the pinned one. It can be undeleted. */
  delete(uri: string | SecretUri, options?: CallOptions): Promise<void>;
  versions(uri: string | SecretUri, options?: CallOptions): Promise<Versions>;
  kv2(mount: string): Kv2;
  /** Parses a prefix and asks the guard of the tenant's mounts. Sends nothing. */
  admitPrefix(text: string): SecretPrefix;
  /** Sends what baokit does not model; the answer is the whole JSON document, null for none. */
  request(method: string, path: string, body?: Json | object, options?: CallOptions): Promise<SecretValue>;
  lookupSelf(options?: CallOptions): Promise<TokenInfo>;
  /** The increment, in seconds, is the new rest of the lease. */
  renewSelf(options?: CallOptions & { increment?: number | bigint | null }): Promise<Renewal>;
  /** Wipes token and credential. Nothing more is sent; later calls fail with `CLIENT_CLOSED`. */
  close(): void;
  [Symbol.dispose](): void;
}

export type Family = "caller" | "policy" | "server" | "transport" | "bug";

/** A failed operation. It never holds a token or a value. */
export class BaokitError extends Error {
  private constructor();
  /** The stable code; programs compare this. */
  readonly code: Code;
  /** Who has to act. */
  readonly family: Family;
  readonly httpStatus: number;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  /** What to do next. */
  readonly advice: string;
  /** The key, path or host at fault. */
  readonly subject: string | undefined;
  /** The node that was asked last. */
  readonly node: string | undefined;
  /** How many requests were sent. */
  readonly tries: number;
}
