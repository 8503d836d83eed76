import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectEventually, type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";
import { startTokenOf } from "../machines/processes.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness({ organizations: ["personal", "other"] });
});
afterAll(() => h.close());
const create = (body: Record<string, unknown>) =>
  h.call("POST", "/v1/apps", { org_slug: "personal", ...body });

describe("apps", () => {
  test("create, read, list, delete", async () => {
    const created = await create({ name: "first", network: "first-net" });
    expect(created.status).toBe(201);
    expect(created.headers.get("fly-request-id")).toMatch(/^[0-9A-Z]{26}-iad$/);
    expect((await h.call("GET", "/v1/apps/first")).body).toMatchObject({
      id: created.body.id,
      name: "first",
      network: "first-net",
      organization: { slug: "personal" },
      machine_count: 0,
      volume_count: 0,
    });
    const listed = await h.call("GET", "/v1/apps?org_slug=personal");
    expect(listed.body.apps.map((app: { name: string }) => app.name)).toContain("first");
    const deleted = await h.call("DELETE", "/v1/apps/first");
    expect(deleted).toMatchObject({ status: 202, body: undefined });
    expect((await h.call("GET", "/v1/apps/first")).status).toBe(404);
  });

  test("a taken name is 422 name_taken, also for another organization, whose GET answers 403", async () => {
    await create({ name: "taken" });
    const again = await create({ name: "taken" });
    expect(again).toMatchObject({ status: 422, body: { status: "name_taken" } });
    const other = h.callAs(h.fly.orgTokens["other"] ?? "");
    const foreign = await other("POST", "/v1/apps", { name: "taken", org_slug: "other" });
    expect(foreign).toMatchObject({ status: 422, body: { status: "name_taken" } });
    expect((await other("GET", "/v1/apps/taken")).status).toBe(403);
    expect((await other("GET", "/v1/apps/free")).status).toBe(404);
    expect((await other("POST", "/v1/apps", { name: "mine", org_slug: "personal" })).status).toBe(403);
  });

  test("an idempotency key gives the first app again, also without a name, and refuses another name", async () => {
    const first = await create({ name: "once", idempotency_key: "k1" });
    expect((await create({ name: "once", idempotency_key: "k1" })).body).toEqual(first.body);
    expect((await create({ idempotency_key: "k1" })).body).toEqual(first.body);
    expect((await create({ name: "twice", idempotency_key: "k1" })).status).toBe(409);
    expect((await create({ name: "once", idempotency_key: "k2" })).status).toBe(422);
  });

  test.each([
    ["a bad name", { name: "Bad Name" }, "name"],
    ["a network that starts with a digit", { name: "ok", network: "1net" }, "network"],
    ["no name and no key", {}, "name"],
  ])("%s is 400 and named", async (_title, body, field) => {
    const reply = await create(body);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toContain(`${field}:`);
  });

  test("lists page by limit and cursor", async () => {
    for (const name of ["p1", "p2", "p3"]) await create({ name });
    const names: string[] = [];
    let cursor = "";
    for (let i = 0; i < 10; i++) {
      const { body } = await h.call("GET", `/v1/apps?org_slug=personal&limit=2&cursor=${cursor}`);
      names.push(...body.apps.map((app: { name: string }) => app.name));
      if (body.next_cursor === undefined) break;
      cursor = body.next_cursor;
    }
    expect(names).toEqual(expect.arrayContaining(["p1", "p2", "p3"]));
    expect(new Set(names).size).toBe(names.length);
  });

  test("delete with machines needs force, which ends their processes and everything of the app", async () => {
    const image = await h.appWithImage("full", LONG_RUNNER);
    const { id } = (await h.call("POST", "/v1/apps/full/machines", { config: { image } })).body;
    await expectEventually(async () => (await h.logs("full", id)).includes("ready"));
    const [machine] = (await h.call("GET", "/local/apps/full/machines")).body;
    const { token } = (await h.call("POST", "/v1/apps/full/deploy_token", {})).body;
    expect((await h.call("DELETE", "/v1/apps/full")).status).toBe(412);
    expect((await h.call("DELETE", "/v1/apps/full?force=true")).status).toBe(202);
    expect(startTokenOf(machine.process.main)).toBeNull();
    expect((await h.callAs(token)("GET", "/v1/apps/full")).status).toBe(401);
    await create({ name: "full" });
    expect((await h.call("GET", "/v1/apps/full/machines")).body).toEqual([]);
  });
});

describe("the edge", () => {
  test("401 without a token, with a foreign scheme and with an unknown one; both of Fly's schemes work", async () => {
    const path = "/v1/apps?org_slug=personal";
    expect((await h.callAs(null)("GET", path)).status).toBe(401);
    expect((await h.callAs("fm2_nothing")("GET", path)).status).toBe(401);
    const bare = h.fly.orgToken.replace("FlyV1 ", "");
    for (const authorization of [
      `Bearer ${bare}`,
      `FlyV1 ${bare}`,
      h.fly.orgToken,
      `Bearer ${h.fly.orgToken}`,
    ]) {
      expect((await h.callAs(null)("GET", path, undefined, { authorization })).status).toBe(200);
    }
    const basic = { authorization: `Basic ${bare}` };
    expect((await h.callAs(null)("GET", path, undefined, basic)).status).toBe(401);
  });

  test("a body that is no JSON is 400, one that is too large 413, an unserved path 501", async () => {
    const post = (body: string): Promise<Response> =>
      fetch(`${h.fly.url}/v1/apps`, {
        method: "POST",
        body,
        headers: { authorization: `Bearer ${h.fly.orgToken}` },
      });
    expect((await post("{")).status).toBe(400);
    expect((await post(`"${"x".repeat(5_000_000)}"`)).status).toBe(413);
    expect((await h.call("GET", "/v1/apps/taken/certificates")).status).toBe(501);
  });

  test("regions and placements answer; a placement for another organization is 403", async () => {
    const regions = (await h.call("GET", "/v1/platform/regions")).body;
    expect(regions.regions.map((region: { code: string }) => region.code)).toContain("fra");
    const body = { org_slug: "personal", region: "lhr,us", count: 3 };
    const placed = (await h.call("POST", "/v1/platform/placements", body)).body.regions;
    expect(placed).toContainEqual({ region: "lhr", count: 3, concurrency: 50 });
    expect(placed.map((entry: { region: string }) => entry.region)).not.toContain("fra");
    expect((await h.call("POST", "/v1/platform/placements", { org_slug: "other" })).status).toBe(403);
  });
});
