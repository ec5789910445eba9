// The types of the package as a program uses them; tsc --strict must have nothing to say.

import { BaokitError, Client, Secret, SecretPointer, SecretPrefix, SecretRef, SecretUri, type Change, type Code, type Settings } from "baokit";
import { DevServer } from "baokit/testing";

export async function example(env: { OPENBAO_URL: string; OPENBAO_TOKEN: string }): Promise<string> {
  const client: Client = Client.fromEnv(env, { timeout: 10, allowedMounts: ["secret"] });
  const uri: SecretUri = SecretUri.parse("openbao+kv2://secret/app/api#token");
  const secret: Secret = await client.read(uri, { signal: AbortSignal.timeout(1000) });
  const whole = (await client.read("openbao+kv2://secret/app/api")).expose<{ token: string }>();
  const done: Change = await client.rotate(uri, "new");
  const written = await client.kv2("secret").write("app/api", { token: whole.token }, { cas: done.newVersion });
  const { versions, customMetadata } = await client.versions("openbao+kv2://secret/app/api");
  const settings: Settings = client.settings;
  client.close();
  const numbers: number[] = versions.map(({ version }) => version);
  return `${secret.exposeString()} ${written.version} ${numbers} ${customMetadata["owner"]} ${settings.timeout}`;
}

export function judge(error: unknown): Code | undefined {
  if (!(error instanceof BaokitError)) return undefined;
  const known: Code = "SECRET_NOT_FOUND";
  return error.code === known && !error.retryable ? error.code : undefined;
}

export const client = new Client({ url: "http://127.0.0.1:8200", token: "root", fetch: new DevServer().fetch });

export const prefix: SecretPrefix = client.admitPrefix(`${SecretPrefix.parse("openbao+kv2://secret/*", { wildcard: true }).mount}`);
const reference: SecretRef = SecretRef.parse("file:a");
export const version = reference instanceof SecretPointer ? undefined : reference.version;

// @ts-expect-error: there is no such option.
new Client({ tokn: "root" });
// @ts-expect-error: a URI is a text.
void client.read(7);
// @ts-expect-error: secrets are made by reading them.
new Secret();
