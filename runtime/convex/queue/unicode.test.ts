/** Convex refuses a document whose text holds half of a surrogate pair: nothing that a turn stores may be cut so. */
import { describe, expect, test } from "vitest";
import { api } from "../_generated/api.js";
import {
  addWorker,
  complete,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

const EMOJI = "\u{1f600}";
/** An emoji across the cut at `units`. */
const across = (units: number): string => "a".repeat(units - 1) + EMOJI + "b";

async function storedTexts(t: World): Promise<string[]> {
  const tables = ["messageQueue", "conversationMessages", "outbox", "auditLog", "workers"] as const;
  const rows = await t.run((ctx) => Promise.all(tables.map((table) => ctx.db.query(table).collect())));
  return rows.flat().map((row) => JSON.stringify(row));
}

describe("what a turn stores is Unicode", () => {
  test("an answer and a history row beyond what is kept", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t);
    expect(await complete(t, worker, await mustClaim(t, worker), across(100_000))).toBe(true);
    for (const row of await storedTexts(t)) expect(row).not.toMatch(/\\ud[89a-f]/);
  });

  test("an error of a failed turn, and the reason of a worker that leaves", async () => {
    const t = await createWorld();
    const worker = await addWorker(t);
    await enqueue(t);
    const { messageId, leaseId } = await mustClaim(t, worker);
    await t.mutation(api.worker.fail, {
      credential: worker.credential,
      messageId,
      leaseId,
      errorMessage: across(2_000),
    });
    await t.mutation(api.worker.stopped, {
      credential: worker.credential,
      reason: across(500 - "worker left: ".length),
    });
    for (const row of await storedTexts(t)) expect(row).not.toMatch(/\\ud[89a-f]/);
  });
});
