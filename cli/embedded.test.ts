/** The commands against a real deployment: the embedded one with the project's own backend deployed to it. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startConvex, type RunningConvex } from "../local/convex/server.ts";
import { exitCodes } from "./errors.ts";
import { run } from "./run.ts";
import { fakeIo, type Outcome } from "./testing/fakeIo.ts";

const root = join(import.meta.dirname, "..");
const CONFIG = {
  provider: {
    appName: "af-test",
    organizationSlug: "personal",
    image: `registry.fly.io/af-test@sha256:${"0".repeat(64)}`,
    regions: ["fra"],
    // Nobody listens: the scaler's attempts end at once.
    apiUrl: "http://127.0.0.1:1",
  },
};

let folder: string;
let convex: RunningConvex;
let adminKey: string;

async function callDeployment(path: string, body: unknown): Promise<unknown> {
  const response = await fetch(`${convex.url}${path}`, {
    method: "POST",
    headers: { authorization: `Convex ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.text() };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "agent-factory-cli-embedded-"));
  convex = await startConvex({ state: join(folder, "state") });
  adminKey = readFileSync(convex.adminKeyFile, "utf8").trim();
  await new Promise<void>((resolve, reject) => {
    const args = [join(root, "node_modules/convex/bin/main.js"), "deploy", "--yes"];
    execFile(
      process.execPath,
      [...args, "--typecheck=disable", "--codegen=disable"],
      {
        cwd: root,
        timeout: 120_000,
        env: {
          PATH: process.env["PATH"],
          HOME: folder,
          CI: "1",
          CONVEX_SELF_HOSTED_URL: convex.url,
          CONVEX_SELF_HOSTED_ADMIN_KEY: adminKey,
        },
      },
      (error, _stdout, stderr) => (error === null ? resolve() : reject(new Error(stderr))),
    );
  });
  const ring = JSON.stringify({ active: "k1", keys: { k1: Buffer.alloc(32, 7).toString("base64") } });
  await callDeployment("/api/v1/update_environment_variables", {
    changes: [
      { name: "SECRETS_KEY_RING", value: ring },
      { name: "FACTORY_OWNER", value: "agent-factory/test/0011223344556677" },
      { name: "WORKER_TOKEN_KEY", value: Buffer.alloc(32, 9).toString("base64") },
    ],
  });
  await callDeployment("/api/function", {
    path: "factory:applyRuntimeConfig",
    args: {
      config: CONFIG,
      expectedRevision: null,
      owner: "agent-factory/test/0011223344556677",
      actor: "test",
    },
    format: "json",
  });
}, 180_000);

afterAll(async () => {
  await convex.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

async function factory(argv: readonly string[], stdin = ""): Promise<Outcome> {
  const io = fakeIo({ stdin, env: { CONVEX_SELF_HOSTED_ADMIN_KEY: adminKey } });
  try {
    const code = await run(["--convex-url", convex.url, "--json", "--yes", ...argv], io);
    return { code, out: io.out(), err: io.err() };
  } finally {
    io.remove();
  }
}

const value = async (argv: readonly string[], stdin = ""): Promise<unknown> =>
  JSON.parse((await factory(argv, stdin)).out);

describe("the operator CLI on a real deployment", () => {
  it("configures an agent from files, disables and enables it", async () => {
    const soul = join(folder, "soul.md");
    writeFileSync(soul, "# Who you are\n\nYou test.\n");
    expect((await factory(["agents", "configure", "tester", "--soul", soul, "--label", "v1"])).code).toBe(0);
    await expect(value(["agents", "list"])).resolves.toMatchObject([{ agentKey: "tester", enabled: true }]);
    await expect(value(["agents", "disable", "tester"])).resolves.toMatchObject({ changed: true });
    await expect(value(["agents", "disable", "tester"])).resolves.toMatchObject({ changed: false });
    await expect(value(["agents", "enable", "tester"])).resolves.toMatchObject({ changed: true });
    expect((await factory(["agents", "disable", "nobody"])).code).toBe(exitCodes.notFound);
  });

  it("sets, shows the status of, re-wraps and removes a secret", async () => {
    const ref = "telegram.botToken.tester";
    await expect(value(["secrets", "set", ref], "7:first\n")).resolves.toEqual({
      secretRef: ref,
      version: 1,
    });
    await expect(value(["secrets", "set", ref], "7:second\n")).resolves.toEqual({
      secretRef: ref,
      version: 2,
    });
    await expect(value(["secrets", "status", ref])).resolves.toEqual([
      { secretRef: ref, hasActive: true, version: 2 },
    ]);
    await expect(value(["secrets", "rewrap"])).resolves.toMatchObject({ failed: 0 });
    await expect(value(["secrets", "remove", ref])).resolves.toEqual({ secretRef: ref, removed: 2 });
    await expect(value(["secrets", "status", ref])).resolves.toMatchObject([{ hasActive: false }]);
  });

  it("names the secret to import when a bot has no token", async () => {
    const { code, out } = await factory(["telegram", "connect", "tester"]);
    expect(code).toBe(exitCodes.usage);
    expect(JSON.parse(out)).toMatchObject({
      error: { next: "Pipe its value into: npm run factory -- secrets set telegram.botToken.tester" },
    });
  });

  it("makes a pairing code and reads its status", async () => {
    const created = (await value(["pairing", "create", "u1", "--agent", "tester"])) as { code: string };
    await expect(value(["pairing", "status", created.code])).resolves.toMatchObject({
      status: "pending",
      consumerUserId: "u1",
    });
    expect((await factory(["pairing", "create", "u1", "--agent", "nobody"])).code).toBe(exitCodes.notFound);
    expect((await factory(["bindings", "show", "u1"])).code).toBe(exitCodes.notFound);
  });

  it("lists a queued message, pauses its conversation and cancels it", async () => {
    const enqueued = await callDeployment("/api/function", {
      path: "factory:enqueue",
      args: {
        conversationId: "cli:1",
        agentKey: "tester",
        payload: { provider: "api", providerUserId: "u1", messageText: "hello" },
      },
      format: "json",
    });
    expect(enqueued).toMatchObject({ status: 200 });
    const page = (await value(["queue", "list"])) as { messages: Array<{ messageId: string }> };
    expect(page.messages).toHaveLength(1);
    await expect(value(["queue", "pause", "cli:1"])).resolves.toMatchObject({ changed: true });
    await expect(value(["queue", "resume", "cli:1"])).resolves.toMatchObject({ changed: true });
    const { messageId } = page.messages[0]!;
    await expect(value(["queue", "cancel", messageId])).resolves.toMatchObject({ outcome: "cancelled" });
    await expect(value(["queue", "stats"])).resolves.toMatchObject({ queuedReady: 0, deadLetter: 0 });
    const wrong = await factory(["queue", "cancel", "not-an-id"]);
    expect(wrong.code).toBe(exitCodes.usage);
    expect(JSON.parse(wrong.out)).toMatchObject({
      error: { message: 'messageId: "not-an-id" is not the id of a message.' },
    });
  });

  it.each([
    [["queue", "recover"]],
    [["queue", "timeline", "cli:1"]],
    [["dead-letters", "list"]],
    [["dead-letters", "replay", "--all"]],
    [["replies", "unknown"]],
    [["workers", "list"]],
    [["workers", "decisions"]],
    [["workers", "reconcile"]],
    [["rollouts", "status"]],
    [["config", "show"]],
    [["config", "history"]],
    [["push", "templates", "acme"]],
    [["push", "jobs", "acme", "u1"]],
    [["broadcast", "send", "acme", "--title", "Hi", "--text", "there"]],
    [["webhooks", "events"]],
    [["service-keys", "list"]],
    [["bindings", "list"]],
    [["bindings", "list", "--company", "acme", "--revoked"]],
    [["bindings", "list", "--agent", "tester"]],
  ])("%j is accepted by the deployment's validators", async (argv) => {
    const { code, out, err } = await factory(argv);
    expect(err).not.toContain("error");
    expect(code, out).toBe(exitCodes.ok);
  });

  it("makes, changes, triggers and deletes push templates and jobs of a person that it has bound", async () => {
    const template = [
      "create-template",
      "acme",
      "morning",
      "--title",
      "Morning",
      "--text",
      "Say good morning",
    ];
    expect((await factory(["bindings", "bind", "u2", "tester", "--company", "acme"])).code).toBe(
      exitCodes.ok,
    );
    expect((await factory(["push", ...template, "--schedule", "weekly Mon 09:30"])).code).toBe(exitCodes.ok);
    expect((await factory(["push", ...template, "--schedule", "manual"])).code).toBe(exitCodes.failed);
    const zone = ["--zone", "Europe/Rome"];
    const { jobId } = (await value([
      "push",
      "create-job",
      "acme",
      "u2",
      "--template",
      "morning",
      ...zone,
    ])) as {
      jobId: string;
    };
    await value([
      "push",
      "update-job",
      "acme",
      jobId,
      "--schedule",
      "monthly last 18:00",
      "--title",
      "Evening",
    ]);
    await expect(value(["push", "jobs", "acme", "u2"])).resolves.toMatchObject([
      {
        title: "Evening",
        text: "Say good morning",
        schedule: { dayOfMonth: "last" },
        timeZone: "Europe/Rome",
      },
    ]);
    await expect(value(["push", "disable-job", "acme", jobId])).resolves.toMatchObject({ nextRunAt: null });
    await expect(value(["push", "enable-job", "acme", jobId])).resolves.toMatchObject({
      nextRunAt: expect.any(Number),
    });
    const own = ["--title", "Own", "--text", "x", "--schedule", "manual", ...zone];
    await expect(value(["push", "create-job", "acme", "u2", ...own])).resolves.toMatchObject({
      nextRunAt: null,
    });
    await expect(value(["push", "dispatch"])).resolves.toMatchObject({ scanned: 0 });
    const { out, code } = await factory(["push", "trigger", "acme", jobId]);
    expect(code).toBe(exitCodes.failed);
    expect(JSON.parse(out)).toMatchObject({ outcome: "skipped" });
    await value(["push", "disable-template", "acme", "morning"]);
    expect((await factory(["push", "create-job", "acme", "u2", "--template", "morning", ...zone])).code).toBe(
      exitCodes.failed,
    );
    await value(["push", "enable-template", "acme", "morning"]);
    await value(["push", "update-template", "acme", "morning", "--schedule", "manual"]);
    await value(["push", "delete-template", "acme", "morning"]);
    await value(["push", "delete-job", "acme", jobId]);
    await expect(value(["push", "templates", "acme"])).resolves.toEqual([]);
    await expect(value(["push", "jobs", "acme", "u2"])).resolves.toMatchObject([{ title: "Own" }]);
  });

  it("shows a service key once and revokes it", async () => {
    const { keyId } = (await value(["service-keys", "create", "acme", "shop"])) as { keyId: string };
    await expect(value(["service-keys", "list"])).resolves.toMatchObject([{ keyId, companyId: "acme" }]);
    await expect(value(["service-keys", "revoke", keyId])).resolves.toEqual({ revoked: true });
  });

  it("tells what doctor finds in an environment without Fly", async () => {
    const { code, out } = await factory(["doctor"]);
    expect(code).toBe(exitCodes.failed);
    const report = JSON.parse(out) as { problems: Array<{ message: string }> };
    expect(report.problems.map(({ message }) => message).join()).toContain("fly.apiToken");
  });

  it("leaves a trail that names the operator and holds no value", async () => {
    const { out } = await factory(["audit", "--limit", "200"]);
    expect(out).toContain("cli:ada");
    expect(out).toContain("secret.import");
    expect(out).not.toContain("7:second");
  });
});
