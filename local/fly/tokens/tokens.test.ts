import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";

let h: Harness;
let image: string;
let clockMs = Date.now();
beforeAll(async () => {
  h = await startHarness({ now: () => clockMs });
  image = await h.appWithImage("mine", LONG_RUNNER);
  await h.appWithImage("theirs", LONG_RUNNER);
});
afterAll(() => h.close());

const CREATE = `mutation($input: CreateLimitedAccessTokenInput!) {
  createLimitedAccessToken(input: $input) { limitedAccessToken { id tokenHeader expiresAt } } }`;
const DELETE = `mutation($input: DeleteLimitedAccessTokenInput!) { deleteLimitedAccessToken(input: $input) { token } }`;
const APP = `query($name: String!) { app(name: $name) { id organization { id slug }
  limitedAccessTokens { nodes { id name expiresAt } } } }`;

async function graphqlToken(expiry?: string): Promise<{ id: string; token: string; expiresAt: string }> {
  const { id, organization } = (await h.graphql(APP, { name: "mine" })).body.data.app;
  const input = {
    name: "scaler",
    organizationId: organization.id,
    profile: "deploy",
    profileParams: { app_id: id },
    expiry,
  };
  const { body } = await h.graphql(CREATE, { input });
  const made = body.data.createLimitedAccessToken.limitedAccessToken;
  return { id: made.id, token: made.tokenHeader, expiresAt: made.expiresAt };
}

describe("an app's deploy token", () => {
  test("reaches its app and nothing else", async () => {
    const { token } = (await h.call("POST", "/v1/apps/mine/deploy_token", { expiry: "1h" })).body;
    expect(token).toMatch(/^FlyV1 fm2_[\w-]+,fm2_[\w-]+$/);
    const as = h.callAs(token);
    expect((await as("GET", "/v1/apps/mine")).status).toBe(200);
    expect(
      (await as("POST", "/v1/apps/mine/machines", { config: { image }, skip_launch: true })).status,
    ).toBe(200);
    expect((await as("POST", "/v1/apps/mine/secrets", { values: { A: "1" } })).status).toBe(200);
    const refused = await Promise.all([
      as("GET", "/v1/apps?org_slug=personal"),
      as("GET", "/v1/orgs/personal/machines"),
      as("POST", "/v1/apps", { name: "new", org_slug: "personal" }),
      as("GET", "/v1/apps/theirs"),
      as("GET", "/v1/apps/theirs/machines"),
      as("POST", "/v1/apps/mine/deploy_token", {}),
      as("POST", "/v1/apps/mine/machines", { config: { image: "registry.fly.io/theirs:latest" } }),
    ]);
    expect(refused.map((reply) => reply.status)).toEqual([403, 403, 403, 403, 403, 403, 403]);
    const current = (await as("GET", "/v1/tokens/current")).body;
    expect(current.tokens).toMatchObject([{ org_slug: "personal", apps: ["mine"] }]);
  });

  test("ends with its expiry", async () => {
    const { token } = (await h.call("POST", "/v1/apps/mine/deploy_token", { expiry: "1h30m" })).body;
    clockMs += 5_400_000 - 1;
    expect((await h.callAs(token)("GET", "/v1/apps/mine")).status).toBe(200);
    clockMs += 1;
    expect((await h.callAs(token)("GET", "/v1/apps/mine")).status).toBe(401);
    const bad = await h.call("POST", "/v1/apps/mine/deploy_token", { expiry: "a year" });
    expect(bad).toMatchObject({ status: 400 });
    expect(bad.body.error).toContain("expiry");
  });

  test("made over GraphQL has an id, is listed with its expiry, and is revoked by id or by text", async () => {
    const first = await graphqlToken("8760h0m0s");
    const second = await graphqlToken();
    expect(Date.parse(first.expiresAt)).toBe(clockMs + 8_760 * 3_600_000);
    const { nodes } = (await h.graphql(APP, { name: "mine" })).body.data.app.limitedAccessTokens;
    expect(nodes).toContainEqual({ id: first.id, name: "scaler", expiresAt: first.expiresAt });
    expect((await h.callAs(first.token)("GET", "/v1/apps/mine")).status).toBe(200);
    expect((await h.graphql(DELETE, { input: { id: first.id } })).body.errors).toBeUndefined();
    expect((await h.graphql(DELETE, { input: { token: second.token } })).body.errors).toBeUndefined();
    expect((await h.callAs(first.token)("GET", "/v1/apps/mine")).status).toBe(401);
    expect((await h.callAs(second.token)("GET", "/v1/apps/mine")).status).toBe(401);
    const again = await h.graphql(DELETE, { input: { id: first.id } });
    expect(again).toMatchObject({ status: 200, body: { errors: [{ extensions: { code: "NOT_FOUND" } }] } });
  });
});

describe("GraphQL", () => {
  test("organization by slug; an app that is not there or not covered is not found", async () => {
    const query = '{ organization(slug: "personal") { id slug } }';
    expect((await h.graphql(query)).body.data.organization).toMatchObject({ slug: "personal" });
    const absent = await h.graphql(APP, { name: "absent" });
    expect(absent.body).toMatchObject({
      errors: [{ message: "Could not find App", extensions: { code: "NOT_FOUND" } }],
    });
    const { token } = await graphqlToken("1h");
    const foreign = await h.graphql(APP, { name: "theirs" }, token);
    expect(foreign.body.errors[0].extensions.code).toBe("NOT_FOUND");
  });

  test("a scoped token cannot make or revoke tokens; a field that does not exist is refused", async () => {
    const { token, id } = await graphqlToken("1h");
    const reply = await h.graphql(DELETE, { input: { id } }, token);
    expect(reply.body.errors[0].extensions.code).toBe("UNAUTHORIZED");
    const misspelt = await h.graphql('{ app(name: "mine") { identifier } }');
    expect(misspelt.body.errors[0].message).toBe("Field 'identifier' doesn't exist on type 'app'");
    expect((await h.graphql("{ app(")).status).toBe(400);
    expect((await h.graphql('{ organization(slug: "personal") { id } }', {}, "fm2_wrong")).status).toBe(401);
  });
});

describe("the organization's token", () => {
  test("is in a file that only its owner can read, and in no table", () => {
    expect(statSync(h.fly.orgTokenFile).mode & 0o777).toBe(0o600);
    const bare = h.fly.orgToken.replace("FlyV1 ", "");
    expect(readFileSync(h.fly.orgTokenFile, "utf8")).toContain(bare);
    for (const file of ["fly.db", "fly.db-wal"]) {
      expect(readFileSync(`${h.stateDir}/${file}`, "latin1")).not.toContain(bare.split(",")[0]);
      expect(statSync(`${h.stateDir}/${file}`).mode & 0o077).toBe(0);
    }
  });
});
