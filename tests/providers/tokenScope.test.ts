import { afterAll, beforeAll, expect, test } from "vitest";
import { type Harness, startHarness } from "../../local/fly/testing/harness.ts";
import { readTokenScope } from "../../runtime/convex/machines/fly/tokenScope.ts";

let harness: Harness | null = null;
const fly = (): Harness => {
  if (harness === null) throw new Error("Fly did not start");
  return harness;
};
beforeAll(async () => {
  harness = await startHarness();
  await fly().call("POST", "/v1/apps", { name: "af-scope", org_slug: "personal" });
});
afterAll(async () => {
  await harness?.close();
});

const scopeOf = async (token: string, apiUrl = fly().fly.url) => await readTokenScope({ apiUrl, token });

test("a deploy token is for its app alone", async () => {
  const { body } = await fly().call("POST", "/v1/apps/af-scope/deploy_token", { expiry: "1h" });
  expect(await scopeOf(body.token as string)).toEqual({ kind: "app", apps: ["af-scope"] });
});

test("an organization's token reaches all of it", async () => {
  expect(await scopeOf(fly().fly.orgToken)).toEqual({ kind: "organization", slug: "personal" });
});

test("a token that is refused, and a Fly that does not answer, say nothing about the scope", async () => {
  expect(await scopeOf("FlyV1 fm2_nonsense")).toEqual({ kind: "unknown" });
  expect(await scopeOf("FlyV1 fm2_nonsense", "http://127.0.0.1:1")).toEqual({ kind: "unknown" });
});
