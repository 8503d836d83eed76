import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import {
  addAgent,
  fakeTelegram,
  openWorld,
  pass,
  settle,
  SHARED_REF,
  type World,
} from "../testing/channels.fixture.ts";

const START = Date.parse("2026-03-28T12:00:00Z");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  fakeTelegram();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function bind(
  t: World,
  consumerUserId: string,
  companyId: string | undefined,
  telegramUserId?: string,
): Promise<void> {
  await t.mutation(internal.identity.bindings.bindUserAgent, {
    consumerUserId,
    companyId,
    agentKey: "default",
    ...(telegramUserId === undefined
      ? {}
      : { telegramUserId, telegramChatId: telegramUserId, botSecretRef: SHARED_REF }),
  });
}

const daily = (time: string) => ({ kind: "daily" as const, time });
async function createJob(t: World, more: Record<string, unknown> = {}): Promise<Id<"pushJobs">> {
  const { jobId } = await t.mutation(internal.schedules.jobs.createPushJobCustom, {
    companyId: "acme",
    consumerUserId: "ada",
    title: "Morning",
    text: "Say good morning",
    schedule: daily("09:30"),
    timeZone: "Europe/Rome",
    ...more,
  });
  return jobId;
}

const messagesOf = (t: World) => t.run((ctx) => ctx.db.query("messageQueue").collect());
const dispatchesOf = (t: World) => t.run((ctx) => ctx.db.query("pushDispatches").collect());
/** Lets time pass in steps, so that timers armed on the way fire, too. */
async function until(t: World, at: number): Promise<void> {
  while (Date.now() < at) await pass(t, Math.min(HOUR / 2, at - Date.now()));
  await pass(t, 0);
  await pass(t, 0);
}

describe("a slot", () => {
  test("fires at its minute, in the person's own conversation, and the job goes on", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    const jobId = await createJob(t);
    await until(t, Date.parse("2026-03-29T07:29:00Z"));
    expect(await messagesOf(t)).toEqual([]);
    await until(t, Date.parse("2026-03-29T07:31:00Z"));
    expect(await messagesOf(t)).toMatchObject([
      {
        conversationId: "telegram:900:42",
        source: "schedule",
        destination: { kind: "telegram", chatId: "42" },
        payload: { messageText: "Say good morning", providerUserId: "42" },
      },
    ]);
    expect(await dispatchesOf(t)).toMatchObject([
      { jobId, slotKey: "2026-03-29T09:30[Europe/Rome]", outcome: "enqueued" },
    ]);
    const [job] = await t.query(internal.schedules.jobs.listPushJobsForUser, {
      companyId: "acme",
      consumerUserId: "ada",
    });
    expect(job?.nextRunAt).toBe(Date.parse("2026-03-30T07:30:00Z"));
  });

  test("is settled once, however many dispatches run for it", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    const jobId = await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    vi.setSystemTime(START + HOUR);
    const results = await Promise.all(
      Array.from({ length: 10 }, () => t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})),
    );
    expect(results.reduce((sum, { enqueued }) => sum + enqueued, 0)).toBe(1);
    // Somebody sets the clock of the row back: the slot's own row still stands.
    await t.run((ctx) => ctx.db.patch("pushJobs", jobId, { nextRunAt: START + HOUR / 2 }));
    await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
    expect(await messagesOf(t)).toHaveLength(1);
    expect(await dispatchesOf(t)).toHaveLength(1);
  });

  test("of a person without a binding is skipped and says why", async () => {
    const t = await openWorld();
    await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    vi.setSystemTime(START + HOUR);
    expect(await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})).toEqual({
      scanned: 1,
      enqueued: 0,
      skipped: 1,
      failed: 0,
    });
    expect(await dispatchesOf(t)).toMatchObject([
      { outcome: "skipped", reason: "no active binding for user" },
    ]);
  });

  test("that cannot be enqueued is recorded as failed, and neither blocks others nor itself", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    await addAgent(t, "off");
    await t.mutation(internal.identity.bindings.bindUserAgent, {
      consumerUserId: "bob",
      companyId: "acme",
      agentKey: "off",
      telegramUserId: "43",
      telegramChatId: "43",
      botSecretRef: SHARED_REF,
    });
    await t.run(async (ctx) => {
      const agents = await ctx.db.query("agentProfiles").collect();
      for (const agent of agents)
        if (agent.agentKey === "off") await ctx.db.patch("agentProfiles", agent._id, { enabled: false });
    });
    await createJob(t, { consumerUserId: "bob", schedule: daily("12:15"), timeZone: "UTC" });
    await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    vi.setSystemTime(START + HOUR);
    expect(await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})).toEqual({
      scanned: 2,
      enqueued: 1,
      skipped: 0,
      failed: 1,
    });
    const failed = (await dispatchesOf(t)).find(({ outcome }) => outcome === "failed");
    expect(failed?.reason).toBe("Agent profile 'off' not found or disabled");
    expect(await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})).toMatchObject({ scanned: 0 });
  });

  test("missed by a day of outage is made up for once, the rest is told", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    vi.setSystemTime(START + 2 * DAY + HOUR);
    await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
    expect(await dispatchesOf(t)).toMatchObject([
      { slotKey: "2026-03-30T12:30[UTC]", outcome: "enqueued", reason: "2 earlier slots were missed" },
    ]);
    expect(await messagesOf(t)).toHaveLength(1);
  });

  test("missed by more than half a day is skipped", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    vi.setSystemTime(START + 13 * HOUR);
    await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
    expect(await dispatchesOf(t)).toMatchObject([{ outcome: "skipped", reason: "missed by 750 minutes" }]);
    expect(await messagesOf(t)).toEqual([]);
  });

  test("of a switched-off or deleted job does not fire", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    const schedule = { schedule: daily("12:30"), timeZone: "UTC" };
    const jobId = await createJob(t, schedule);
    const gone = await createJob(t, schedule);
    await t.mutation(internal.schedules.jobs.setPushJobEnabled, { companyId: "acme", jobId, enabled: false });
    await t.mutation(internal.schedules.jobs.deletePushJob, { companyId: "acme", jobId: gone });
    await settle(t);
    vi.setSystemTime(START + HOUR);
    expect(await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})).toMatchObject({ scanned: 0 });
  });
});

test("a backend that was down for a day makes up for the latest slot of each job, if it is half a day late at most", async () => {
  const t = await openWorld();
  const times = ["00:10", "06:00", "11:59", "12:01", "23:50"];
  for (const [index, time] of times.entries()) {
    await bind(t, `u${index}`, "acme", String(100 + index));
    await createJob(t, { consumerUserId: `u${index}`, schedule: daily(time), timeZone: "UTC", title: time });
  }
  vi.setSystemTime(START + DAY);
  const counts = await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
  expect(counts).toEqual({ scanned: 5, enqueued: 3, skipped: 2, failed: 0 });
  const outcomes = new Map((await dispatchesOf(t)).map(({ slotKey, outcome }) => [slotKey, outcome]));
  expect(outcomes).toEqual(
    new Map([
      ["2026-03-29T00:10[UTC]", "enqueued"],
      ["2026-03-29T06:00[UTC]", "enqueued"],
      ["2026-03-29T11:59[UTC]", "enqueued"],
      ["2026-03-28T12:01[UTC]", "skipped"],
      ["2026-03-28T23:50[UTC]", "skipped"],
    ]),
  );
  expect(await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {})).toMatchObject({ scanned: 0 });
});

test("a trigger by hand with a key sends once, says the same again, and is audited", async () => {
  const t = await openWorld();
  await bind(t, "ada", "acme", "42");
  const jobId = await createJob(t, { schedule: { kind: "manual" } });
  const trigger = (idempotencyKey?: string) =>
    t.mutation(internal.schedules.dispatch.triggerPushJobNow, {
      companyId: "acme",
      jobId,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      actor: "ops",
    });
  const results = await Promise.all([trigger("k1"), trigger("k1"), trigger("k1")]);
  expect(new Set(results.map(({ messageId }) => messageId)).size).toBe(1);
  await trigger("k2");
  expect(await messagesOf(t)).toHaveLength(2);
  const audit = await t.run((ctx) => ctx.db.query("auditLog").collect());
  expect(audit.filter(({ action }) => action === "push_job.trigger")).toMatchObject([
    { actor: "ops", target: jobId, detail: "enqueued" },
    { actor: "ops", target: jobId, detail: "enqueued" },
  ]);
});

describe("a slot that is due while its job is edited", () => {
  const due = async (t: World) => {
    await bind(t, "ada", "acme", "42");
    const jobId = await createJob(t, { schedule: daily("12:30"), timeZone: "UTC" });
    // The dispatch is late: of an outage, say.
    vi.setSystemTime(START + HOUR);
    return { companyId: "acme", jobId };
  };

  test("is sent, with the new words", async () => {
    const t = await openWorld();
    const job = await due(t);
    await t.mutation(internal.schedules.jobs.updatePushJob, { ...job, text: "Say hello" });
    await t.mutation(internal.schedules.jobs.setPushJobEnabled, { ...job, enabled: true });
    await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
    expect(await messagesOf(t)).toMatchObject([{ payload: { messageText: "Say hello" } }]);
  });

  test("is not when its times are changed, or while it is switched off", async () => {
    for (const change of [{ schedule: daily("12:20") }, { timeZone: "Europe/Rome" }]) {
      const t = await openWorld();
      await t.mutation(internal.schedules.jobs.updatePushJob, { ...(await due(t)), ...change });
      await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
      expect(await messagesOf(t)).toEqual([]);
      vi.setSystemTime(START);
    }
    const t = await openWorld();
    const job = await due(t);
    await t.mutation(internal.schedules.jobs.setPushJobEnabled, { ...job, enabled: false });
    await t.mutation(internal.schedules.jobs.setPushJobEnabled, { ...job, enabled: true });
    await t.action(internal.schedules.dispatch.dispatchDuePushJobs, {});
    expect(await messagesOf(t)).toEqual([]);
  });
});

describe("a request with an Idempotency-Key", () => {
  const words = { companyId: "acme", templateKey: "morning", title: "Morning", text: "Hello" };
  const template = { ...words, schedule: daily("09:30"), idempotencyKey: "k" };
  const fromTemplate = (t: World, more: Record<string, unknown> = {}) =>
    t.mutation(internal.schedules.jobs.createPushJobFromTemplate, {
      companyId: "acme",
      templateKey: "morning",
      consumerUserId: "ada",
      timeZone: "UTC",
      idempotencyKey: "k",
      ...more,
    });

  test("makes one job, which is found after the template went and the job was changed", async () => {
    const t = await openWorld();
    await t.mutation(internal.schedules.templates.createPushTemplate, template);
    const { jobId } = await fromTemplate(t);
    await t.mutation(internal.schedules.jobs.updatePushJob, { companyId: "acme", jobId, title: "Other" });
    await t.mutation(internal.schedules.templates.deletePushTemplate, {
      companyId: "acme",
      templateKey: "morning",
    });
    expect((await fromTemplate(t)).jobId).toBe(jobId);
  });

  test("is refused for another job of the same person", async () => {
    const t = await openWorld();
    await createJob(t, { idempotencyKey: "k" });
    for (const more of [{ text: "other" }, { timeZone: "UTC" }, { enabled: false }]) {
      await expect(createJob(t, { idempotencyKey: "k", ...more })).rejects.toThrow(
        "This Idempotency-Key was used for another push job",
      );
    }
    await createJob(t, { idempotencyKey: "k", companyId: "globex" });
    expect(await t.run((ctx) => ctx.db.query("pushJobs").collect())).toHaveLength(2);
  });

  test("makes one template, and is refused for another text of it", async () => {
    const t = await openWorld();
    const create = (more: Record<string, unknown> = {}) =>
      t.mutation(internal.schedules.templates.createPushTemplate, { ...template, ...more });
    const { templateId } = await create();
    expect(await create()).toEqual({ templateId });
    for (const more of [{ text: "other" }, { idempotencyKey: "k2" }, { idempotencyKey: undefined }]) {
      await expect(create(more)).rejects.toThrow("Template key 'morning' already exists for company");
    }
  });
});

test("a trigger by hand sends now and leaves the slots alone", async () => {
  const t = await openWorld();
  await bind(t, "ada", "acme", "42");
  const jobId = await createJob(t, { schedule: { kind: "manual" } });
  const result = await t.mutation(internal.schedules.dispatch.triggerPushJobNow, {
    companyId: "acme",
    jobId,
  });
  expect(result.outcome).toBe("enqueued");
  expect(await messagesOf(t)).toHaveLength(1);
});

describe("what is refused", () => {
  test.each([
    [{ schedule: daily("25:00") }, "Invalid time '25:00', expected HH:mm"],
    [{ timeZone: "Rome" }, "Invalid timezone 'Rome'"],
    [{ text: " " }, "text must have 1 to 4096 characters"],
  ])("%j", async (more, message) => {
    const t = await openWorld();
    await expect(createJob(t, more)).rejects.toThrow(message);
  });

  test("a template key that the company already uses", async () => {
    const t = await openWorld();
    const template = {
      companyId: "acme",
      templateKey: "hello",
      title: "t",
      text: "x",
      schedule: daily("09:00"),
    };
    await t.mutation(internal.schedules.templates.createPushTemplate, template);
    await expect(t.mutation(internal.schedules.templates.createPushTemplate, template)).rejects.toThrow(
      "Template key 'hello' already exists for company",
    );
    await t.mutation(internal.schedules.templates.createPushTemplate, { ...template, companyId: "other" });
  });

  test("another company's job, whatever is tried with it", async () => {
    const t = await openWorld();
    const jobId = await createJob(t);
    const theirs = { companyId: "evil", jobId };
    const tries = [
      t.mutation(internal.schedules.jobs.updatePushJob, { ...theirs, text: "hacked" }),
      t.mutation(internal.schedules.jobs.setPushJobEnabled, { ...theirs, enabled: false }),
      t.mutation(internal.schedules.jobs.deletePushJob, theirs),
      t.mutation(internal.schedules.dispatch.triggerPushJobNow, theirs),
      t.query(internal.schedules.jobs.listPushDispatchesByJob, theirs),
    ];
    for (const attempt of tries) await expect(attempt).rejects.toThrow(`Push job '${jobId}' not found`);
    expect(
      await t.query(internal.schedules.jobs.listPushJobsForUser, {
        companyId: "evil",
        consumerUserId: "ada",
      }),
    ).toEqual([]);
  });
});

describe("who is who", () => {
  test("the same user id in two companies is two people", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    await bind(t, "ada", "acme", "42");
    await t.mutation(internal.identity.bindings.bindUserAgent, {
      consumerUserId: "ada",
      companyId: "other",
      agentKey: "b",
    });
    const keyOf = (companyId?: string) =>
      t.query(internal.identity.bindings.resolveAgentForUser, { consumerUserId: "ada", companyId });
    expect((await keyOf("acme"))?.agentKey).toBe("default");
    expect((await keyOf("other"))?.agentKey).toBe("b");
    expect(await keyOf()).toBeNull();
  });

  test("a Telegram user is one person at a time", async () => {
    const t = await openWorld();
    await bind(t, "ada", "acme", "42");
    await bind(t, "bob", "acme", "42");
    const { active, history } = await t.query(internal.identity.bindings.getUserAgentBinding, {
      consumerUserId: "ada",
      companyId: "acme",
    });
    expect(active).toBeNull();
    expect(history[0]?.revokedBecause).toBe("telegram user bound to another person");
    const found = await t.query(internal.identity.bindings.resolveAgentForTelegram, { telegramUserId: "42" });
    expect(found?.consumerUserId).toBe("bob");
  });

  test("a pairing code of one company is unknown to another", async () => {
    const t = await openWorld();
    const { code } = await t.action(internal.identity.pairing.createPairingCode, {
      consumerUserId: "ada",
      companyId: "acme",
      agentKey: "default",
    });
    const status = (companyId: string) =>
      t.query(internal.identity.pairing.getPairingCodeStatus, { code, companyId });
    expect((await status("acme"))?.status).toBe("pending");
    expect(await status("evil")).toBeNull();
  });

  test("a new code ends the earlier one of the pair, and only of the pair", async () => {
    const t = await openWorld();
    await addAgent(t, "b");
    const make = async (agentKey: string): Promise<string> =>
      (await t.action(internal.identity.pairing.createPairingCode, { consumerUserId: "ada", agentKey })).code;
    const [first, other, second] = [await make("default"), await make("b"), await make("default")];
    const status = async (code: string) =>
      (await t.query(internal.identity.pairing.getPairingCodeStatus, { code }))?.status;
    expect([await status(first), await status(other), await status(second)]).toEqual([
      "expired",
      "pending",
      "pending",
    ]);
  });

  test("codes live from a minute to a day and carry a deep link to the serving bot", async () => {
    const t = await openWorld();
    const make = (ttlMs: number) =>
      t.action(internal.identity.pairing.createPairingCode, {
        consumerUserId: "ada",
        agentKey: "default",
        ttlMs,
      });
    await expect(make(59_999)).rejects.toThrow("ttlMs must be between");
    await expect(make(24 * HOUR + 1)).rejects.toThrow("ttlMs must be between");
    const { code, deepLink } = await make(60_000);
    expect(deepLink).toBe(`https://t.me/helper_bot?start=${code}`);
    const stored = await t.run((ctx) => ctx.db.query("pairingCodes").collect());
    expect(JSON.stringify(stored)).not.toContain(code);
  });
});
