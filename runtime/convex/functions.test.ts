/**
 * Every public function of the deployment, called without, with a wrong, and with another's credential. The
 * list is read from the modules that are deployed, so that a new public function cannot be forgotten.
 */
import { getFunctionName, makeFunctionReference } from "convex/server";
import { describe, expect, test } from "vitest";
import { api } from "./_generated/api.js";
import {
  addWorker,
  createWorld,
  enqueue,
  fakeDeployment,
  mustClaim,
  type TestWorker,
  type World,
} from "./testing/factory.setup.ts";

fakeDeployment();

type Kind = "query" | "mutation" | "action";
type PublicFunction = { path: string; kind: Kind };

/** Same rule as the deployment's: exports marked as public functions, of files whose name has one dot. */
async function publicFunctions(): Promise<PublicFunction[]> {
  const modules = import.meta.glob(["./**/*.ts", "!./**/*.*.ts", "!./_generated/**"]);
  const found: PublicFunction[] = [];
  for (const [file, load] of Object.entries(modules)) {
    const module = (await load()) as Record<string, Record<string, unknown>>;
    for (const [name, value] of Object.entries(module)) {
      if (typeof value !== "function" || value["isPublic"] !== true) continue;
      const kind = (["query", "mutation", "action"] as const).find(
        (candidate) => value[`is${candidate[0]?.toUpperCase()}${candidate.slice(1)}`] === true,
      );
      // HTTP actions are routes, not functions: their tests are in ingress.
      if (kind !== undefined) found.push({ path: `${file.slice(2, -3)}:${name}`, kind });
    }
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Well-formed arguments for each public function, beside the credential. Must name all of them. */
async function argumentsOf(t: World, worker: TestWorker): Promise<Record<string, Record<string, unknown>>> {
  const { messageId, leaseId } = await mustClaim(t, worker);
  const lease = { messageId, leaseId };
  const snapshotId = await t.run(async (ctx) => {
    const message = await ctx.db.get("messageQueue", messageId);
    if (message === null) throw new Error("no message");
    return await ctx.db.insert("dataSnapshots", {
      conversation: message.conversation,
      version: 1,
      status: "uploading",
      current: false,
      messageId,
      leaseId,
      fileCount: 0,
      totalBytes: 0,
    });
  });
  return {
    "worker:appendConversationMessages": { ...lease, conversationId: "c1", messages: [] },
    "worker:claim": { claimKey: "forged" },
    "worker:complete": { ...lease, answer: { text: "forged" }, history: [] },
    "worker:controlState": {},
    "worker:fail": { ...lease, errorMessage: "forged" },
    "worker:failDataSnapshotUpload": { ...lease, snapshotId, errorMessage: "forged" },
    "worker:finalizeDataSnapshotUpload": { ...lease, snapshotId, uploaded: [] },
    "worker:getHydrationBundle": lease,
    "worker:getLatestDataSnapshotForRestore": lease,
    "worker:heartbeat": lease,
    "worker:inbox": {},
    "worker:prepareAnswerFiles": { ...lease, count: 1 },
    "worker:preview": { ...lease, text: "forged" },
    "worker:prepareDataSnapshotUpload": { ...lease, files: [] },
    "worker:ready": { report: { bootMs: 1, skills: [], removedSkills: [] } },
    "worker:release": { ...lease, reason: "forged" },
    "worker:stopped": { reason: "forged" },
  };
}

async function call(
  t: World,
  { path, kind }: PublicFunction,
  args: Record<string, unknown>,
): Promise<unknown> {
  switch (kind) {
    case "query":
      return await t.query(makeFunctionReference<"query">(path), args);
    case "mutation":
      return await t.mutation(makeFunctionReference<"mutation">(path), args);
    case "action":
      return await t.action(makeFunctionReference<"action">(path), args);
  }
}

async function wholeState(t: World): Promise<string> {
  return await t.run(async (ctx) =>
    JSON.stringify([
      await ctx.db.query("messageQueue").collect(),
      await ctx.db.query("conversationHeads").collect(),
      await ctx.db.query("conversationMessages").collect(),
      await ctx.db.query("workers").collect(),
      await ctx.db.query("workerSignals").collect(),
      await ctx.db.query("dataSnapshots").collect(),
      await ctx.db.query("outbox").collect(),
      await ctx.db.system.query("_scheduled_functions").collect(),
    ]),
  );
}

test("the public functions are those of worker.ts and nothing else", async () => {
  const paths = (await publicFunctions()).map(({ path }) => path);
  expect(paths.every((path) => path.startsWith("worker:"))).toBe(true);
  expect(paths).toContain(getFunctionName(api.worker.claim));
});

describe("a call without the right credential changes nothing", () => {
  test("for every public function and every way to be wrong", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    const stopped = await addWorker(t, "w2", { state: "stopped", tokenHash: undefined });
    await t.run(async (ctx) => {
      const signals = await ctx.db
        .query("workerSignals")
        .withIndex("by_worker_id", (q) => q.eq("workerId", "w2"))
        .unique();
      // As machines/ does when a worker stops.
      if (signals !== null) await ctx.db.delete("workerSignals", signals._id);
    });
    const other = await addWorker(t, "w3");
    await enqueue(t, "c1");
    const given = await argumentsOf(t, worker);
    const before = await wholeState(t);
    const functions = await publicFunctions();
    expect(functions.map(({ path }) => path)).toEqual(Object.keys(given).sort());

    for (const target of functions) {
      const args = given[target.path] ?? {};
      await expect(call(t, target, args), `${target.path} without`).rejects.toThrow("credential");
      for (const [why, credential] of [
        ["wrong token", { workerId: "w1", token: "wrong" }],
        ["empty token", { workerId: "w1", token: "" }],
        ["another's token", { workerId: "w1", token: other.token }],
        ["its own token under another's name", { workerId: "w3", token: worker.token }],
        ["an unknown worker", { workerId: "nobody", token: worker.token }],
        ["a stopped worker", stopped.credential],
        ["an enormous token", { workerId: "w1", token: "x".repeat(10_000) }],
      ] as const) {
        await expect(call(t, target, { ...args, credential }), `${target.path}: ${why}`).rejects.toThrow(
          "Unknown worker or wrong token",
        );
      }
    }
    expect(await wholeState(t)).toBe(before);
  });

  test("a worker with its own credential reaches nothing through another's lease", async () => {
    const t = await createWorld();
    const worker = await addWorker(t, "w1");
    const other = await addWorker(t, "w2");
    await enqueue(t, "c1");
    const given = await argumentsOf(t, worker);
    const before = await wholeState(t);
    const withLease = (await publicFunctions()).filter(({ path }) => given[path]?.["leaseId"] !== undefined);
    expect(withLease.length).toBeGreaterThan(8);
    for (const target of withLease) {
      const outcome = await call(t, target, { ...given[target.path], credential: other.credential }).catch(
        (error: Error) => error.message,
      );
      expect(`${target.path} ${JSON.stringify(outcome)}`).not.toMatch(/hello|token-of|uploadUrl":"http/);
    }
    expect(await wholeState(t)).toBe(before);
  });
});
