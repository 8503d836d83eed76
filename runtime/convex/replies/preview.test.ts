import { afterEach, describe, expect, test, vi } from "vitest";
import { api, internal } from "../_generated/api.js";
import { elapse, fakeTelegram, pass, SHARED_REF, SHARED_TOKEN } from "../testing/channels.fixture.ts";
import {
  addWorker,
  advance,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  type TestWorker,
  type World,
} from "../testing/factory.setup.ts";
import type { Claim } from "../validators.ts";
import { deliveryOf } from "./deliveries.ts";

fakeDeployment();
afterEach(() => vi.unstubAllGlobals());

const INTERVAL_MS = 2_000;
const API_URL = "https://telegram.example";

/** A chat as the person sees it: what the Bot API was asked to do, done. */
function chatOf(
  calls: ReturnType<typeof fakeTelegram>["calls"],
  failed: ReadonlySet<number> = new Set(),
): string[] {
  const messages = new Map<number, string>();
  for (const [index, { method, body }] of calls.entries()) {
    if (failed.has(index)) continue;
    if (method === "sendMessage") messages.set(index + 1, String(body["text"]));
    if (method === "editMessageText") messages.set(Number(body["message_id"]), String(body["text"]));
    if (method === "deleteMessage") messages.delete(Number(body["message_id"]));
  }
  return [...messages.values()];
}

type Plan = NonNullable<Parameters<typeof fakeTelegram>[0]>;

/** Answers edits with the id of the edited message, as Telegram does. */
const telegram = (plan: Plan = () => null): ReturnType<typeof fakeTelegram> =>
  fakeTelegram(
    (call, index) =>
      plan(call, index) ??
      (call.method === "sendMessage"
        ? null
        : { json: { ok: true, result: { message_id: Number(call.body["message_id"]) } } }),
  );

async function openChat(previewIntervalMs: number | null = INTERVAL_MS) {
  const t = await createWorld({ telegram: { apiUrl: API_URL }, turn: { previewIntervalMs } });
  await t.action(internal.secrets.importSecret.importSecret, {
    secretRef: SHARED_REF,
    plaintextValue: SHARED_TOKEN,
  });
  const worker = await addWorker(t);
  const write = async (conversationId = "c1"): Promise<Claim> => {
    const destination = { kind: "telegram" as const, botSecretRef: SHARED_REF, chatId: "42" };
    await enqueue(t, conversationId, { destination });
    return await mustClaim(t, worker);
  };
  return { t, worker, claim: await write(), write };
}

const lease = ({ messageId, leaseId }: Claim) => ({ messageId, leaseId });
const show = (t: World, { credential }: TestWorker, claim: Claim, text: string): Promise<boolean> =>
  t.mutation(api.worker.preview, { credential, ...lease(claim), text });
const complete = (
  t: World,
  { credential }: TestWorker,
  claim: Claim,
  text: string | null,
): Promise<boolean> =>
  t.mutation(api.worker.complete, {
    credential,
    ...lease(claim),
    answer: text === null ? null : { text },
    history: [],
  });
const partsOf = (t: World) => t.run((ctx) => ctx.db.query("outbox").collect());
const refused = (status: number, description: string) => ({
  status,
  json: { ok: false, error_code: status, description },
});

describe("a preview", () => {
  test("is one message that grows and becomes the answer", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    expect(await show(t, worker, claim, "It is")).toBe(true);
    await elapse(t, INTERVAL_MS);
    expect(await show(t, worker, claim, "It is **nearly**")).toBe(true);
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual(["It is <b>nearly</b> \u2026"]);
    expect(await complete(t, worker, claim, "It is **nearly** five.")).toBe(true);
    await elapse(t, INTERVAL_MS);
    expect(bot.calls.map(({ method }) => method)).toEqual([
      "sendMessage",
      "editMessageText",
      "editMessageText",
    ]);
    expect(chatOf(bot.calls)).toEqual(["It is <b>nearly</b> five."]);
    expect(await t.run((ctx) => deliveryOf(ctx, claim.messageId))).toMatchObject({
      state: "delivered",
      parts: 1,
    });
  });

  test("becomes the first part of a long answer, and the rest follows", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    const parts = ["a", "b", "c"].map((letter) => letter.repeat(3_000));
    await show(t, worker, claim, parts.slice(0, 2).join("\n\n"));
    await elapse(t, INTERVAL_MS);
    await complete(t, worker, claim, parts.join("\n\n"));
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual(parts);
  });

  test("is not sent unless the runtime config asks for it", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat(null);
    expect(await show(t, worker, claim, "It is")).toBe(false);
    await elapse(t, INTERVAL_MS);
    expect(bot.calls).toEqual([]);
  });

  test("is edited no more often than the interval allows", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    for (let step = 0; step < 20; step += 1) {
      expect(await show(t, worker, claim, "words ".repeat(step + 1))).toBe(true);
      await pass(t, INTERVAL_MS / 10);
    }
    expect(bot.calls.length).toBeLessThanOrEqual(5);
  });

  test("does not queue up behind an answer that Telegram holds back", async () => {
    const bot = telegram((call) =>
      call.body["text"] === "first"
        ? { ...refused(429, "Too Many Requests"), json: { ok: false, parameters: { retry_after: 60 } } }
        : null,
    );
    const { t, worker, claim, write } = await openChat();
    await complete(t, worker, claim, "first");
    await elapse(t, 1_000);
    const next = await write();
    expect(await show(t, worker, next, "It is")).toBe(true);
    await elapse(t, INTERVAL_MS);
    expect(bot.texts()).toEqual(["first"]);
    expect(await partsOf(t)).toHaveLength(1);
  });

  test("by a worker that lost its lease changes nothing", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    expect(await show(t, worker, { ...claim, leaseId: "another" }, "forged")).toBe(false);
    await complete(t, worker, claim, "the answer");
    expect(await show(t, worker, claim, "late")).toBe(false);
    await elapse(t, INTERVAL_MS);
    expect(bot.texts()).toEqual(["the answer"]);
  });

  test("of a worker that died is continued by the next one, in the same message", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is nearly");
    await elapse(t, 46_000);
    const heir = await addWorker(t, "w2");
    const next = await mustClaim(t, heir);
    expect(await show(t, worker, claim, "late words of the dead")).toBe(false);
    expect(await show(t, heir, next, "Once more: it")).toBe(true);
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual(["Once more: it \u2026"]);
    await complete(t, heir, next, "Once more: it is five.");
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual(["Once more: it is five."]);
    expect(bot.texts()).toHaveLength(1);
  });
});

describe("a preview that goes wrong", () => {
  test("of unknown fate is listed and never repeated; the answer is a message of its own", async () => {
    const bot = telegram((_call, index) => (index === 0 ? { fail: new TypeError("socket hang up") } : null));
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    expect(await show(t, worker, claim, "It is nearly")).toBe(false);
    const listed = await t.query(internal.replies.deliveries.listDeliveries, { state: "unknown" });
    expect(listed).toMatchObject([{ reason: "preview", messageId: claim.messageId }]);
    const [unknown] = listed;
    if (unknown === undefined) throw new Error("nothing is listed");
    expect(
      await t.mutation(internal.replies.deliveries.resendDelivery, {
        partId: unknown.partId,
        acceptDuplicate: true,
      }),
    ).toEqual({ resent: false });
    await complete(t, worker, claim, "It is five.");
    await elapse(t, INTERVAL_MS);
    expect(bot.texts()).toEqual(["It is \u2026", "It is five."]);
    expect(await t.run((ctx) => deliveryOf(ctx, claim.messageId))).toMatchObject({ state: "delivered" });
  });

  test("refused for good leaves the answer to itself", async () => {
    const bot = telegram((_call, index) => (index === 0 ? refused(400, "Bad Request: WEIRD") : null));
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    expect(await show(t, worker, claim, "It is nearly")).toBe(false);
    await complete(t, worker, claim, "It is five.");
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls, new Set([0]))).toEqual(["It is five."]);
  });

  test("deleted by the person meanwhile: the answer is a message of its own", async () => {
    const bot = telegram((call) =>
      call.method === "editMessageText" ? refused(400, "Bad Request: message to edit not found") : null,
    );
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await complete(t, worker, claim, "It is five.");
    await elapse(t, INTERVAL_MS);
    expect(bot.texts()).toEqual(["It is \u2026", "It is five."]);
    expect((await partsOf(t)).map(({ state }) => state)).toEqual(["sent", "sent"]);
  });

  test("and an edit of unknown fate is repeated, since editing twice is editing once", async () => {
    const failed = new Set<number>();
    const bot = telegram((call, index) => {
      const edits = call.method === "editMessageText";
      if (edits && failed.size === 0) {
        failed.add(index);
        return { fail: new TypeError("socket hang up") };
      }
      return edits ? refused(400, "Bad Request: message is not modified") : null;
    });
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await complete(t, worker, claim, "It is five.");
    await elapse(t, 5_000);
    expect(bot.texts()).toEqual(["It is \u2026"]);
    expect((await partsOf(t)).map(({ state }) => state)).toEqual(["sent", "sent"]);
  });

  test("and a sender that dies while it edits is replaced, without an unknown delivery", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await complete(t, worker, claim, "It is five.");
    // The action takes the part and is never heard of again.
    const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
    if (lane === null) throw new Error("no lane");
    const job = await t.mutation(internal.replies.delivery.step, {
      laneId: lane._id,
      run: lane.run,
      finished: null,
      last: false,
    });
    expect(job?.editsMessageId).toBe(1);
    await elapse(t, 40_000);
    expect(chatOf(bot.calls)).toEqual(["It is five."]);
    expect((await partsOf(t)).map(({ state }) => state)).toEqual(["sent", "sent"]);
  });

  test("and a late report of an earlier try leaves the later one alone", async () => {
    telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await complete(t, worker, claim, "It is five.");
    const step = async (finished: object | null) => {
      const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
      if (lane === null) throw new Error("no lane");
      return await t.mutation(internal.replies.delivery.step, {
        laneId: lane._id,
        run: lane.run,
        finished: finished as null,
        last: false,
      });
    };
    const first = await step(null);
    advance(36_000);
    const lane = await t.run((ctx) => ctx.db.query("outboxLanes").first());
    if (first === null || lane === null) throw new Error("nothing was announced");
    await t.mutation(internal.replies.delivery.watchLane, { laneId: lane._id, run: lane.run });
    const second = await step(null);
    expect(second?.attempt).toBe(first.attempt + 1);
    const outcome = { kind: "unknown", description: "late" };
    await step({ partId: first.partId, attempt: first.attempt, outcome });
    expect((await partsOf(t)).map(({ state }) => state)).toEqual(["sent", "sending"]);
  });
});

describe("a message that ends without an answer", () => {
  test.each<[string, (t: World, worker: TestWorker, claim: Claim) => Promise<unknown>]>([
    ["because its agent says nothing", (t, worker, claim) => complete(t, worker, claim, null)],
    [
      "because the person said stop",
      async (t, { credential }, claim) => {
        await t.run((ctx) =>
          ctx.db.patch("messageQueue", claim.messageId, { cancelRequestedAt: Date.now() }),
        );
        await t.mutation(api.worker.release, { credential, ...lease(claim), reason: "cancelled" });
      },
    ],
  ])("%s takes its preview back", async (_why, end) => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await end(t, worker, claim);
    await elapse(t, INTERVAL_MS);
    expect(bot.calls.map(({ method }) => method)).toEqual(["sendMessage", "deleteMessage"]);
    expect(chatOf(bot.calls)).toEqual([]);
  });

  test("before its preview was sent sends nothing at all", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await complete(t, worker, claim, null);
    await elapse(t, INTERVAL_MS);
    expect(bot.calls).toEqual([]);
  });

  test("because it is given up says so in the preview's place, and a replay says its own", async () => {
    const bot = telegram();
    const { t, worker, claim } = await openChat();
    await show(t, worker, claim, "It is");
    await elapse(t, INTERVAL_MS);
    await t.mutation(api.worker.fail, {
      credential: worker.credential,
      ...lease(claim),
      errorMessage: "no model",
      errorKind: "permanent",
    });
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual([expect.stringContaining("could not answer")]);
    await t.mutation(internal.factory.replayDeadLetters, { messageIds: [claim.messageId] });
    const again = await mustClaim(t, worker);
    expect(again.messageId).toBe(claim.messageId);
    expect(await show(t, worker, again, "It is")).toBe(false);
    await complete(t, worker, again, "It is five.");
    await elapse(t, INTERVAL_MS);
    expect(chatOf(bot.calls)).toEqual([expect.stringContaining("could not answer"), "It is five."]);
  });
});
