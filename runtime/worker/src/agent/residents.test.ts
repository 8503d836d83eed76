import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HydrationBundle, SnapshotForRestore } from "../../../convex/validators.ts";
import type { AgentEngine } from "./engine.ts";
import { createResidents, type Residents } from "./residents.ts";
import type { EngineSession } from "./sessions.ts";

let dir: string;
let lost: Set<string>;
let residents: Residents;
let close: (session: EngineSession) => Promise<void>;
const signal = new AbortController().signal;

/** Sessions that exist until the test loses them. */
const engine = {
  openSession: (key: string) => Promise.resolve({ key } as EngineSession),
  isCurrent: ({ key }: EngineSession) => !lost.has(key),
  importTranscript: () => Promise.resolve(),
  closeSession: (session: EngineSession) => close(session),
} as unknown as AgentEngine;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "af-residents-"));
  lost = new Set();
  close = () => Promise.resolve();
  residents = createResidents({
    engine,
    dir,
    keptMax: 1,
    skills: [],
    onCleanupError: () => undefined,
    onForeignSkills: () => undefined,
  });
});
afterEach(async () => {
  close = () => Promise.resolve();
  residents.evictAll();
  await residents.settled();
  await rm(dir, { recursive: true });
});

const snapshot = (version: number): SnapshotForRestore =>
  ({ snapshotId: `s${version}`, version, files: [] }) as unknown as SnapshotForRestore;

/** What the backend says to a worker that holds nothing. */
function whole(conversationId: string, version: number | null): HydrationBundle {
  return {
    conversationId,
    profile: {
      agentKey: "default",
      version: "1",
      revision: 1,
      soulMd: "",
      skills: [],
      toolPolicy: { allow: [], deny: [] },
      bridgeFunctions: [],
    },
    profileRevision: 1,
    history: [],
    historyThrough: 0,
    snapshotVersion: version,
    snapshot: version === null ? null : snapshot(version),
  } as unknown as HydrationBundle;
}
/** What it says to one that holds everything of that version. */
const held = (conversationId: string, version: number | null): HydrationBundle => ({
  ...whole(conversationId, version),
  profile: null,
  snapshot: null,
});

test("a conversation that another worker has moved on arrives anew from its snapshot, without an error", async () => {
  const first = await residents.obtain(whole("c1", null), "none", signal);
  expect(residents.holds("c1")).toEqual({ profileRevision: 1, historyThrough: 0 });
  const moved = { ...held("c1", 7), snapshot: snapshot(7) };
  expect(await residents.obtain(moved, "none", signal)).toBeNull();
  const second = await residents.obtain(whole("c1", 7), "none", signal);
  expect(second?.snapshotVersion).toBe(7);
  expect(second?.folder).not.toBe(first?.folder);
});

test("a conversation that was evicted after the backend was asked needs the whole bundle", async () => {
  await residents.obtain(whole("c1", null), "none", signal);
  await residents.obtain(whole("c2", null), "none", signal);
  expect(await residents.obtain(held("c1", null), "none", signal)).toBeNull();
  expect(await residents.obtain(whole("c1", null), "none", signal)).not.toBeNull();
});

test("a session that was lost with its gateway needs the whole bundle, a living one none of it", async () => {
  const first = await residents.obtain(whole("c1", 3), "none", signal);
  expect(await residents.obtain(held("c1", 3), "none", signal)).toBe(first);
  lost.add(first?.session.key ?? "");
  expect(residents.holds("c1")).toBeNull();
  expect(await residents.obtain(held("c1", 3), "none", signal)).toBeNull();
});

describe("conversations that leave", () => {
  /** Closings under way, and how each of them ends. */
  let closing: Array<{ key: string; done: () => void; fail: (error: Error) => void }>;
  beforeEach(() => {
    closing = [];
    close = ({ key }) => new Promise((resolve, reject) => closing.push({ key, done: resolve, fail: reject }));
  });
  const arrive = (name: string) => residents.obtain(whole(name, null), "none", signal);
  const nextClosing = () => vi.waitUntil(() => closing.shift());

  test("are closed one after another, and one that cannot be closed holds nobody up", async () => {
    for (const name of ["c1", "c2", "c3"]) await arrive(name);
    const first = await nextClosing();
    expect(closing).toEqual([]);
    first.fail(new Error("still active"));
    const second = await nextClosing();
    expect(second.key).not.toBe(first.key);
    second.done();
    await residents.settled();
    expect(await readdir(dir)).toHaveLength(1);
  });

  test("make the next one wait while too many of them are undone", async () => {
    for (const name of ["c1", "c2", "c3"]) await arrive(name); // Two leave; one may wait.
    let hasArrived = false;
    const fourth = arrive("c4").then(() => (hasArrived = true));
    (await nextClosing()).done();
    const last = await nextClosing();
    expect(hasArrived).toBe(false);
    last.done();
    await fourth;
    (await nextClosing()).done();
  });

  test("are not waited for by a turn that has ended", async () => {
    for (const name of ["c1", "c2", "c3"]) await arrive(name);
    const ended = new AbortController();
    const fourth = residents.obtain(whole("c4", null), "none", ended.signal);
    ended.abort(new Error("cancelled"));
    await expect(fourth).rejects.toThrow("cancelled");
    for (let left = 2; left > 0; left -= 1) (await nextClosing()).done();
  });
});
