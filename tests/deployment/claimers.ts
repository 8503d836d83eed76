/**
 * Workers without an agent, in a process of their own: each claims, answers at once, and claims again. Forked by
 * `startClaimers`; what it did comes back over the process channel, with times of the one clock that all share.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Claim, WorkerCredential } from "../../runtime/convex/validators.ts";
import { CallRefused, Wire } from "./wire.ts";

/** One lease that a claimer held, from the reply of its claim to just before it sent its answer. */
export interface Turn {
  readonly workerId: string;
  readonly conversationId: string;
  readonly messageId: string;
  readonly text: string;
  readonly attempt: number;
  /** Monotonic, ms, comparable between processes of one machine. */
  readonly heldFromMs: number;
  readonly heldToMs: number;
  /** unknown: the reply was lost and the repeated call found the lease gone, as after a completion. */
  readonly outcome: "completed" | "refused" | "unknown";
}

interface Order {
  readonly url: string;
  readonly workers: readonly WorkerCredential[];
}

const IDLE_PAUSE_MS = 20;
const REPEAT_PAUSE_MS = 100;
/** Longer than the backend takes to come back after a kill. */
const REPEATS_MAX = 300;
const TURN_MS_MAX = 10;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nowMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** The turn's two lines of history, by which a test sees how often and in which order it was answered. */
export const historyOf = (text: string): Array<{ role: "user" | "assistant"; content: string }> => [
  { role: "user", content: text },
  { role: "assistant", content: `answer to ${text}` },
];

export interface Claimers {
  /** Lets every turn in hand end, and tells all turns. */
  stop(): Promise<Turn[]>;
}

/** @param processes between which the workers are dealt out */
export function startClaimers(
  url: string,
  workers: readonly WorkerCredential[],
  processes: number,
): Claimers {
  const children = Array.from({ length: processes }, (_, index): ChildProcess => {
    const child = fork(fileURLToPath(import.meta.url), { execArgv: [] });
    const order: Order = { url, workers: workers.filter((_worker, at) => at % processes === index) };
    child.send(order);
    return child;
  });
  return {
    async stop() {
      const told = children.map(async (child) => {
        const done = Promise.race([
          once(child, "message"),
          once(child, "exit").then(() => {
            throw new Error("a claimer's process ended early");
          }),
        ]);
        child.send("stop");
        const [turns] = (await done) as [Turn[]];
        if (child.exitCode === null) await once(child, "exit");
        return turns;
      });
      return (await Promise.all(told)).flat();
    },
  };
}

/** Repeats a call until somebody answers it; every call of a worker is idempotent or fenced. */
async function insist(
  wire: Wire,
  name: string,
  args: object,
): Promise<{ value: unknown; repeated: boolean }> {
  for (let repeat = 0; ; repeat++) {
    try {
      return { value: (await wire.call("mutation", `worker:${name}`, args)).value, repeated: repeat > 0 };
    } catch (error) {
      if (error instanceof CallRefused || repeat === REPEATS_MAX) throw error;
      await pause(REPEAT_PAUSE_MS);
    }
  }
}

async function work(wire: Wire, credential: WorkerCredential, state: { stop: boolean }): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (let number = 0; !state.stop; number++) {
    const claimKey = `${credential.workerId}-${process.pid}-${number}`;
    const claim = (await insist(wire, "claim", { credential, claimKey })).value as Claim | null;
    if (claim === null) {
      await pause(IDLE_PAUSE_MS);
      continue;
    }
    const heldFromMs = nowMs();
    await pause(Math.random() * TURN_MS_MAX);
    const { messageId, leaseId, conversationId, attempt } = claim;
    const text = claim.payload.messageText;
    const heldToMs = nowMs();
    const answer = { credential, messageId, leaseId, answer: { text: "ok" }, history: historyOf(text) };
    const { value, repeated } = await insist(wire, "complete", answer);
    const outcome = value === true ? "completed" : repeated ? "unknown" : "refused";
    const { workerId } = credential;
    turns.push({ workerId, conversationId, messageId, text, attempt, heldFromMs, heldToMs, outcome });
  }
  return turns;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [order] = (await once(process, "message")) as [Order];
  const state = { stop: false };
  process.once("message", () => (state.stop = true));
  process.once("disconnect", () => process.exit(1));
  const wire = new Wire(order.url, null);
  const turns = await Promise.all(order.workers.map((worker) => work(wire, worker, state)));
  wire.close();
  process.removeAllListeners("disconnect");
  process.send?.(turns.flat(), () => process.disconnect());
}
