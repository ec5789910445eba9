// What a user does first, on any server and in any runtime: a log-in by AppRole, a write, a read, the
// rotation of one key, the list of versions. Throws where something else comes out than must.

const POLICY = `
path "secret/data/smoke/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/smoke/*" { capabilities = ["read", "list"] }
`;

/** Makes an AppRole with the root token. */
export async function appRole({ Client, url, fetch, token = "root" }) {
  const root = new Client({ url, token, fetch });
  // Another run may have enabled it.
  await root.request("POST", "sys/auth/approle", { type: "approle" }).catch(() => {});
  await root.request("POST", "sys/policies/acl/smoke", { policy: POLICY });
  await root.request("POST", "auth/approle/role/smoke", { token_policies: "smoke,default", token_ttl: "1h" });
  const role = (await root.request("GET", "auth/approle/role/smoke/role-id")).expose();
  const secret = (await root.request("POST", "auth/approle/role/smoke/secret-id", {})).expose();
  root.close();
  return { roleId: role.data.role_id, secretId: secret.data.secret_id };
}

export async function smoke({ Client, url, fetch, credential, name }) {
  const client = new Client({ url, fetch, ...credential, allowedMounts: ["secret"] });
  const uri = `openbao+kv2://secret/smoke/${name}`;
  const first = await client.write(uri, { token: "old", user: "ada" });
  equal((await client.read(uri)).expose(), { token: "old", user: "ada" });
  const done = await client.rotate(`${uri}#token`, "new");
  equal([first.newVersion, done.oldVersion, done.newVersion], [1, 1, 2]);
  equal((await client.read(`${uri}#token`)).exposeString(), "new");
  equal((await client.read(`${uri}#user`)).expose(), "ada");
  const { currentVersion, versions } = await client.versions(uri);
  equal([currentVersion, versions.map(({ version }) => version)], [2, [1, 2]]);
  await client.delete(uri);
  equal(await client.read(uri).catch(({ code }) => code), "SECRET_DELETED");
  equal((await client.lookupSelf()).policies.includes("smoke"), true);
  client.close();
  equal(await client.read(uri).catch(({ code }) => code), "CLIENT_CLOSED");
  return "smoke: ok";
}

function equal(found, wanted) {
  const texts = [found, wanted].map((value) => JSON.stringify(value, sorted));
  if (texts[0] !== texts[1]) throw new Error(`found ${texts[0]}, wanted ${texts[1]}`);
}

function sorted(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
