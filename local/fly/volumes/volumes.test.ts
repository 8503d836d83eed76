import { afterAll, beforeAll, expect, test } from "vitest";
import { type Harness, startHarness } from "../testing/harness.ts";

let h: Harness;
const volumes = "/v1/apps/disks/volumes";
beforeAll(async () => {
  h = await startHarness();
  await h.call("POST", "/v1/apps", { name: "disks", org_slug: "personal" });
  await h.call("POST", "/v1/apps", { name: "others", org_slug: "personal" });
});
afterAll(() => h.close());

test("create with Fly's defaults, read, list, change, extend, snapshot, soft-delete", async () => {
  const compute = { cpu_kind: "shared", cpus: 1, memory_mb: 512 };
  const created = await h.call("POST", volumes, { name: "data", region: "lhr", compute });
  expect(created).toMatchObject({
    status: 200,
    body: {
      name: "data",
      region: "lhr",
      size_gb: 3,
      encrypted: true,
      snapshot_retention: 5,
      state: "created",
    },
  });
  const path = `${volumes}/${created.body.id}`;
  expect((await h.call("GET", volumes)).body).toHaveLength(1);
  expect((await h.call("PUT", path, { snapshot_retention: 10 })).body.snapshot_retention).toBe(10);
  expect((await h.call("PUT", `${path}/extend`, { size_gb: 5 })).body).toMatchObject({
    needs_restart: false,
    volume: { size_gb: 5 },
  });
  expect((await h.call("PUT", `${path}/extend`, { size_gb: 4 })).status).toBe(400);
  expect((await h.call("POST", `${path}/snapshots`)).status).toBe(200);
  expect((await h.call("GET", `${path}/snapshots`)).body).toMatchObject([
    { retention_days: 10, status: "created" },
  ]);
  expect((await h.call("DELETE", path)).body.state).toBe("pending_destroy");
  expect((await h.call("GET", path)).body.state).toBe("pending_destroy");
});

test("an unknown region, a bad name and another app's volume are refused", async () => {
  expect((await h.call("POST", volumes, { name: "data", region: "eu" })).status).toBe(400);
  expect((await h.call("POST", volumes, { name: "Bad-Name" })).body.error).toContain("name:");
  const { id } = (await h.call("POST", volumes, { name: "own" })).body;
  expect((await h.call("GET", `/v1/apps/others/volumes/${id}`)).status).toBe(404);
});
