import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, startHarness } from "../testing/harness.ts";

let h: Harness;
const secrets = "/v1/apps/vault/secrets";
beforeAll(async () => {
  h = await startHarness();
  await h.call("POST", "/v1/apps", { name: "vault", org_slug: "personal" });
});
afterAll(() => h.close());

describe("secrets", () => {
  test("one call sets and removes; every write raises the version; removing a missing name is no error", async () => {
    const first = await h.call("POST", secrets, { values: { A: "1", B: "2" } });
    expect(first.body).toMatchObject({ version: 1, Version: 1 });
    const second = await h.call("POST", secrets, { values: { A: null, MISSING: null, C: "3" } });
    expect(second.body).toMatchObject({ version: 2, secrets: [{ name: "B" }, { name: "C" }] });
    const single = await h.call("POST", `${secrets}/D`, { value: "4" });
    expect(single).toMatchObject({ status: 201, body: { name: "D", version: 3 } });
    expect((await h.call("DELETE", `${secrets}/D`)).body).toMatchObject({ version: 4 });
    expect((await h.call("DELETE", `${secrets}/D`)).status).toBe(404);
    expect((await h.call("GET", `${secrets}/B`)).body.name).toBe("B");
    expect((await h.call("GET", `${secrets}/A`)).status).toBe(404);
  });

  test("the digest tells a changed value from a rewritten one, and differs from a plain hash", async () => {
    const digest = async (): Promise<string> => (await h.call("GET", `${secrets}/DRIFT`)).body.digest;
    await h.call("POST", secrets, { values: { DRIFT: "one" } });
    const one = await digest();
    await h.call("POST", secrets, { values: { DRIFT: "one" } });
    expect(await digest()).toBe(one);
    await h.call("POST", secrets, { values: { DRIFT: "two" } });
    expect(await digest()).not.toBe(one);
  });

  test("values come back only with show_secrets and an organization's token", async () => {
    await h.call("POST", secrets, { values: { HIDDEN: "plain-text-canary" } });
    const { token } = (await h.call("POST", "/v1/apps/vault/deploy_token", {})).body;
    const plain = [
      await h.call("GET", secrets),
      await h.call("GET", `${secrets}/HIDDEN`),
      await h.call("POST", secrets, { values: { HIDDEN: "plain-text-canary" } }),
      await h.call("POST", `${secrets}/HIDDEN`, { value: "plain-text-canary" }),
      await h.callAs(token)("GET", secrets),
    ];
    for (const reply of plain) expect(JSON.stringify(reply.body)).not.toContain("plain-text-canary");
    expect((await h.callAs(token)("GET", `${secrets}?show_secrets=true`)).status).toBe(403);
    const shown = await h.call("GET", `${secrets}/HIDDEN?show_secrets=true`);
    expect(shown.body.value).toBe("plain-text-canary");
  });

  test("min_version, or version as fly-go sends it, is refused while unmet", async () => {
    const { version } = (await h.call("POST", secrets, { values: { V: "1" } })).body;
    expect((await h.call("GET", `${secrets}?min_version=${version}`)).status).toBe(200);
    expect((await h.call("GET", `${secrets}?min_version=${version + 1}`)).status).toBe(412);
    expect((await h.call("GET", `${secrets}?version=${version + 1}`)).status).toBe(412);
  });

  test("a name that is no environment variable, and a value that is no text, are 400 and named", async () => {
    const name = await h.call("POST", secrets, { values: { "not-a-name": "x" } });
    expect(name.status).toBe(400);
    expect(name.body.error).toContain("not-a-name");
    const value = await h.call("POST", secrets, { values: { NUMBER: 5 } });
    expect(value.body.error).toContain("values.NUMBER");
  });
});
