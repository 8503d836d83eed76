import { expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
import {
  addWorker,
  advance,
  complete,
  createWorld,
  enqueue,
  fail,
  fakeDeployment,
  mustClaim,
  START,
} from "../testing/factory.setup.ts";

fakeDeployment();

test("the timeline shows messages whatever became of them, the latest ones, oldest first", async () => {
  const t = await createWorld({ retry: { jitterRatio: 0 } });
  const worker = await addWorker(t);
  const ids: string[] = [];
  const next = async (): Promise<void> => {
    ids.push(await enqueue(t, "c1"));
    advance(1_000);
  };
  await next();
  await complete(t, worker, await mustClaim(t, worker));
  await next();
  await fail(t, worker, await mustClaim(t, worker), "permanent");
  await next();
  await t.mutation(internal.factory.cancelMessage, { messageId: ids[2] as never });
  await next();
  await fail(t, worker, await mustClaim(t, worker));
  await next();

  const rows = await t.query(internal.factory.messageTimeline, { conversationId: "c1" });
  expect(rows.map(({ messageId }) => messageId)).toEqual(ids);
  expect(rows).toMatchObject([
    { status: "done", answeredAt: START + 1_000, endedUnansweredAt: null, lastError: null },
    {
      status: "dead_letter",
      answeredAt: null,
      endedUnansweredAt: START + 2_000,
      lastError: "the model is away",
    },
    { status: "cancelled", answeredAt: null, endedUnansweredAt: START + 3_000, claimedAt: null },
    { status: "queued", attempts: 1, dueAt: START + 5_000, answeredAt: null, lastError: "the model is away" },
    { status: "queued", attempts: 0, claimedAt: null, endedUnansweredAt: null },
  ]);
  const [latest] = await t.query(internal.factory.messageTimeline, { conversationId: "c1", limit: 1 });
  expect(latest?.messageId).toBe(ids.at(-1));

  advance(5_000);
  await mustClaim(t, worker);
  const running = await t.query(internal.factory.messageTimeline, { conversationId: "c1", limit: 2 });
  expect(running[0]).toMatchObject({ status: "processing", workerId: "w1", answeredAt: null });
  expect(await t.query(internal.factory.messageTimeline, { conversationId: "none" })).toEqual([]);
});

test("a turn's phases follow each other: the model begins where hydration ended", async () => {
  const t = await createWorld();
  const worker = await addWorker(t);
  await enqueue(t);
  const claim = await mustClaim(t, worker);
  await t.mutation(api.worker.complete, {
    credential: worker.credential,
    messageId: claim.messageId,
    leaseId: claim.leaseId,
    answer: { text: "five" },
    history: [],
    timings: { hydrateMs: 30, modelMs: 400 },
  });
  const [times] = await t.query(internal.factory.messageTimeline, { conversationId: "c1" });
  expect(times).toMatchObject({
    claimedAt: START,
    hydratedAt: START + 30,
    modelDoneAt: START + 430,
    deliveredAt: null,
  });
});
