import { afterAll, beforeAll, expect, test } from "vitest";
import { Cloud } from "./cloud.ts";

let started: Cloud | null = null;
beforeAll(async () => {
  started = await Cloud.start();
});
afterAll(async () => {
  await started?.close();
});

const running = (): Cloud => {
  if (started === null) throw new Error("the cloud did not start");
  return started;
};

test("a message makes a machine, which answers it", async () => {
  const cloud = running();
  const startedAt = Date.now();
  await cloud.write("c1", "first");
  await cloud.until("the message is answered", async () => (await cloud.doneCount()) === 1);
  process.stdout.write(`cold start to answer: ${Date.now() - startedAt} ms\n`);
  expect(await cloud.living()).toHaveLength(1);
});
