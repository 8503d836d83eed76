import { expect, test } from "vitest";
import { api, internal } from "../_generated/api.js";
import {
  addWorker,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  START,
} from "../testing/factory.setup.ts";

fakeDeployment();

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
