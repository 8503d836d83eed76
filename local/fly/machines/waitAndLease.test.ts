import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";

let h: Harness;
let image: string;
let clockMs = Date.now();
const machines = "/v1/apps/demo/machines";
beforeAll(async () => {
  h = await startHarness({ now: () => clockMs });
  image = await h.appWithImage("demo", LONG_RUNNER);
});
afterAll(() => h.close());

async function idle(
  body: Record<string, unknown> = {},
): Promise<{ id: string; version: string; nonce?: string }> {
  const reply = await h.call("POST", machines, { config: { image }, skip_launch: true, ...body });
  expect(reply.status).toBe(200);
  return reply.body;
}

describe("wait", () => {
  test("answers as soon as the state is reached", async () => {
    const { id, version } = await idle();
    const waiting = h.call("GET", `${machines}/${id}/wait?state=started&timeout=20`);
    expect((await h.call("POST", `${machines}/${id}/start`)).status).toBe(200);
    expect(await waiting).toMatchObject({ status: 200, body: { ok: true, state: "started", version } });
    const destroyed = h.call("GET", `${machines}/${id}/wait?state=destroyed&timeout=20`);
    await h.call("DELETE", `${machines}/${id}?force=true`);
    expect(await destroyed).toMatchObject({ status: 200, body: { state: "destroyed" } });
  });

  test("408 when it is not reached in time, 400 for stopped without a version or an unknown state", async () => {
    const { id } = await idle();
    expect((await h.call("GET", `${machines}/${id}/wait?state=started&timeout=0`)).status).toBe(408);
    expect((await h.call("GET", `${machines}/${id}/wait?state=stopped&timeout=0`)).status).toBe(400);
    expect((await h.call("GET", `${machines}/${id}/wait?state=asleep&timeout=0`)).status).toBe(400);
    expect((await h.call("GET", `${machines}/${id}/wait?state=settled&timeout=0`)).status).toBe(200);
  });
});

describe("leases", () => {
  test("a held lease refuses every write without its nonce, and ends by itself", async () => {
    const { id } = await idle();
    const lease = await h.call("POST", `${machines}/${id}/lease`, { ttl: 30, description: "deploy" });
    expect(lease.status).toBe(201);
    const { nonce } = lease.body;
    expect(lease.body).toMatchObject({ description: "deploy", expires_at: Math.floor(clockMs / 1000) + 30 });
    const refused = await Promise.all([
      h.call("POST", `${machines}/${id}/lease`, { ttl: 5 }),
      h.call("POST", `${machines}/${id}/start`),
      h.call("POST", `${machines}/${id}`, { config: { image } }),
      h.call("PATCH", `${machines}/${id}/metadata`, { metadata: { a: "b" } }),
      h.call("DELETE", `${machines}/${id}?force=true`),
    ]);
    expect(refused.map((reply) => reply.status)).toEqual([409, 409, 409, 409, 409]);
    expect(refused[0]?.body.error).toContain("lease currently held by");
    const mine = { "fly-machine-lease-nonce": String(nonce) };
    const renewed = await h.call("POST", `${machines}/${id}/lease`, { ttl: 60 }, mine);
    expect(renewed.body).toMatchObject({ nonce, expires_at: Math.floor(clockMs / 1000) + 60 });
    expect((await h.call("POST", `${machines}/${id}/cordon`, undefined, mine)).status).toBe(200);
    clockMs += 61_000;
    expect((await h.call("GET", `${machines}/${id}/lease`)).status).toBe(404);
    expect((await h.call("DELETE", `${machines}/${id}`)).status).toBe(200);
  });

  test("release needs the nonce; lease_ttl at create gives it once; lists show leases when asked", async () => {
    const { id, nonce } = await idle({ lease_ttl: 60 });
    expect(nonce).toMatch(/^[0-9a-f]{12}$/);
    expect((await h.call("GET", `${machines}/${id}`)).body.nonce).toBeUndefined();
    const listed = await h.call("GET", `${machines}?include_leases=true`);
    expect(listed.body.find((machine: { id: string }) => machine.id === id).lease.nonce).toBe(nonce);
    const path = `${machines}/${id}/lease`;
    expect((await h.call("DELETE", path, undefined, { "fly-machine-lease-nonce": "wrong" })).status).toBe(
      409,
    );
    expect(
      (await h.call("DELETE", path, undefined, { "fly-machine-lease-nonce": String(nonce) })).status,
    ).toBe(200);
    expect(
      (await h.call("DELETE", path, undefined, { "fly-machine-lease-nonce": String(nonce) })).status,
    ).toBe(404);
  });
});

describe("metadata", () => {
  test("is merged, removed by null and the empty string, fenced by version, and leaves the version alone", async () => {
    const { id, version } = await idle({ config: { image, metadata: { keep: "1", drop: "2", empty: "3" } } });
    const path = `${machines}/${id}/metadata`;
    const patch = { metadata: { drop: null, empty: "", added: "4" }, machine_version: version };
    expect((await h.call("PATCH", path, patch)).status).toBe(204);
    expect((await h.call("GET", path)).body).toEqual({ keep: "1", added: "4" });
    expect((await h.call("PATCH", path, { metadata: {}, machine_version: "01OTHER" })).status).toBe(412);
    expect((await h.call("PUT", path, { metadata: { put: "5" } })).status).toBe(204);
    expect((await h.call("GET", path)).body).toEqual({ keep: "1", added: "4", put: "5" });
    expect((await h.call("POST", `${path}/owner`, { value: "me" })).status).toBe(204);
    expect((await h.call("GET", `${path}/owner`)).body).toEqual({ value: "me" });
    expect((await h.call("DELETE", `${path}/owner`)).status).toBe(204);
    expect((await h.call("GET", `${path}/owner`)).status).toBe(404);
    expect((await h.call("GET", `${machines}/${id}`)).body.version).toBe(version);
  });
});
