/** Doctor on the real handlers: each thing that can be wrong is brought about, found, and named with its command. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { internal } from "../../runtime/convex/_generated/api.js";
import { configOf, current, imageOf, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

const BOT = "telegram.botToken.default";
const NEW_TOKEN = `pulumi up --replace "$(pulumi stack --show-urns | grep -o 'urn:.*::fly-token')"`;

/** What answers outside: the registry, Fly's clock and token, Telegram. Each test changes what it is about. */
const outside = { imageStatus: 200, skewMs: 0, tokenApps: ["af-test"], webhookUrl: "" };
let world: World;
beforeEach(async () => {
  Object.assign(outside, { imageStatus: 200, skewMs: 0, tokenApps: ["af-test"], webhookUrl: "" });
  world = await World.start();
  vi.stubGlobal("fetch", (input: string | URL | Request): Promise<Response> => {
    const url = String(input instanceof Request ? input.url : input);
    const json = (body: unknown): Response => Response.json(body);
    if (url.includes("/v2/")) return Promise.resolve(new Response(null, { status: outside.imageStatus }));
    if (url.endsWith("/v1/tokens/current"))
      return Promise.resolve(json({ tokens: [{ org_slug: "personal", apps: outside.tokenApps }] }));
    if (url.includes("getWebhookInfo"))
      return Promise.resolve(
        json({ ok: true, result: { url: outside.webhookUrl, pending_update_count: 0 } }),
      );
    const date = new Date(Date.now() - outside.skewMs).toUTCString();
    return Promise.resolve(new Response(null, { headers: { date } }));
  });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await world.close();
});

const doctor = async () => await world.t.action(internal.scaler.doctor.doctor, {});
const found = async (kind: string) => (await doctor()).problems.filter((problem) => problem.kind === kind);
const drop = async (secretRef: string): Promise<void> =>
  await world.t.run(async (ctx) => {
    for (const row of await ctx.db.query("secrets").collect())
      if (row.secretRef === secretRef) await ctx.db.delete("secrets", row._id);
  });
const nameSecret = async (secretRef: string): Promise<void> =>
  await world.t.run(async (ctx) => {
    for (const row of await ctx.db.query("agentProfiles").collect())
      await ctx.db.patch("agentProfiles", row._id, { secretsRef: [secretRef] });
  });

test("an environment in order: nothing but the variable that this world leaves out", async () => {
  vi.stubEnv("TELEGRAM_WEBHOOK_SECRETS", JSON.stringify({ current: "s", previous: null }));
  await world.write("c1");
  await world.advance(10_000);
  expect(await doctor()).toEqual({ ok: true, problems: [] });
});

test("a mandatory secret that is gone, and one that an enabled agent names", async () => {
  await drop("fly.apiToken");
  await nameSecret(BOT);
  expect(await found("secret_missing")).toMatchObject([
    { message: "The secret 'fly.apiToken' has no active version.", command: NEW_TOKEN },
    {
      message: `The secret '${BOT}' has no active version.`,
      command: `npm run factory -- secrets set ${BOT}`,
    },
  ]);
});

test("secrets of the wrong kind", async () => {
  await world.importSecret("fly.apiToken", "123456:AAE-xyz");
  await nameSecret(BOT);
  await world.importSecret(BOT, "FlyV1 fm2_abc");
  expect((await found("secret_wrong")).map((problem) => problem.message)).toEqual([
    "'fly.apiToken' holds a Telegram bot token, not a Fly token.",
    `'${BOT}' does not hold a Telegram bot token (<bot id>:<secret>).`,
  ]);
});

test("secrets that the deployment's keys cannot read", async () => {
  const keys = { k2: btoa(String.fromCharCode(...new Uint8Array(32).fill(9))) };
  vi.stubEnv("SECRETS_KEY_RING", JSON.stringify({ active: "k2", keys }));
  expect((await found("secret_wrong")).map((problem) => problem.message)).toEqual([
    "The secret 'fly.apiToken' cannot be read with the deployment's keys.",
    "The secret 'convex.url' cannot be read with the deployment's keys.",
  ]);
});

test("a webhook that points elsewhere", async () => {
  await world.importSecret(BOT, "123456:AAE-xyz");
  await world.t.run(async (ctx) => {
    await ctx.db.insert("telegramBots", { secretRef: BOT, botId: "123456" });
  });
  outside.webhookUrl = "https://elsewhere.example/hook";
  expect(await found("webhook")).toMatchObject([
    {
      severity: "error",
      message: expect.stringContaining(
        "webhook is 'https://elsewhere.example/hook', wanted 'https://happy-otter-1",
      ),
      command: "npm run factory -- telegram connect",
    },
  ]);
});

test("an image that its registry does not have; a registry that does not answer proves nothing", async () => {
  outside.imageStatus = 404;
  expect(await found("image_absent")).toMatchObject([{ severity: "error", command: "pulumi up" }]);
  outside.imageStatus = 503;
  expect(await found("image_absent")).toEqual([]);
});

test("a token of another app, one of the organization, and one that ends soon", async () => {
  outside.tokenApps = ["af-prod"];
  expect(await found("token_scope")).toMatchObject([{ severity: "error", command: NEW_TOKEN }]);
  outside.tokenApps = [];
  expect(await found("token_scope")).toMatchObject([{ severity: "warning", command: NEW_TOKEN }]);
  await world.t.action(internal.secrets.importSecret.importSecret, {
    secretRef: "fly.apiToken",
    plaintextValue: "FlyV1 fm2_other",
    metadata: { expiresAt: new Date(Date.now() + 86_400_000).toISOString() },
  });
  expect(await found("token_expiry")).toMatchObject([{ severity: "warning", command: "pulumi up" }]);
});

test("a token that Fly refuses, and an app that belongs to another deployment", async () => {
  if (current.provider !== null)
    current.provider.fault = (operation) =>
      operation === "list" ? { failure: { kind: "auth" }, acts: false } : null;
  expect(await found("fly")).toMatchObject([{ severity: "error", command: NEW_TOKEN }]);
  world.provider.fault = () => null;
  world.provider.network = "af-fedcba9876543210";
  expect(await found("fly")).toMatchObject([
    { message: expect.stringContaining("is owned by another deployment"), command: "pulumi up" },
  ]);
});

test("no machine can start: no room, quota, and workers that do not come up", async () => {
  world.provider.fullRegions.add("iad").add("fra");
  await world.write("c1");
  await world.advance(30_000);
  expect(await found("no_capacity")).toMatchObject([
    { command: expect.stringContaining("agent-factory:fly.regions") },
  ]);
  world.provider.fullRegions.clear();
  world.behaviours.set(imageOf("a"), { bootMs: null, turnMs: 0, fails: false });
  await world.until(async () => (await found("boot")).length > 0, 600_000);
  expect(await found("boot")).toMatchObject([
    {
      severity: "error",
      message: expect.stringMatching(/^No worker comes up: 3 in a row .*machine m\d+\)/),
      command: "fly logs --app af-test --no-tail",
    },
  ]);
});

test("a worker that boots for too long is named with its machine", async () => {
  world.behaviours.set(imageOf("a"), { bootMs: "hang", turnMs: 0, fails: false });
  await world.write("c1");
  await world.advance(5_000);
  const [row] = await world.live();
  await world.t.run(async (ctx) => {
    if (row !== undefined) await ctx.db.patch("workers", row._id, { bootStartedAt: Date.now() - 3_600_000 });
  });
  expect(await found("boot")).toMatchObject([
    { severity: "warning", command: `fly logs --app af-test --machine ${row?.machineId} --no-tail` },
  ]);
});

test("a clock that differs from Fly's", async () => {
  outside.skewMs = 120_000;
  expect(await found("clock_skew")).toMatchObject([
    { severity: "warning", message: expect.stringContaining("120 s") },
  ]);
});

test("a rollout that neither ends nor goes on", async () => {
  await world.apply(configOf((config) => (config.provider.image = imageOf("b"))));
  await world.t.run(async (ctx) => {
    const rollout = await ctx.db.query("rollouts").first();
    if (rollout !== null) await ctx.db.patch("rollouts", rollout._id, { startedAt: Date.now() - 3_600_000 });
  });
  expect(await found("rollout_stuck")).toMatchObject([
    { severity: "error", command: "npm run factory -- workers reconcile" },
  ]);
});
