/** The queue under real races: over HTTP, between processes, on the backend that people deploy. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim, WorkerCredential } from "../../runtime/convex/validators.ts";
import { until } from "../deployment/backend.ts";
import { historyOf, startClaimers, type Turn } from "../deployment/claimers.ts";
import { enqueueArgs, Factory } from "../deployment/factory.ts";
import { CallRefused, type Wire } from "../deployment/wire.ts";

const CLAIMERS = 16;
const PROCESSES = 4;
const KILLS = 2;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The least time between two claimers' hold of one conversation; negative when they overlapped. */
function leastGapMs(turns: readonly Turn[]): number {
  let least = Infinity;
  for (const [, held] of Map.groupBy(turns, (turn) => turn.conversationId)) {
    const sorted = held.toSorted((a, b) => a.heldFromMs - b.heldFromMs);
    for (const [index, turn] of sorted.entries()) {
      const before = sorted[index - 1];
      if (before !== undefined) least = Math.min(least, turn.heldFromMs - before.heldToMs);
    }
  }
  return least;
}

/** What each conversation's history says, in its order. */
async function histories(factory: Factory): Promise<Map<string, string[]>> {
  const names = new Map<string, string>(
    (await factory.backend.table("conversations")).map((row) => [row._id, row.conversationId]),
  );
  const rows = (await factory.backend.table("conversationMessages")).toSorted((a, b) => a.seq - b.seq);
  const told = Map.groupBy(rows, (row) => names.get(row.conversation as string) ?? "");
  return new Map([...told].map(([name, found]) => [name, found.map((row) => row.content as string)]));
}

const answered = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => historyOf(text).map(({ content }) => content));

async function drained(factory: Factory): Promise<void> {
  await until("the queue is drained", async () => {
    const stats = (await factory.backend.call("query", "factory:queueStats")).value;
    return stats.queuedReady + stats.queuedDelayed + stats.processing === 0;
  });
}

describe("many workers and one queue", () => {
  let started: Factory | undefined;
  beforeAll(async () => {
    started = await Factory.start({ workers: CLAIMERS, config: { retry: { maxAttempts: 50 } } });
  });
  afterAll(() => started?.close());

  test("a hundred simultaneous copies of one Telegram update are one message", async () => {
    const factory = started!;
    const statuses = await Promise.all(
      Array.from({ length: 100 }, () => factory.deliverUpdate(7, 42, "hello")),
    );
    expect(statuses.filter((status) => status === 202)).toHaveLength(1);
    expect(statuses.filter((status) => status === 200)).toHaveLength(99);
    expect(await factory.backend.table("messageQueue")).toHaveLength(1);
    expect(await factory.backend.table("telegramUpdates")).toHaveLength(1);
  });

  test("16 claimers on 200 conversations: no conversation is held twice, and each is answered in order", async () => {
    const factory = started!;
    const conversations = Array.from({ length: 200 }, (_, index) => `race-${index}`);
    const texts = ["0", "1", "2"];
    const wire = factory.backend.wire(true);
    const claimers = startClaimers(factory.backend.url, factory.workers, PROCESSES);
    for (const text of texts) {
      await Promise.all(
        conversations.map((name) => wire.call("mutation", "factory:enqueue", enqueueArgs(name, text))),
      );
    }
    await drained(factory);
    const turns = await claimers.stop();
    wire.close();
    const raced = turns.filter(({ conversationId }) => conversationId.startsWith("race-"));
    expect(raced).toHaveLength(conversations.length * texts.length);
    expect(new Set(raced.map(({ messageId }) => messageId)).size).toBe(raced.length);
    expect(raced.every(({ outcome, attempt }) => outcome === "completed" && attempt === 1)).toBe(true);
    expect(leastGapMs(raced)).toBeGreaterThanOrEqual(0);
    expect(new Set(raced.map(({ workerId }) => workerId)).size).toBeGreaterThan(1);
    const told = await histories(factory);
    for (const name of conversations) expect(told.get(name)).toEqual(answered(texts));
  });

  test("a backend killed amid enqueues, claims and completions loses and doubles nothing", async () => {
    const factory = started!;
    const conversations = Array.from({ length: 12 }, (_, index) => `killed-${index}`);
    const texts = Array.from({ length: 40 }, (_, index) => `${index}`);
    const claimers = startClaimers(factory.backend.url, factory.workers, PROCESSES);
    let accepted = 0;
    const lost = { replies: 0 };
    const wire = factory.backend.wire(true);
    const write = async (name: string, text: string): Promise<void> => {
      for (let repeat = 0; ; repeat++) {
        try {
          await wire.call("mutation", "factory:enqueue", enqueueArgs(name, text));
          accepted += 1;
          return;
        } catch (error) {
          if (error instanceof CallRefused || repeat === 300) throw error;
          lost.replies += 1;
          await pause(100);
        }
      }
    };
    const stream = Promise.all(
      conversations.map(async (name) => {
        for (const text of texts) await write(name, text);
      }),
    );
    const all = conversations.length * texts.length;
    for (let kill = 1; kill <= KILLS; kill++) {
      const at = (all * kill) / (KILLS + 1);
      await until("the stream is under way", async () => accepted >= at);
      await factory.backend.kill();
      await factory.backend.boot();
    }
    await stream;
    await drained(factory);
    const turns = (await claimers.stop()).filter((turn) => turn.conversationId.startsWith("killed-"));
    wire.close();
    expect(lost.replies).toBeGreaterThan(0);
    expect(turns.filter(({ outcome }) => outcome === "refused")).toEqual([]);
    expect(turns.length).toBe(all);
    const told = await histories(factory);
    for (const name of conversations) expect(told.get(name)).toEqual(answered(texts));
    const rows = (await factory.backend.table("messageQueue")).filter((row) =>
      row.conversationId.startsWith("killed-"),
    );
    expect(rows).toHaveLength(all);
    expect(rows.every((row) => row.status === "done" && row.attempts === 1)).toBe(true);
  });
});

/** A claim and the completion that belongs to it. */
class Holder {
  readonly #wire: Wire;
  readonly #credential: WorkerCredential;
  #claims = 0;

  constructor(wire: Wire, credential: WorkerCredential) {
    this.#wire = wire;
    this.#credential = credential;
  }

  async claim(): Promise<Claim | null> {
    const claimKey = `${this.#credential.workerId}-${++this.#claims}`;
    const args = { credential: this.#credential, claimKey };
    return (await this.#wire.call("mutation", "worker:claim", args)).value;
  }

  async complete({ messageId, leaseId }: Claim, text: string): Promise<boolean> {
    const history = [{ role: "assistant", content: text }];
    const args = { credential: this.#credential, messageId, leaseId, answer: { text }, history };
    return (await this.#wire.call("mutation", "worker:complete", args)).value;
  }
}

describe("a completion against the expiry of its lease", () => {
  let started: Factory | undefined;
  let wire: Wire;
  let first: Holder;
  let second: Holder;
  let alive: NodeJS.Timeout | undefined;
  let beatError: Error | null = null;
  beforeAll(async () => {
    started = await Factory.start({
      workers: 2,
      config: {
        lease: { leaseMs: 5_000, heartbeatIntervalMs: 1_000 },
        scaling: { jobsPerWorker: 64 },
      },
    });
    wire = started.backend.wire(false);
    // The holders live: what expires here are leases, while their machines stay.
    alive = setInterval(() => {
      for (const credential of started?.workers ?? [])
        wire
          .call("mutation", "worker:heartbeat", { credential })
          .catch((error: Error) => (beatError = error));
    }, 1_000);
    const [one, two] = started.workers;
    first = new Holder(wire, one!);
    second = new Holder(wire, two!);
  });
  afterAll(async () => {
    clearInterval(alive);
    wire.close();
    await started?.close();
    if (beatError !== null) throw beatError;
  });

  const rowOf = async ({ messageId }: Claim) =>
    (await started!.backend.table("messageQueue")).find((row) => row._id === messageId);

  test("completion first: the expiry that follows changes nothing", async () => {
    await started!.write("completed-first", "hello");
    const claim = (await first.claim())!;
    expect(await first.complete(claim, "from the holder")).toBe(true);
    const before = await rowOf(claim);
    await pause(claim.leaseExpiresAt - Date.now() + 1_500);
    expect(await rowOf(claim)).toEqual(before);
    expect(before).toMatchObject({ status: "done", attempts: 1, answerText: "from the holder" });
    expect(await second.claim()).toBeNull();
  });

  test("expiry first: the late completion is refused, before and after the message is held again", async () => {
    await started!.write("expired-first", "hello");
    const claim = (await first.claim())!;
    await until("the lease is taken back", async () => (await rowOf(claim))?.status === "queued");
    expect(await first.complete(claim, "too late")).toBe(false);
    const again = (await second.claim())!;
    expect(again).toMatchObject({ messageId: claim.messageId, attempt: 2 });
    expect(await first.complete(claim, "too late")).toBe(false);
    expect(await second.complete(again, "from the second holder")).toBe(true);
    expect(await first.complete(claim, "too late")).toBe(false);
    expect((await histories(started!)).get("expired-first")).toEqual(["from the second holder"]);
    expect(await rowOf(claim)).toMatchObject({ status: "done", answerText: "from the second holder" });
  });

  test("at the very moment: exactly one of completion and recovery wins, and its end stays", async () => {
    const names = Array.from({ length: 60 }, (_, index) => `edge-${index}`);
    for (const name of names) await started!.write(name, name);
    const claims: Claim[] = [];
    for (const _name of names) claims.push((await first.claim())!);
    // From well before the expiry to well after it, densest around it.
    const outcomes = await Promise.all(
      claims.map(async (claim, index) => {
        const offsetMs = ((index - claims.length / 2) / 10) ** 3 * 60;
        await pause(Math.max(0, claim.leaseExpiresAt + offsetMs - Date.now()));
        return await first.complete(claim, "from the first holder");
      }),
    );
    expect(outcomes).toContain(true);
    expect(outcomes).toContain(false);
    const open = claims.filter((_claim, index) => outcomes[index] === false);
    await until("what expired is due again", async () => {
      const rows = await started!.backend.table("messageQueue");
      return open.every((claim) => rows.find((row) => row._id === claim.messageId)?.status === "queued");
    });
    for (let taken = 0; taken < open.length; taken++) {
      const claim = (await second.claim())!;
      expect(await second.complete(claim, "from the second holder")).toBe(true);
    }
    expect(await second.claim()).toBeNull();
    const told = await histories(started!);
    for (const [index, name] of names.entries()) {
      expect(told.get(name)).toEqual([`from the ${outcomes[index] === true ? "first" : "second"} holder`]);
    }
  });
});
