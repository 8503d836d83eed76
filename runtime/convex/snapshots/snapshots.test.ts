import { convexTest } from "convex-test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import schema from "../schema.ts";
import { SNAPSHOT_CONTENT_TYPE, type SnapshotFile } from "../validators.ts";
import { deleteOrphans } from "./collect.ts";
import { commitSnapshot, failUpload, finalizeUpload } from "./finalize.ts";
import { prepareUpload } from "./prepare.ts";
import { latestSnapshotForRestore, snapshotForRestore } from "./read.ts";

// Files of this folder come as `./x.ts`; the others tell where the functions' root is.
const modules = Object.fromEntries(
  Object.entries(import.meta.glob("../**/*.ts")).map(([path, load]) => [
    path.replace(/^\.\//, "../snapshots/"),
    load,
  ]),
);
const HOUR_MS = 3_600_000;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const newWorld = () => convexTest({ schema, modules, transactionLimits: true });
type World = ReturnType<typeof newWorld>;
const hashOf = (name: string): string => name.repeat(64).slice(0, 64);
const file = (path: string, sha256: string): SnapshotFile => ({
  path,
  sha256: hashOf(sha256),
  sizeBytes: 10,
});

/** One worker that holds one lease on one message of one conversation. */
async function leased(t: World, conversationId = "c1") {
  return await t.run(async (ctx) => {
    const workerDoc = await ctx.db.insert("workers", {
      workerId: "w1",
      state: "active",
      image: "image",
      configRevision: 1,
      load: 1,
      slots: 4,
      hasFreeSlot: true,
      canary: false,
      createdAt: Date.now(),
      turnsDone: 0,
      turnsFailed: 0,
    });
    const conversation = await ctx.db.insert("conversations", {
      conversationId,
      agentKey: "default",
      nextSeq: 2,
      nextHistorySeq: 1,
      queuedCount: 0,
    });
    const messageId = await ctx.db.insert("messageQueue", {
      conversation,
      conversationId,
      agentKey: "default",
      seq: 1,
      status: "processing",
      payload: { provider: "telegram", providerUserId: "1", messageText: "hi" },
      destination: null,
      priority: 50,
      dueAt: Date.now(),
      delayed: false,
      attempts: 1,
      maxAttempts: 5,
      leaseId: "lease1",
      leaseExpiresAt: Date.now() + 45_000,
      workerId: "w1",
      claimedAt: Date.now(),
    });
    const worker = await ctx.db.get("workers", workerDoc);
    if (worker === null) throw new Error("no worker");
    return { worker, conversation, messageId, lease: { messageId, leaseId: "lease1" } };
  });
}
type Leased = Awaited<ReturnType<typeof leased>>;

/** convex-test forgets the content type of stored files, which a deployment keeps: it is kept here. */
const contentTypes = new Map<string, string>();
async function storeBlob(t: World, type = SNAPSHOT_CONTENT_TYPE): Promise<Id<"_storage">> {
  const id = await t.run(async (ctx) => await ctx.storage.store(new Blob(["0123456789"], { type })));
  contentTypes.set(id, type);
  return id;
}

/** A mutation's context that shows stored files as a deployment does. */
function deployed(ctx: MutationCtx): MutationCtx {
  const typed = <T extends { _id: string } | null>(blob: T): T =>
    blob === null ? blob : { ...blob, contentType: contentTypes.get(blob._id) };
  const real = ctx.db.system;
  const system = {
    get: async (_table: "_storage", id: Id<"_storage">) => typed(await real.get("_storage", id)),
    query: () => ({
      withIndex: (...args: Parameters<ReturnType<typeof real.query<"_storage">>["withIndex"]>) => ({
        take: async (count: number) =>
          (
            await real
              .query("_storage")
              .withIndex(...args)
              .take(count)
          ).map(typed),
      }),
    }),
  };
  const db = new Proxy(ctx.db, {
    get: (target, key) => (key === "system" ? system : Reflect.get(target, key, target)),
  });
  return { ...ctx, db };
}

async function prepare(t: World, { worker, lease }: Leased, files: SnapshotFile[]) {
  return await t.run(async (ctx) => await prepareUpload(ctx, worker, { ...lease, files }));
}

/** Prepares, uploads what is asked for and finalises. */
async function upload(t: World, held: Leased, files: SnapshotFile[]) {
  const { snapshotId, uploads } = await prepare(t, held, files);
  const uploaded: Parameters<typeof finalizeUpload>[2]["uploaded"] = [];
  for (const { sha256 } of uploads)
    uploaded.push({ sha256, storageId: await storeBlob(t), encoding: "zstd" as const });
  const outcome = await t.run(
    async (ctx) => await finalizeUpload(deployed(ctx), held.worker, { ...held.lease, snapshotId, uploaded }),
  );
  return { snapshotId, asked: uploads.map((entry) => entry.sha256), outcome };
}

async function commit(t: World, held: Leased, snapshotId: Id<"dataSnapshots">): Promise<void> {
  await t.run(async (ctx) => {
    const message = (await ctx.db.get("messageQueue", held.messageId)) as Doc<"messageQueue">;
    await commitSnapshot(ctx, message, snapshotId);
  });
}

async function restorable(t: World, held: Leased) {
  return await t.run(async (ctx) => await snapshotForRestore(ctx, held.conversation));
}

async function storedCount(t: World): Promise<number> {
  return await t.run(async (ctx) => (await ctx.db.system.query("_storage").collect()).length);
}

describe("upload", () => {
  test("asks for every blob of the first snapshot and only for changed ones after it", async () => {
    const t = newWorld();
    const held = await leased(t);
    const first = await upload(t, held, [file("SOUL.md", "a"), file("notes.md", "b")]);
    expect(first.asked.sort()).toEqual([hashOf("a"), hashOf("b")]);
    expect(first.outcome).toEqual({ ready: true, version: 1 });
    await commit(t, held, first.snapshotId);
    const second = await upload(t, held, [file("SOUL.md", "a"), file("notes.md", "c")]);
    expect(second.asked).toEqual([hashOf("c")]);
    expect(second.outcome.version).toBe(2);
  });

  test("equal files are asked for once", async () => {
    const t = newWorld();
    const held = await leased(t);
    const { asked } = await upload(t, held, [file("one.md", "a"), file("two.md", "a")]);
    expect(asked).toEqual([hashOf("a")]);
  });

  test("a snapshot is restored only after complete has committed it", async () => {
    const t = newWorld();
    const held = await leased(t);
    const { snapshotId } = await upload(t, held, [file("SOUL.md", "a")]);
    expect(await restorable(t, held)).toBeNull();
    await commit(t, held, snapshotId);
    expect((await restorable(t, held))?.files.map((entry) => entry.path)).toEqual(["SOUL.md"]);
  });

  test("a repeated finalize gives the same answer", async () => {
    const t = newWorld();
    const held = await leased(t);
    const { snapshotId } = await upload(t, held, [file("SOUL.md", "a")]);
    const again = await t.run(
      async (ctx) =>
        await finalizeUpload(deployed(ctx), held.worker, { ...held.lease, snapshotId, uploaded: [] }),
    );
    expect(again).toEqual({ ready: true, version: 1 });
  });

  test("a missing blob is refused and names the file", async () => {
    const t = newWorld();
    const held = await leased(t);
    const { snapshotId } = await prepare(t, held, [file("SOUL.md", "a")]);
    await expect(
      t.run(
        async (ctx) =>
          await finalizeUpload(deployed(ctx), held.worker, { ...held.lease, snapshotId, uploaded: [] }),
      ),
    ).rejects.toThrow("SOUL.md");
  });

  test.each([
    ["another kind of file", "image/png"],
    ["a file of an earlier upload", SNAPSHOT_CONTENT_TYPE],
  ])("%s cannot be named as a blob", async (_what, type) => {
    const t = newWorld();
    const held = await leased(t);
    const foreign = await storeBlob(t, type);
    vi.advanceTimersByTime(1_000);
    const { snapshotId } = await prepare(t, held, [file("SOUL.md", "a")]);
    const uploaded = [{ sha256: hashOf("a"), storageId: foreign, encoding: "zstd" as const }];
    await expect(
      t.run(
        async (ctx) =>
          await finalizeUpload(deployed(ctx), held.worker, { ...held.lease, snapshotId, uploaded }),
      ),
    ).rejects.toThrow("does not belong to this upload");
  });

  test("a blob of another conversation cannot be named", async () => {
    const t = newWorld();
    const other = await leased(t, "c-other");
    await upload(t, other, [file("SOUL.md", "a")]);
    const stolen = await t.run(async (ctx) => (await ctx.db.query("snapshotBlobs").first())?.storageId);
    const held = await leased(t, "c-thief");
    const { snapshotId } = await prepare(t, held, [file("SOUL.md", "a")]);
    const uploaded = [
      { sha256: hashOf("a"), storageId: stolen as Id<"_storage">, encoding: "zstd" as const },
    ];
    await expect(
      t.run(
        async (ctx) =>
          await finalizeUpload(deployed(ctx), held.worker, { ...held.lease, snapshotId, uploaded }),
      ),
    ).rejects.toThrow("does not belong to this upload");
  });

  test.each([
    ["../escape.md"],
    ["/absolute.md"],
    ["a//b.md"],
    ["a/./b.md"],
    ["back\\slash.md"],
    [""],
    [Array(20).fill("deep").join("/")],
  ])("the path %j is refused", async (path) => {
    const t = newWorld();
    const held = await leased(t);
    await expect(prepare(t, held, [file(path, "a")])).rejects.toThrow("files: path");
  });

  test("a path listed twice is refused", async () => {
    const t = newWorld();
    const held = await leased(t);
    await expect(prepare(t, held, [file("a.md", "a"), file("a.md", "b")])).rejects.toThrow("listed twice");
  });
});

describe("fence", () => {
  const stale: Array<[string, Partial<Doc<"messageQueue">>]> = [
    ["another lease", { leaseId: "lease2" }],
    ["another worker", { workerId: "w2" }],
    ["an expired lease", { leaseExpiresAt: 1 }],
    ["a finished message", { status: "done" }],
  ];
  test.each(stale)(
    "%s: prepare, finalize, fail and restore give nothing and write nothing",
    async (_what, change) => {
      const t = newWorld();
      const held = await leased(t);
      const { snapshotId } = await prepare(t, held, [file("SOUL.md", "a")]);
      const uploaded = [{ sha256: hashOf("a"), storageId: await storeBlob(t), encoding: "zstd" as const }];
      await t.run(async (ctx) => await ctx.db.patch("messageQueue", held.messageId, change));
      const { worker, lease } = held;
      await expect(prepare(t, held, [file("SOUL.md", "b")])).rejects.toThrow("The lease is not held");
      await t.run(async (ctx) => {
        expect(await finalizeUpload(deployed(ctx), worker, { ...lease, snapshotId, uploaded })).toEqual({
          ready: false,
          version: null,
        });
        expect(await failUpload(ctx, worker, { ...lease, snapshotId, errorMessage: "late" })).toBe(false);
        expect(await latestSnapshotForRestore(ctx, worker, lease)).toBeNull();
        expect((await ctx.db.get("dataSnapshots", snapshotId))?.status).toBe("uploading");
      });
    },
  );

  test("a snapshot of another lease on the same message cannot be committed", async () => {
    const t = newWorld();
    const held = await leased(t);
    const { snapshotId } = await upload(t, held, [file("SOUL.md", "a")]);
    await t.run(async (ctx) => await ctx.db.patch("messageQueue", held.messageId, { leaseId: "lease2" }));
    await expect(commit(t, held, snapshotId)).rejects.toThrow("not a ready snapshot of this turn");
  });
});

describe("retention", () => {
  test("a failed upload never hides the last good snapshot", async () => {
    const t = newWorld();
    const held = await leased(t);
    const good = await upload(t, held, [file("SOUL.md", "a")]);
    await commit(t, held, good.snapshotId);
    const { snapshotId } = await prepare(t, held, [file("SOUL.md", "b")]);
    await t.run(
      async (ctx) =>
        await failUpload(ctx, held.worker, { ...held.lease, snapshotId, errorMessage: "disk full" }),
    );
    expect((await restorable(t, held))?.version).toBe(1);
    const row = await t.run(async (ctx) => await ctx.db.get("dataSnapshots", snapshotId));
    expect(row).toMatchObject({ status: "failed", errorMessage: "disk full" });
  });

  test("a commit expires the former snapshot and deletes the blobs that only it named", async () => {
    const t = newWorld();
    const held = await leased(t);
    const first = await upload(t, held, [file("kept.md", "a"), file("changed.md", "b")]);
    await commit(t, held, first.snapshotId);
    const second = await upload(t, held, [file("kept.md", "a"), file("changed.md", "c")]);
    expect(await storedCount(t)).toBe(3);
    await commit(t, held, second.snapshotId);
    expect(await storedCount(t)).toBe(2);
    const urls = (await restorable(t, held))?.files.map((entry) => entry.url) ?? [];
    expect(urls).toHaveLength(2);
    expect(urls).not.toContain("about:blank");
  });

  test("the next turn clears what a turn that died had left, finalised or not", async () => {
    const t = newWorld();
    const held = await leased(t);
    const good = await upload(t, held, [file("SOUL.md", "a")]);
    await commit(t, held, good.snapshotId);
    const died = await upload(t, held, [file("SOUL.md", "b")]);
    await upload(t, held, [file("SOUL.md", "c")]);
    const row = await t.run(async (ctx) => await ctx.db.get("dataSnapshots", died.snapshotId));
    expect(row?.status).toBe("expired");
    expect(await storedCount(t)).toBe(2);
    expect((await restorable(t, held))?.version).toBe(1);
  });

  test("the collector retires abandoned uploads and leaves the current snapshot alone", async () => {
    const t = newWorld();
    const held = await leased(t);
    const good = await upload(t, held, [file("SOUL.md", "a")]);
    await commit(t, held, good.snapshotId);
    const died = await upload(t, held, [file("SOUL.md", "b")]);
    vi.advanceTimersByTime(1 * HOUR_MS);
    expect(await t.mutation(internal.snapshots.collect.collect, {})).toMatchObject({
      retired: 0,
      rowsDeleted: 0,
    });
    vi.advanceTimersByTime(6 * HOUR_MS);
    expect(await t.mutation(internal.snapshots.collect.collect, {})).toMatchObject({ retired: 1 });
    expect(await storedCount(t)).toBe(1);
    vi.advanceTimersByTime(72 * HOUR_MS);
    expect(await t.mutation(internal.snapshots.collect.collect, {})).toMatchObject({ rowsDeleted: 1 });
    expect(await t.run(async (ctx) => await ctx.db.get("dataSnapshots", died.snapshotId))).toBeNull();
    expect((await restorable(t, held))?.version).toBe(1);
  });

  /** A snapshot whose files are gone: one look into `snapshotBlobs` for each is enough to fill a transaction. */
  async function addLarge(t: World, held: Leased, version: number, current: boolean): Promise<void> {
    const blob = await storeBlob(t);
    await t.run(async (ctx) => {
      const files = Array.from({ length: 900 }, (_, index) => ({
        ...file(`${index}`, "a"),
        storageId: blob.replace(/^\d+/, String(version * 100_000 + index)) as Id<"_storage">,
        encoding: "zstd" as const,
      }));
      const snapshot = await ctx.db.insert("dataSnapshots", {
        conversation: held.conversation,
        version,
        status: "ready",
        current,
        messageId: held.messageId,
        leaseId: "lease1",
        fileCount: files.length,
        totalBytes: 9_000,
      });
      await ctx.db.insert("snapshotManifests", { snapshot, state: { kind: "stored", files } });
    });
  }
  const filesLeft = async (t: World): Promise<number> =>
    await t.run(async (ctx) => {
      const manifests = await ctx.db.query("snapshotManifests").collect();
      return manifests.flatMap(({ state }) => (state.kind === "stored" ? state.files : [])).length;
    });

  test("large snapshots that were left behind go in parts: together they would not fit a transaction", async () => {
    const t = newWorld();
    const held = await leased(t);
    for (let version = 1; version <= 4; version += 1) await addLarge(t, held, version, false);
    await prepare(t, held, [file("SOUL.md", "a")]);
    expect(await filesLeft(t)).toBe(3_100);

    vi.setSystemTime(Date.now() + 7 * HOUR_MS);
    expect(await t.mutation(internal.snapshots.collect.collect, {})).toMatchObject({ retired: 2 });
    expect(await filesLeft(t)).toBe(2_700);
    await t.finishAllScheduledFunctions(vi.runAllTimers);
    expect(await t.run(async (ctx) => await ctx.db.query("snapshotManifests").collect())).toEqual([]);
  });

  test("a turn that replaces a large snapshot leaves a part of it to the next one", async () => {
    const t = newWorld();
    const held = await leased(t);
    await addLarge(t, held, 1, true);
    const next = await upload(t, held, [file("SOUL.md", "b")]);
    await commit(t, held, next.snapshotId);
    expect((await restorable(t, held))?.version).toBe(2);
    expect(await filesLeft(t)).toBe(401);

    await upload(t, held, [file("SOUL.md", "b")]);
    expect((await restorable(t, held))?.version).toBe(2);
    const rows = await t.run(async (ctx) => await ctx.db.query("dataSnapshots").collect());
    expect(rows.map(({ version, status, current }) => ({ version, status, current }))).toEqual([
      { version: 1, status: "expired", current: false },
      { version: 2, status: "ready", current: true },
      { version: 3, status: "ready", current: false },
    ]);
  });

  test("files that nothing names are deleted: unfinished snapshots, uploads that no message carries", async () => {
    const t = newWorld();
    const held = await leased(t);
    const good = await upload(t, held, [file("SOUL.md", "a")]);
    await commit(t, held, good.snapshotId);
    const orphan = await storeBlob(t);
    const unused = await storeBlob(t, "image/png");
    const attached = await storeBlob(t, "image/png");
    const answered = await storeBlob(t, "application/pdf");
    await t.run(async (ctx) => {
      const { conversation, messageId: message } = held;
      await ctx.db.insert("attachmentFiles", { storageId: attached, conversation, message });
      await ctx.db.insert("outbox", {
        lane: "c1",
        seq: 1,
        conversationId: "c1",
        reason: "answer",
        destination: { kind: "telegram", chatId: "1", botSecretRef: "telegram.botToken.default" },
        content: { kind: "file", storageId: answered, fileName: "a.pdf" },
        state: "sent",
        fallbacks: { plainText: false, withoutThread: false, asDocument: false },
        attempts: 1,
        createdAt: 0,
        nextAttemptAt: 0,
      });
    });
    vi.advanceTimersByTime(1 * HOUR_MS);
    const young = await storeBlob(t);
    const result = await t.run(async (ctx) => await deleteOrphans(deployed(ctx), 0, Date.now()));
    expect(result.deleted).toBe(2);
    const left = await t.run(async (ctx) =>
      (await ctx.db.system.query("_storage").collect()).map((blob) => blob._id),
    );
    expect(left).toEqual(expect.arrayContaining([attached, answered, young]));
    expect(left).not.toContain(orphan);
    expect(left).not.toContain(unused);
    expect((await restorable(t, held))?.files[0]?.url).not.toBe("about:blank");
  });
});
