import { beforeEach, describe, expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import { enqueueMessage } from "../queue/enqueue.ts";
import {
  advance,
  createWorld,
  enqueue,
  fakeDeployment,
  payload,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

const HOUR_MS = 3_600_000;
const RETENTION = { finishedMessageMs: 48 * HOUR_MS, deadLetterMs: 96 * HOUR_MS, attachmentMs: HOUR_MS };

let t: World;
beforeEach(async () => {
  t = await createWorld({ retention: RETENTION });
});

const store = async (): Promise<Id<"_storage">> =>
  await t.run(async (ctx) => await ctx.storage.store(new Blob(["picture"])));
const isStored = async (id: Id<"_storage">): Promise<boolean> =>
  await t.run(async (ctx) => (await ctx.db.system.get("_storage", id)) !== null);
const carrying = (...ids: string[]) => ({
  attachments: ids.map((storageId) => ({ kind: "photo" as const, storageId })),
});

async function finish(message: Id<"messageQueue">, status: "done" | "cancelled" | "dead_letter") {
  await t.run(async (ctx) => {
    await ctx.db.patch("messageQueue", message, { status, finishedAt: Date.now() });
  });
}
const prune = async (kind: "attachments" | "done" | "dead_letter") =>
  (await t.mutation(internal.queue.retention.pruneBatch, { kind })).deleted;

describe("files of a message", () => {
  test("go when retention.attachmentMs has passed, before the message itself", async () => {
    const file = await store();
    const message = await enqueue(t, "a", { payload: carrying(file) });
    await finish(message, "done");
    advance(HOUR_MS - 1);
    expect(await prune("attachments")).toBe(0);
    advance(1);
    expect(await prune("attachments")).toBe(1);
    expect(await isStored(file)).toBe(false);
    const row = await t.run(async (ctx) => await ctx.db.get("messageQueue", message));
    expect(row?.payload.attachments).toEqual([{ kind: "photo" }]);
    expect(await prune("attachments")).toBe(0);
  });

  test("stay with a dead letter, which a replay would need them for, and go with it", async () => {
    const file = await store();
    const message = await enqueue(t, "a", { payload: carrying(file) });
    await finish(message, "dead_letter");
    advance(96 * HOUR_MS);
    expect(await prune("attachments")).toBe(0);
    expect(await isStored(file)).toBe(true);
    expect(await prune("dead_letter")).toBe(1);
    expect(await isStored(file)).toBe(false);
  });

  test("stay while another message of the conversation carries them", async () => {
    const file = await store();
    const first = await enqueue(t, "a", { payload: carrying(file, file) });
    await enqueue(t, "a", { payload: carrying(file) });
    await finish(first, "done");
    advance(48 * HOUR_MS);
    expect(await prune("attachments")).toBe(1);
    expect(await isStored(file)).toBe(true);
    expect(await prune("done")).toBe(1);
    expect(await isStored(file)).toBe(true);
  });
});

test("a company's file serves all its conversations, and no other company's", async () => {
  const file = await store();
  const send = async (conversationId: string, companyId: string) =>
    await t.run(async (ctx) => {
      const request = { conversationId, agentKey: "support", destination: null, companyId };
      return await enqueueMessage(ctx, { ...request, payload: payload(carrying(file)) });
    });
  await send("a1", "acme");
  await expect(send("a2", "acme")).resolves.toMatchObject({ duplicate: false });
  await expect(send("e1", "evil")).rejects.toThrow("is not stored here");
});

describe("a message is refused, and nothing is written,", () => {
  /** What came of it: the error's text, and how many messages there are. */
  const attempt = async (file: string): Promise<{ error: string; messages: number }> => {
    const outcome = await enqueue(t, "b", { payload: carrying(file) }).then(
      () => "accepted",
      (error: unknown) => String(error),
    );
    const messages = await t.run(async (ctx) => (await ctx.db.query("messageQueue").collect()).length);
    return { error: outcome, messages };
  };
  const refusal = (file: string, messages: number) => ({
    error: expect.stringContaining(`Attachment '${file}' is not stored here; upload it first`),
    messages,
  });

  test("when it names a file that does not exist", async () => {
    const gone = await store();
    await t.run(async (ctx) => await ctx.storage.delete(gone));
    expect(await attempt(gone)).toEqual(refusal(gone, 0));
    expect(await attempt("nonsense")).toEqual(refusal("nonsense", 0));
  });

  test("when the file came with a message of another conversation", async () => {
    const file = await store();
    await enqueue(t, "a", { payload: carrying(file) });
    expect(await attempt(file)).toEqual(refusal(file, 1));
  });

  test("when the file is part of a snapshot", async () => {
    const file = await store();
    await enqueue(t, "a");
    await t.run(async (ctx) => {
      const conversation = await ctx.db.query("conversations").first();
      if (conversation === null) throw new Error("no conversation");
      await ctx.db.insert("snapshotBlobs", { storageId: file, conversation: conversation._id });
    });
    expect(await attempt(file)).toEqual(refusal(file, 1));
  });
});
