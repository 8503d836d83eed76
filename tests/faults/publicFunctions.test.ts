/**
 * Every function that strangers can reach, called without, with a wrong and with another's credential. The list comes
 * from the running deployment, so that a new function is tested before anybody thinks of it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim, WorkerCredential } from "../../runtime/convex/validators.ts";
import { Factory, tokenOf } from "../deployment/factory.ts";
import {
  acceptable,
  type Deployed,
  type DeployedFunction,
  type Known,
  readDeployed,
} from "../deployment/functionSpec.ts";
import { CallRefused, type Wire } from "../deployment/wire.ts";

const HOUR_MS = 3_600_000;
const UNAUTHORIZED = { code: "unauthorized", message: "Unknown worker or wrong token" };

let started: Factory | undefined;
let stranger: Wire;
let deployed: Deployed;
/** A turn of the first worker, with an upload under way: something worth stealing. */
let known: Known;

const factory = (): Factory => started!;
const publicFunctions = (): DeployedFunction[] =>
  deployed.functions.filter(({ visibility }) => visibility === "public");

async function uploadedFile(uploadUrl: string): Promise<string> {
  const response = await fetch(uploadUrl, { method: "POST", body: "stored" });
  return ((await response.json()) as { storageId: string }).storageId;
}

const settledTables = (): Promise<Record<string, string>> => factory().backend.settledTables();

beforeAll(async () => {
  // Every timer of the backend is far away: what a table shows afterwards was written by a call.
  started = await Factory.start({
    workers: 2,
    config: {
      lease: { leaseMs: HOUR_MS, heartbeatIntervalMs: 60_000, idleHeartbeatIntervalMs: 600_000 },
      scaling: { reconcileIntervalMs: HOUR_MS, workerLostAfterMs: HOUR_MS, idleTimeoutMs: 12 * HOUR_MS },
    },
  });
  stranger = started.backend.wire(false);
  deployed = await readDeployed(started.backend);
  const credential = started.workers[0]!;
  const call = async (name: string, args: object) =>
    (await stranger.call("mutation", `worker:${name}`, { credential, ...args })).value;
  await started.write("held", "hello");
  const { messageId, leaseId, conversationId } = (await call("claim", { claimKey: "k1" })) as Claim;
  const files = [{ path: "notes.md", sha256: "0".repeat(64), sizeBytes: 6 }];
  const { snapshotId, uploads } = await call("prepareDataSnapshotUpload", { messageId, leaseId, files });
  known = {
    messageId,
    leaseId,
    conversationId,
    snapshotId,
    messageQueue: messageId,
    dataSnapshots: snapshotId,
    _storage: await uploadedFile(uploads[0].uploadUrl),
  };
});
afterAll(async () => {
  stranger?.close();
  await started?.close();
});

/** Calls each public function and tells what came back. A return means that it was let in. */
async function callAll(credentialOf: (() => WorkerCredential) | null): Promise<Map<string, unknown>> {
  const outcomes = new Map<string, unknown>();
  for (const { path, kind, args } of publicFunctions()) {
    const { credential: _generated, ...rest } = acceptable(args, known) as Record<string, unknown>;
    const sent = credentialOf === null ? rest : { ...rest, credential: credentialOf() };
    try {
      outcomes.set(path, { returned: (await stranger.call(kind, path, sent)).value });
    } catch (error) {
      if (!(error instanceof CallRefused)) throw error;
      outcomes.set(path, error.data ?? error.message);
    }
  }
  return outcomes;
}

describe("public functions", () => {
  test("are found in the deployment, and each takes a credential", () => {
    expect(publicFunctions().map(({ path }) => path)).toContain("worker:claim");
    const without = publicFunctions().filter(
      ({ args }) => args.type !== "object" || args.value["credential"]?.optional !== false,
    );
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  test("refuse a call without a credential and change no table", async () => {
    const before = await settledTables();
    for (const [path, outcome] of await callAll(null)) {
      expect(outcome, path).toMatch(/missing the required field `credential`/);
    }
    expect(await settledTables()).toEqual(before);
  });

  const mine = (): WorkerCredential => factory().workers[0]!;
  const theirs = (): WorkerCredential => factory().workers[1]!;
  const forged: Array<[string, () => WorkerCredential]> = [
    ["an empty one", () => ({ workerId: "", token: "" })],
    ["a wrong token", () => ({ ...mine(), token: tokenOf("somebody") })],
    ["a token that misses its last character", () => ({ ...mine(), token: mine().token.slice(0, -1) })],
    ["an unknown worker's name", () => ({ workerId: "w-unknown", token: tokenOf("w-unknown") })],
    ["another worker's token", () => ({ workerId: mine().workerId, token: theirs().token })],
    ["an endless token", () => ({ ...mine(), token: "x".repeat(100_000) })],
  ];
  test.each(forged)("refuse %s with the same words and change no table", async (_title, credential) => {
    const before = await settledTables();
    for (const [path, outcome] of await callAll(credential)) {
      expect(outcome, path).toMatchObject(UNAUTHORIZED);
    }
    expect(await settledTables()).toEqual(before);
  });

  test("give a worker nothing of another worker's turn, and change no table", async () => {
    const before = await settledTables();
    const fenced = publicFunctions().filter(
      ({ args }) => args.type === "object" && args.value["leaseId"] !== undefined,
    );
    expect(fenced.length).toBeGreaterThan(5);
    for (const { path, kind, args } of fenced) {
      const sent = { ...(acceptable(args, known) as object), credential: theirs() };
      const outcome = await stranger.call(kind, path, sent).then(
        ({ value }) => value as unknown,
        (error: unknown) => {
          if (error instanceof CallRefused && typeof error.data === "object") return null;
          throw error;
        },
      );
      const empty = [null, false];
      const nothing =
        typeof outcome === "object" && outcome !== null
          ? Object.values(outcome).every((value) => [...empty, 0, "stale"].includes(value as null))
          : empty.includes(outcome as null);
      expect(nothing, `${path} answered ${JSON.stringify(outcome)}`).toBe(true);
    }
    expect(await settledTables()).toEqual(before);
  });
});

test("internal functions do not exist for those without the admin key", async () => {
  const before = await settledTables();
  const internal = deployed.functions.filter(({ visibility }) => visibility === "internal");
  expect(internal.length).toBeGreaterThan(50);
  for (const { path, kind } of internal) {
    await expect(stranger.call(kind, path, {}), path).rejects.toThrow(/Could not find public function/);
  }
  expect(await settledTables()).toEqual(before);
});

test("HTTP routes that act refuse a call without a secret, and change no table", async () => {
  const before = await settledTables();
  const open: string[] = [];
  expect(deployed.routes.length).toBeGreaterThan(1);
  for (const { method, path } of deployed.routes) {
    const url = `${factory().backend.siteUrl}${path.replace(/\*$/, "x")}`;
    const response = await fetch(url, { method, ...(method === "GET" ? {} : { body: "{}" }) });
    await response.arrayBuffer();
    if (response.ok) open.push(`${method} ${path}`);
    else expect(response.status, `${method} ${path}`).toBeLessThan(500);
  }
  // What anybody may read: the description of the API, in which there is nothing of this environment.
  expect(open.filter((route) => !/^GET .*openapi/.test(route))).toEqual([]);
  expect(await settledTables()).toEqual(before);
});
