import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { candidates } from "./commands/completion.ts";
import { exitCodes } from "./errors.ts";
import { buildProgram } from "./program.ts";
import { run } from "./run.ts";
import { type FakeDeployment, Refused, startFakeDeployment } from "./testing/fakeDeployment.ts";
import { fakeIo, type FakeIoOptions, NOW, type Outcome, runAgainst } from "./testing/fakeIo.ts";

let deployment: FakeDeployment;
let folder: string;
beforeAll(async () => {
  deployment = await startFakeDeployment();
  folder = mkdtempSync(join(tmpdir(), "agent-factory-files-"));
  writeFileSync(join(folder, "soul.md"), "# Who you are\n");
  for (const [name, value] of Object.entries(answers)) deployment.on(name, () => value);
});
afterAll(async () => {
  await deployment.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  deployment.calls.length = 0;
  deployment.bodies.length = 0;
});

const factory = (argv: readonly string[], options?: FakeIoOptions): Promise<Outcome> =>
  runAgainst(deployment, argv, options);

const message = {
  messageId: "m1",
  conversationId: "telegram:7:1000",
  agentKey: "default",
  status: "queued",
  priority: 50,
  createdAt: NOW - 60_000,
  dueAt: NOW + 4_000,
  attempts: 1,
  maxAttempts: 5,
  finishedAt: null,
  workerId: null,
  lastError: "model timed out",
};
const rollout = {
  phase: "replacing",
  finished: false,
  revision: 8,
  image: "registry.fly.io/app@sha256:new",
  stableRevision: 7,
  stableImage: "registry.fly.io/app@sha256:old",
  reason: null,
  startedAt: NOW - 9_000,
  phaseAt: NOW,
  finishedAt: null,
  bootFailures: 0,
  turnsDone: 4,
  turnsFailed: 0,
  workersNew: 2,
  workersNewReady: 1,
  workersOld: 1,
};
const pushTemplate = {
  templateKey: "hello",
  title: "Hello",
  enabled: true,
  schedule: { kind: "daily", time: "09:00" },
};

/** What the fake backend says when a test does not say otherwise. */
const answers: Record<string, unknown> = {
  queueStats: {
    queuedReady: 3,
    processing: 1,
    deadLetter: 2,
    queuedDelayed: 4,
    conversationsReady: 2,
    conversationsLeased: 1,
  },
  listJobsByStatus: { messages: [message], cursor: "next-page" },
  cancelMessage: "requested",
  pauseConversation: true,
  resumeConversation: false,
  messageTimeline: [],
  recoverQueue: { released: 1, promoted: 2, woken: 3 },
  listDeadLetters: { messages: [], cursor: null },
  replayDeadLetters: { replayed: 25, more: true },
  discardDeadLetters: { discarded: 1, more: false },
  listDeliveries: [],
  resendDelivery: { resent: true },
  workerStats: { activeCount: 0, idleCount: 0, warmCount: 0, machineHoursToday: 0.5, workers: [] },
  scalerDecisions: [],
  startWorkers: { activeWorkers: 0, spawned: 1, terminated: 0 },
  rolloutStatus: rollout,
  runtimeConfig: { revision: 8, config: { queue: {} }, appliedBy: "pulumi", appliedAt: NOW, owner: "p/s/1" },
  runtimeConfigHistory: [{ revision: 8, appliedBy: "pulumi", appliedAt: NOW, changed: ["provider"] }],
  listAgents: [{ agentKey: "default", version: "1", revision: 2, enabled: true }],
  configureAgent: "a1",
  setAgentEnabled: { changed: true },
  secretStatus: [{ secretRef: "convex.url", hasActive: true, version: 1 }],
  importSecret: { secretId: "s1", secretRef: "x", version: 2 },
  removeSecret: { removed: 2, more: false },
  rewrapSecrets: { rewrapped: 3, failed: 0, more: false },
  createPairingCode: {
    code: "ABCD2345",
    expiresAt: NOW + 900_000,
    deepLink: "https://t.me/bot?start=ABCD2345",
  },
  getPairingCodeStatus: {
    status: "pending",
    consumerUserId: "u1",
    agentKey: "default",
    expiresAt: NOW,
    usedAt: null,
  },
  getUserAgentBinding: {
    active: {
      agentKey: "default",
      status: "active",
      source: "manual",
      telegramUserId: "1000",
      telegramChatId: "1000",
      conversationId: null,
      boundAt: NOW,
      revokedAt: null,
      revokedBecause: null,
    },
    history: [],
  },
  listBindings: { bindings: [], cursor: null },
  telegramWebhookStatus: {
    secretRef: "telegram.botToken.default",
    configured: true,
    drift: [],
    currentUrl: "https://happy-otter-1.convex.site/agent-factory/telegram/webhook",
    pendingUpdateCount: 0,
    lastErrorMessage: null,
  },
  configureTelegramWebhook: {
    ok: true,
    webhookUrl: "https://happy-otter-1.convex.site/agent-factory/telegram/webhook/support",
    currentUrl: "https://happy-otter-1.convex.site/agent-factory/telegram/webhook/support",
    isReady: true,
    pendingUpdateCount: 0,
    lastErrorMessage: null,
    lastErrorDate: null,
    description: "@support_bot delivers here",
  },
  deleteTelegramWebhook: { ok: true, deleted: true, description: "webhook deleted" },
  bindUserAgent: { bindingId: "b1" },
  revokeUserAgentBinding: { revoked: 1 },
  listPushTemplatesByCompany: [pushTemplate],
  createPushTemplate: { templateId: "t1" },
  updatePushTemplate: null,
  deletePushTemplate: null,
  listPushJobsForUser: [],
  createPushJobFromTemplate: { jobId: "j1", nextRunAt: NOW },
  createPushJobCustom: { jobId: "j1", nextRunAt: null },
  updatePushJob: { jobId: "j1", nextRunAt: NOW },
  setPushJobEnabled: { jobId: "j1", nextRunAt: null },
  deletePushJob: null,
  dispatchDuePushJobs: { scanned: 3, enqueued: 1, skipped: 1, failed: 1 },
  listPushDispatchesByJob: [],
  triggerPushJobNow: { outcome: "enqueued", reason: null, messageId: "m2" },
  sendBroadcastToAllActiveAgents: { broadcastId: "b1", totalTargets: 2, enqueued: 2, failed: 0 },
  resumeBroadcast: { broadcastId: "b1", totalTargets: 2, enqueued: 2, failed: 0 },
  listWebhookEvents: {
    events: [
      {
        id: "e1",
        eventId: "msg_1",
        endpoint: { companyId: "acme", url: "https://acme.example/hook" },
        state: "failed",
        attempts: 10,
        createdAt: NOW,
        finishedAt: NOW,
        lastError: "HTTP 500",
      },
    ],
    cursor: null,
  },
  retryWebhookEvent: true,
  broadcastReport: { state: "done", totalTargets: 2, enqueued: 2, failed: 0, targets: [], cursor: null },
  listServiceKeys: [],
  createServiceKey: { keyId: "k1", serviceKey: "afk_k1_secret" },
  rotateServiceKey: { keyId: "k1", serviceKey: "afk_k1_other", previousUntil: NOW },
  revokeServiceKey: { revoked: true },
  listAudit: { rows: [], cursor: null },
  runFlyCleanup: {
    machinesListed: 1,
    volumesListed: 0,
    foreign: 0,
    destroyedMachines: [],
    deletedVolumes: [],
    waiting: [],
    failed: [],
    dryRun: true,
  },
  doctor: { ok: true, problems: [] },
};

const pushWords = ["--title", "Hello", "--text", "Say hello"];

/** One way to call each command that talks to a deployment; a command without a line here fails the test below. */
const everyCommand: Record<string, string[]> = {
  doctor: [],
  "queue stats": [],
  "queue list": [],
  "queue cancel": ["m1"],
  "queue pause": ["c1"],
  "queue resume": ["c1"],
  "queue timeline": ["c1"],
  "queue recover": [],
  "dead-letters list": [],
  "dead-letters replay": ["--all"],
  "dead-letters discard": ["m1"],
  "replies unknown": [],
  "replies failed": [],
  "replies resend": ["p1"],
  "workers list": [],
  "workers decisions": [],
  "workers reconcile": [],
  "rollouts status": [],
  "config show": [],
  "config history": [],
  "agents list": [],
  "agents configure": ["default", "--soul", "SOUL"],
  "agents disable": ["default"],
  "agents enable": ["default"],
  "secrets status": [],
  "secrets set": ["telegram.botToken.default"],
  "secrets remove": ["old.ref"],
  "secrets rewrap": [],
  "telegram status": [],
  "telegram connect": ["support"],
  "telegram disconnect": [],
  "pairing create": ["u1"],
  "pairing status": ["ABCD2345"],
  "bindings list": [],
  "bindings show": ["u1"],
  "bindings bind": ["u1", "default", "--telegram-user", "1000"],
  "bindings revoke": ["u1"],
  "push templates": ["acme"],
  "push create-template": ["acme", "hello", ...pushWords, "--schedule", "daily 09:00"],
  "push update-template": ["acme", "hello", "--schedule", "monthly last 09:00"],
  "push enable-template": ["acme", "hello"],
  "push disable-template": ["acme", "hello"],
  "push delete-template": ["acme", "hello"],
  "push jobs": ["acme", "u1"],
  "push create-job": ["acme", "u1", "--template", "hello", "--zone", "Europe/Rome"],
  "push update-job": ["acme", "j1", ...pushWords],
  "push enable-job": ["acme", "j1"],
  "push disable-job": ["acme", "j1"],
  "push delete-job": ["acme", "j1"],
  "push dispatches": ["acme", "j1"],
  "push trigger": ["acme", "j1"],
  "push dispatch": [],
  "broadcast send": ["acme", "--title", "Hi", "--text", "there"],
  "broadcast resume": ["b1"],
  "broadcast report": ["acme", "b1"],
  "webhooks events": ["--state", "failed"],
  "webhooks retry": ["e1"],
  "service-keys list": [],
  "service-keys create": ["acme", "shop"],
  "service-keys rotate": ["k1"],
  "service-keys revoke": ["k1"],
  audit: [],
  cleanup: ["--dry-run"],
  completion: ["bash"],
};
/** Tested on their own: they wait, run another program or write a file. */
const elsewhere = ["smoke", "chat", "login", "logout", "__complete"];

function leaves(): string[] {
  const io = fakeIo();
  io.remove();
  return buildProgram(io).commands.flatMap((group) =>
    group.commands.length === 0
      ? [group.name()]
      : group.commands.map((command) => `${group.name()} ${command.name()}`),
  );
}

describe("every command", () => {
  it("is known to these tests", () => {
    expect(leaves().sort()).toEqual([...Object.keys(everyCommand), ...elsewhere].sort());
  });

  it.each(Object.entries(everyCommand))(
    "%s prints one JSON document alone with --json",
    async (name, args) => {
      const filled = args.map((arg) => (arg === "SOUL" ? join(folder, "soul.md") : arg));
      const { code, out } = await factory([...name.split(" "), ...filled, "--json", "--yes"], {
        stdin: "a value\n",
      });
      expect(code).toBe(exitCodes.ok);
      expect(() => void JSON.parse(out)).not.toThrow();
    },
  );

  it.each(Object.entries(everyCommand))("%s says something to a person", async (name, args) => {
    const filled = args.map((arg) => (arg === "SOUL" ? join(folder, "soul.md") : arg));
    const { code, out } = await factory([...name.split(" "), ...filled, "--yes"], { stdin: "a value\n" });
    expect(code).toBe(exitCodes.ok);
    expect(out.trim()).not.toBe("");
  });
});

describe("telegram", () => {
  it("fails when a webhook is not as it should be, and names the command that mends it", async () => {
    deployment.on("telegramWebhookStatus", () => ({
      secretRef: "telegram.botToken.support",
      configured: false,
      drift: [
        "webhook is '', wanted 'https://happy-otter-1.convex.site/agent-factory/telegram/webhook/support'",
      ],
      currentUrl: "",
      pendingUpdateCount: 3,
      lastErrorMessage: null,
    }));
    const { code, out, err } = await factory(["telegram", "status", "support"]);
    expect(code).toBe(exitCodes.failed);
    expect(out).toContain("Waiting   3 updates");
    expect(out).toContain("Differs: webhook is ''");
    expect(err).toContain("→ npm run factory -- telegram connect support");
    expect(deployment.calls).toEqual([{ name: "telegramWebhookStatus", args: { agentKey: "support" } }]);
  });
});

describe("telegram status of a bot without its token", () => {
  it("says where the token goes, since nothing could be connected", async () => {
    deployment.on("telegramWebhookStatus", () => ({
      secretRef: "telegram.botToken.support",
      configured: false,
      drift: ["no active 'telegram.botToken.support' secret"],
      currentUrl: null,
      pendingUpdateCount: 0,
      lastErrorMessage: null,
    }));
    const { out, err } = await factory(["telegram", "status", "support"]);
    expect(out).toContain("Webhook   none");
    expect(err).toContain("secrets set telegram.botToken.support");
    expect(err).not.toContain("telegram connect");
  });
});

describe("rollouts status", () => {
  it("does not answer for a revision that was never applied", async () => {
    deployment.on("rolloutStatus", () => ({ ...rollout, phase: "none", finished: true, revision: 8 }));
    const { code, out, err } = await factory(["rollouts", "status", "--revision", "99"]);
    expect(code).toBe(exitCodes.notFound);
    expect(out).toBe("");
    expect(err).toContain("Revision 99 has not been applied: revision 8 is in force.");
    expect((await factory(["rollouts", "status", "--revision", "3"])).code).toBe(exitCodes.ok);
    deployment.on("rolloutStatus", () => answers["rolloutStatus"]);
  });

  it("shows while it waits what it waits for, once per change and twice a minute", async () => {
    let calls = 0;
    deployment.on("rolloutStatus", () => {
      calls += 1;
      return calls < 30
        ? { ...rollout, phase: calls < 3 ? "canary" : "replacing" }
        : { ...rollout, phase: "done", finished: true, finishedAt: NOW };
    });
    const { code, err } = await factory(["rollouts", "status", "--wait", "5m"]);
    expect(code).toBe(exitCodes.ok);
    expect(err.trim().split("\n")).toEqual([
      "revision 8: canary, 1/2 new workers ready, 1 old (waiting for 0 ms)",
      "revision 8: replacing, 1/2 new workers ready, 1 old (waiting for 4.0 s)",
      "revision 8: replacing, 1/2 new workers ready, 1 old (waiting for 34 s)",
    ]);
    deployment.on("rolloutStatus", () => answers["rolloutStatus"]);
  });
});

describe("what is not there", () => {
  it("is not found when a secret is to be removed", async () => {
    deployment.on("removeSecret", () => ({ removed: 0, more: false }));
    const { code, err } = await factory(["secrets", "remove", "nosuch", "--yes"]);
    expect(code).toBe(exitCodes.notFound);
    expect(err).toContain("There is no secret 'nosuch'.");
    deployment.on("removeSecret", () => answers["removeSecret"]);
  });

  it("is called by its name, also inside a list", async () => {
    deployment.on("replayDeadLetters", () => {
      throw new Error(
        'Uncaught ArgumentValidationError: Value does not match validator.\n\nPath: .messageIds[0]\nValue: "foo"\nValidator: v.id("messageQueue")',
      );
    });
    const { code, err } = await factory(["dead-letters", "replay", "foo", "--yes"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain('messageIds[0]: "foo" is not the id of a message.');
    deployment.on("replayDeadLetters", () => answers["replayDeadLetters"]);
  });

  it("is a cursor of another list", async () => {
    deployment.on("listDeadLetters", () => {
      throw new Error("Uncaught Error: InvalidCursor: Tried to run a query …");
    });
    const { code, err } = await factory(["dead-letters", "list", "--cursor", "junk"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--cursor is not where a page of this very list ended.");
    deployment.on("listDeadLetters", () => answers["listDeadLetters"]);
  });
});

describe("--json", () => {
  it.each([
    [["--json", "queue", "timeline"], "missing required argument 'conversationId'"],
    [["--json", "queue"], "A command is missing."],
    [["nosuch", "--json"], "unknown command 'nosuch'"],
    [["queue", "stats", "--json", "--nosuch"], "unknown option '--nosuch'"],
  ])("is one document for wrong usage, too: %j", async (argv, words) => {
    const { code, out } = await factory(argv);
    expect(code).toBe(exitCodes.usage);
    expect(JSON.parse(out)).toEqual({
      error: { code: "usage", message: words, next: "--help shows the usage", exitCode: exitCodes.usage },
    });
  });
});

describe("queue", () => {
  it("lists messages as a table and says how to go on", async () => {
    const { out } = await factory(["queue", "list", "--status", "queued"]);
    expect(out.split("\n")[0]).toMatch(/^MESSAGE +CONVERSATION +AGENT +CREATED +DUE +TRIES +LAST ERROR$/);
    expect(out).toContain("in 4.0 s");
    expect(out).toContain("More: --cursor 'next-page'");
  });

  it("refuses a status and a limit that the backend does not have, and asks it nothing", async () => {
    const status = await factory(["queue", "list", "--status", "lost"]);
    expect(status.code).toBe(exitCodes.usage);
    expect(status.err).toContain("--status must be one of queued, processing, done, dead_letter, cancelled");
    const limit = await factory(["queue", "list", "--limit", "1e9"]);
    expect(limit.err).toContain("--limit must be a whole number from 1 to 100");
    expect(deployment.calls).toEqual([]);
  });

  it("names who acted", async () => {
    await factory(["queue", "pause", "c1", "--actor", "on-call"]);
    await factory(["queue", "pause", "c1"]);
    expect(deployment.calls.map((call) => call.args["actor"])).toEqual(["on-call", "cli:ada"]);
  });
});

describe("what cannot be undone", () => {
  it("asks a person, and does nothing on a no", async () => {
    const { code, err } = await factory(["dead-letters", "discard", "--all"], { confirmed: false });
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("Nothing was done.");
    expect(deployment.calls).toEqual([]);
  });

  it("is done on a yes", async () => {
    await factory(["dead-letters", "discard", "m1", "m2"], { confirmed: true });
    expect(deployment.calls[0]?.args).toMatchObject({ messageIds: ["m1", "m2"] });
  });

  it("needs --yes where nobody can be asked", async () => {
    const { code, err } = await factory(["queue", "cancel", "m1"], { stdin: "" });
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--yes");
  });

  it("means all dead letters only when it is said", async () => {
    const { code, err } = await factory(["dead-letters", "replay", "--yes"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("Give message ids, or --all.");
    expect(deployment.calls).toEqual([]);
  });
});

describe("secrets", () => {
  const VALUE = "7:correct-horse-battery";

  it("takes the value from a pipe, without its last newline, and shows it nowhere", async () => {
    const { out, err } = await factory(["secrets", "set", "telegram.botToken.default"], {
      stdin: `${VALUE}\n`,
    });
    expect(deployment.calls[0]?.args).toMatchObject({ plaintextValue: VALUE });
    expect(out + err).not.toContain("correct-horse");
  });

  it("asks for it unseen at a terminal", async () => {
    await factory(["secrets", "set", "telegram.botToken.default"], { typed: VALUE });
    expect(deployment.calls[0]?.args).toMatchObject({ plaintextValue: VALUE });
  });

  it("takes it from no argument", async () => {
    const { code } = await factory(["secrets", "set", "telegram.botToken.default", VALUE], { stdin: "" });
    expect(code).toBe(exitCodes.usage);
    expect(deployment.calls).toEqual([]);
  });

  it("refuses an empty value", async () => {
    const { code, err } = await factory(["secrets", "set", "telegram.botToken.default"], { stdin: "\n" });
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("The value is empty.");
  });

  it("asks for the refs that the environment's agents need", async () => {
    await factory(["secrets", "status"]);
    expect(deployment.calls.at(-1)?.args["secretRefs"]).toEqual([
      "convex.url",
      "fly.apiToken",
      "telegram.botToken.default",
    ]);
  });

  it("removes until nothing is left", async () => {
    const more = [true, true, false];
    deployment.on("removeSecret", () => ({ removed: 200, more: more.shift() }));
    const { out } = await factory(["secrets", "remove", "old.ref", "--yes"]);
    deployment.on("removeSecret", () => answers["removeSecret"]);
    expect(out).toContain("600 version(s)");
  });
});

describe("pairing", () => {
  it("refuses a life that no code can have, in the words of its own option", async () => {
    const { code, err } = await factory(["pairing", "create", "u1", "--ttl", "2d"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--ttl must be from 1m to 24h, got '2d'.");
    expect(deployment.calls).toEqual([]);
  });

  it("prints the code, the deep link and its QR code", async () => {
    const { out } = await factory(["pairing", "create", "u1", "--ttl", "1h"]);
    expect(deployment.calls[0]?.args).toMatchObject({
      consumerUserId: "u1",
      agentKey: "default",
      ttlMs: 3_600_000,
    });
    expect(out).toContain("https://t.me/bot?start=ABCD2345");
    expect(out).toContain("/start ABCD2345");
    expect(out).toMatch(/[▀▄█]{5}/u);
  });

  it("ends with 'not found' for a code that does not exist", async () => {
    deployment.on("getPairingCodeStatus", () => null);
    const { code } = await factory(["pairing", "status", "NOPE1234"]);
    deployment.on("getPairingCodeStatus", () => answers["getPairingCodeStatus"]);
    expect(code).toBe(exitCodes.notFound);
  });
});

describe("agents configure", () => {
  it("sends the files' texts and sensible defaults", async () => {
    const args = [
      "agents",
      "configure",
      "support",
      "--soul",
      join(folder, "soul.md"),
      "--skill",
      "a",
      "--skill",
      "b",
    ];
    await factory(args);
    expect(deployment.calls[0]?.args).toMatchObject({
      agentKey: "support",
      version: "2026-11-22",
      soulMd: "# Who you are\n",
      skills: ["a", "b"],
      secretsRef: ["telegram.botToken.support"],
      enabled: true,
    });
  });

  it("names the option whose file cannot be read or is not of its form", async () => {
    const missing = await factory(["agents", "configure", "x", "--soul", join(folder, "none.md")]);
    expect(missing.err).toMatch(/--soul: .*none\.md cannot be read \(ENOENT\)/);
    writeFileSync(join(folder, "bridge.json"), JSON.stringify({ enabled: "yes", url: "x" }));
    const malformed = await factory([
      ...["agents", "configure", "x", "--soul", join(folder, "soul.md")],
      ...["--bridge", join(folder, "bridge.json")],
    ]);
    expect(malformed.code).toBe(exitCodes.usage);
    expect(malformed.err).toContain("enabled:");
    expect(malformed.err).toContain('Unrecognized key: "url"');
  });
});

describe("rollouts", () => {
  it("waits for the end and fails with the reason of a rollback", async () => {
    let asked = 0;
    deployment.on("rolloutStatus", () =>
      ++asked < 3
        ? rollout
        : { ...rollout, phase: "rolled_back", finished: true, reason: "the canary did not boot" },
    );
    const { code, err } = await factory(["rollouts", "status", "--wait", "15m"]);
    deployment.on("rolloutStatus", () => rollout);
    expect(asked).toBe(3);
    expect(code).toBe(exitCodes.failed);
    expect(err).toContain("the canary did not boot");
  });

  it("fails when the wait is over first, and says that it goes on", async () => {
    const { code, err } = await factory(["rollouts", "status", "--wait", "10s"]);
    expect(code).toBe(exitCodes.failed);
    expect(err).toContain("still in phase 'replacing' after 10s");
  });
});

describe("doctor", () => {
  const warning = {
    kind: "token_expiry",
    severity: "warning",
    message: "expires soon",
    command: "pulumi up",
  };

  it("fails for an error, and for a warning only with --strict", async () => {
    deployment.on("doctor", () => ({ ok: true, problems: [warning] }));
    expect((await factory(["doctor"])).code).toBe(exitCodes.ok);
    expect((await factory(["doctor", "--strict"])).code).toBe(exitCodes.failed);
    deployment.on("doctor", () => ({ ok: false, problems: [{ ...warning, severity: "error" }] }));
    const { code, out } = await factory(["doctor"]);
    deployment.on("doctor", () => answers["doctor"]);
    expect(code).toBe(exitCodes.failed);
    expect(out).toContain("→ pulumi up");
  });
});

describe("failures", () => {
  it("keep the function's own message and exit code, as JSON too", async () => {
    deployment.on("pauseConversation", () => {
      throw new Refused("not_found", "Conversation 'c9' not found");
    });
    const people = await factory(["queue", "pause", "c9"]);
    const scripts = await factory(["queue", "pause", "c9", "--json"]);
    deployment.on("pauseConversation", () => true);
    expect(people).toMatchObject({ code: exitCodes.notFound, out: "" });
    expect(people.err).toContain("Conversation 'c9' not found");
    expect(JSON.parse(scripts.out)).toMatchObject({ error: { code: "not_found", exitCode: 3 } });
  });

  it("of usage name the option and ask nothing", async () => {
    const { code, err } = await factory(["queue", "list", "--stauts", "queued"]);
    expect(code).toBe(exitCodes.usage);
    expect(err).toContain("--stauts");
    expect(deployment.calls).toEqual([]);
  });

  it("without an environment say how to name one", async () => {
    const io = fakeIo();
    const code = await run(["queue", "stats"], io);
    io.remove();
    expect(code).toBe(exitCodes.usage);
    expect(io.err()).toContain("npm run local");
  });
});

describe("login", () => {
  it("stores where the stack's deployment is and no key, until logout", async () => {
    const outputs = { convexUrl: deployment.url, convexSiteUrl: deployment.url };
    const io = fakeIo({ stackOutputs: outputs, env: { CONVEX_SELF_HOSTED_ADMIN_KEY: deployment.adminKey } });
    expect(await run(["login", "--stack", "staging"], io)).toBe(exitCodes.ok);
    expect(await run(["queue", "stats"], io)).toBe(exitCodes.ok);
    expect(await run(["logout"], io)).toBe(exitCodes.ok);
    const after = await run(["queue", "stats"], io);
    io.remove();
    expect(after).toBe(exitCodes.usage);
    expect(deployment.calls.map(({ name }) => name)).toEqual(["queueStats"]);
  });
});

describe("completion", () => {
  it("offers the commands and options of where the words lead", () => {
    const io = fakeIo();
    const program = buildProgram(io);
    io.remove();
    expect(candidates(program, [])).toEqual(expect.arrayContaining(["queue", "doctor", "--json"]));
    expect(candidates(program, [])).not.toContain("__complete");
    expect(candidates(program, ["dead-letters"])).toEqual(
      expect.arrayContaining(["list", "replay", "discard"]),
    );
    expect(candidates(program, ["dead-letters", "replay"])).toContain("--all");
  });

  it("is what the printed script asks for", async () => {
    const { out } = await factory(["__complete", "--", "queue"]);
    expect(out.split("\n")).toContain("timeline");
  });
});
