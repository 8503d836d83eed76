import { expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import {
  addWorker,
  advance,
  createWorld,
  enqueue,
  expectConsistent,
  fail,
  fakeDeployment,
  messageOf,
  mustClaim,
  START,
  type World,
} from "../testing/factory.setup.ts";

fakeDeployment();

/** Timers never run by themselves here: every one of them is lost. */
async function scheduledNow(t: World, name: string): Promise<number> {
  const jobs = await t.run((ctx) => ctx.db.system.query("_scheduled_functions").collect());
  return jobs.filter((job) => job.name.endsWith(name) && job.scheduledTime <= Date.now()).length;
}

test("an expired lease whose timer was lost is found, and recovered in a transaction of its own", async () => {
  const t = await createWorld();
  const worker = await addWorker(t);
  const messageId = await enqueue(t);
  await mustClaim(t, worker);
  advance(44_999);
  expect(await t.mutation(internal.queue.sweep.sweepQueue, {})).toMatchObject({ leasesExpired: false });
  expect(await scheduledNow(t, "recovery:sweepLeases")).toBe(0);
  advance(1);
  expect(await t.mutation(internal.queue.sweep.sweepQueue, {})).toMatchObject({ leasesExpired: true });
  expect(await scheduledNow(t, "recovery:sweepLeases")).toBe(1);
  await t.mutation(internal.queue.recovery.sweepLeases, {});
  expect((await messageOf(t, messageId)).status).toBe("queued");
  await expectConsistent(t);
});

test("delayed messages that somebody deleted in the dashboard hide no other", async () => {
  const t = await createWorld();
  const scheduledFor = START + 1_000;
  for (let index = 0; index < 10; index += 1) {
    const gone = await enqueue(t, `gone${index}`, { scheduledFor });
    await t.run((ctx) => ctx.db.delete("messageQueue", gone));
  }
  const messageId = await enqueue(t, "c2", { scheduledFor });
  advance(10_000);
  for (let sweep = 0; sweep < 2; sweep += 1) await t.mutation(internal.queue.sweep.sweepQueue, {});
  expect(await messageOf(t, messageId)).toMatchObject({ status: "queued", delayed: false });
  await expectConsistent(t);
});

test("a retry whose promotion was lost becomes ready, and somebody is woken for it", async () => {
  const t = await createWorld({ retry: { jitterRatio: 0 } });
  const worker = await addWorker(t);
  const messageId = await enqueue(t);
  await fail(t, worker, await mustClaim(t, worker));
  advance(2_000);
  expect(await t.mutation(internal.queue.sweep.sweepQueue, {})).toMatchObject({ promoted: 1 });
  expect(await messageOf(t, messageId)).toMatchObject({ status: "queued", delayed: false });
  expect((await mustClaim(t, worker)).messageId).toBe(messageId);
  await expectConsistent(t);
});
