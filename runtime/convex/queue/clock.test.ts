/** Only the backend's time counts: nothing that a worker sends is a time that decides anything. */
import { expect, test, vi } from "vitest";
import { api } from "../_generated/api.js";
import {
  addWorker,
  complete,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  START,
} from "../testing/factory.setup.ts";
import * as worker from "../worker.ts";

fakeDeployment();

type ExportedArgs = { exportArgs: () => string };

/** Names of all fields, at any depth, that a worker may send as a number. */
function numbersSentTo(fn: unknown): string[] {
  const found: string[] = [];
  const walk = (type: unknown, path: string): void => {
    if (type === null || typeof type !== "object") return;
    const { type: kind, value } = type as { type?: string; value?: unknown };
    if (kind === "number") found.push(path);
    if (kind === "array") walk(value, `${path}[]`);
    if (kind === "union") for (const member of value as unknown[]) walk(member, path);
    if (kind !== "object") return;
    for (const [name, field] of Object.entries(value as Record<string, { fieldType: unknown }>)) {
      walk(field.fieldType, path === "" ? name : `${path}.${name}`);
    }
  };
  walk(JSON.parse((fn as ExportedArgs).exportArgs()), "");
  return found;
}

test("no public function takes a point in time, but for history's, which is no later than now", () => {
  // Counts, sizes, durations, versions. Whoever adds a number here says which of these it is.
  const sent = new Set(Object.values(worker).flatMap(numbersSentTo));
  expect([...sent].sort()).toEqual([
    "count",
    "files[].sizeBytes",
    "history[].at",
    "holds.historyThrough",
    "holds.profileRevision",
    "holds.snapshotVersion",
    "messages[].at",
    "report.bootMs",
    "report.gatewayBootMs",
    "report.probeTurnMs",
    "timings.hydrateMs",
    "timings.modelMs",
    "usage.inputTokens",
    "usage.outputTokens",
  ]);
});

test.each([
  ["ahead", 600_000],
  ["behind", -600_000],
])("a worker whose clock is ten minutes %s writes history of the backend's time", async (_how, skewMs) => {
  const t = await createWorld();
  const holder = await addWorker(t);
  await enqueue(t);
  const { messageId, leaseId, conversationId } = await mustClaim(t, holder);
  await t.mutation(api.worker.appendConversationMessages, {
    credential: holder.credential,
    messageId,
    leaseId,
    conversationId,
    messages: [{ role: "user", content: "hello", at: START + skewMs }],
  });
  const rows = await t.run((ctx) => ctx.db.query("conversationMessages").collect());
  expect(rows.map(({ at }) => at)).toEqual([START]);
});

test("a lease ends by the backend's clock, whatever its worker believes", async () => {
  const t = await createWorld();
  const holder = await addWorker(t);
  await enqueue(t);
  const claimed = await mustClaim(t, holder);
  // What a worker with a clock of its own would hold against it: it changes nothing.
  const believed = { ...claimed, leaseExpiresAt: claimed.leaseExpiresAt + 600_000 };
  expect(claimed.leaseExpiresAt).toBe(START + claimed.leaseMs);
  vi.setSystemTime(claimed.leaseExpiresAt);
  expect(await complete(t, holder, believed)).toBe(false);
});
