import { describe, expect, test } from "vitest";
import { internal } from "../_generated/api.js";
import {
  addWorker,
  createWorld,
  enqueue,
  fakeDeployment,
  messageOf,
  mustClaim,
} from "../testing/factory.setup.ts";

fakeDeployment();

describe("metadata", () => {
  const attach = internal.factory.attachMessageMetadata;

  test("is added to what a waiting message has, and the agent gets both", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1", { payload: { metadata: { a: "1", b: "2" } } });
    expect(await t.mutation(attach, { messageId, metadata: { b: "3", c: "4" } })).toBe(true);
    const { payload } = await mustClaim(t, await addWorker(t));
    expect(payload.metadata).toEqual({ a: "1", b: "3", c: "4" });
  });

  test("comes too late once the turn has begun", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1");
    await mustClaim(t, await addWorker(t));
    expect(await t.mutation(attach, { messageId, metadata: { a: "1" } })).toBe(false);
    expect((await messageOf(t, messageId)).payload.metadata).toBeUndefined();
  });

  test("is bounded, what was there before included", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1");
    const many = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${from + index}`, "v"]));
    expect(await t.mutation(attach, { messageId, metadata: many(0, 32) })).toBe(true);
    for (const metadata of [many(32, 1), { k0: "x".repeat(2_048) }]) {
      await expect(t.mutation(attach, { messageId, metadata })).rejects.toThrow(
        "metadata may have 32 keys of 2048 characters each, value included",
      );
    }
    expect(Object.keys((await messageOf(t, messageId)).payload.metadata ?? {})).toHaveLength(32);
  });

  test("of a message that does not exist is refused by its id", async () => {
    const t = await createWorld();
    const messageId = await enqueue(t, "c1");
    await t.run((ctx) => ctx.db.delete("messageQueue", messageId));
    await expect(t.mutation(attach, { messageId, metadata: {} })).rejects.toThrow(
      `Message '${messageId}' not found`,
    );
  });
});

test("a stored file has a URL as long as it is stored", async () => {
  const t = await createWorld();
  const { uploadUrl } = await t.mutation(internal.factory.generateMediaUploadUrl, {});
  expect(uploadUrl).toMatch(/^https?:/);
  const storageId = await t.run((ctx) => ctx.storage.store(new Blob(["hello"])));
  const urlOf = () => t.query(internal.factory.getStorageFileUrl, { storageId });
  expect(await urlOf()).toMatch(/^https?:/);
  await t.run((ctx) => ctx.storage.delete(storageId));
  expect(await urlOf()).toBeNull();
});
