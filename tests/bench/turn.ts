/**
 * `npm run bench:turn`: from a person's message on Telegram to the delivered answer, with a model that answers at
 * once. Real backend, real worker process from its image tree, real gateway, embedded Telegram; only Fly is left out,
 * so that a cold turn is the worker's own start. `--json` prints one JSON object; every figure names its unit.
 *
 *   npm run bench:turn -- [--turns 200] [--conversations 20] [--cold 3] [--json]
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Person, Sent } from "../../local/environment/person.ts";
import { startTestModel } from "../../runtime/worker/testing/model.ts";
import { type FunctionTotals, until } from "../deployment/backend.ts";
import { Chat } from "../deployment/chat.ts";
import { BenchWorker, type Held } from "./turnWorker.ts";

const ANSWER_MS_MAX = 240_000;
const HOUR_MS = 3_600_000;
/** The scaler leaves the one worker alone, however often the bench kills it. */
const SCALING_AT_REST = {
  scaling: { workerLostAfterMs: HOUR_MS, reconcileIntervalMs: HOUR_MS, idleTimeoutMs: HOUR_MS },
};

/** One turn, ms each. The phases follow each other and add up to `delivered_ms`. */
interface Turn {
  delivered_ms: number;
  /** The person's message to its claim: webhook, enqueue, wake-up. */
  queue_wait_ms: number;
  /** Bundle, and restore where the worker does not hold the conversation. */
  hydrate_ms: number;
  model_ms: number;
  /** Transcript export, upload, finalize. */
  snapshot_ms: number;
  complete_ms: number;
  /** Answer stored to message in the chat. */
  delivery_ms: number;
}
interface Spread {
  p50: number;
  p95: number;
  max: number;
}
type Kind = "cold" | "first_turn" | "warm" | "restored";
interface Figures {
  turns: number;
  conversations: number;
  phases: Record<Kind, Record<keyof Turn, Spread>>;
  worker_calls_per_message: number;
  calls_per_message: Record<string, number>;
  uploaded_bytes_per_snapshot: Spread;
  held_after_boot: Held;
  /** What grows with the turns: after every {@link STEP} of them. */
  growth: Step[];
}
interface Step extends Held {
  turns: number;
  /** Of the turns since the step before. */
  delivered_ms: Spread;
  /** The deployment's database and its files. */
  backend_stored_bytes: number;
}
/** Turns between two looks at what grows. */
const STEP = 25;

function spread(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

function spreads(samples: readonly Turn[]): Record<keyof Turn, Spread> {
  const of = (name: keyof Turn): Spread => spread(samples.map((turn) => turn[name]));
  return {
    delivered_ms: of("delivered_ms"),
    queue_wait_ms: of("queue_wait_ms"),
    hydrate_ms: of("hydrate_ms"),
    model_ms: of("model_ms"),
    snapshot_ms: of("snapshot_ms"),
    complete_ms: of("complete_ms"),
    delivery_ms: of("delivery_ms"),
  };
}

const person = (index: number): Person => ({ id: 10_000 + index, first_name: `Person ${index}` });

class TurnBench {
  readonly #chat: Chat;
  readonly #worker: BenchWorker;
  readonly #modelUrl: string;

  constructor(chat: Chat, worker: BenchWorker, modelUrl: string) {
    this.#chat = chat;
    this.#worker = worker;
    this.#modelUrl = modelUrl;
  }

  startWorker(): void {
    this.#worker.start(this.#chat.factory.backend.url, this.#chat.worker, this.#modelUrl);
  }

  /** The message waits when its worker's process begins, as on a machine that was made for it. */
  async cold(who: Person): Promise<Turn> {
    await this.#worker.kill();
    const sent = await this.#chat.write(who, "The first message of a cold start.");
    this.startWorker();
    return await this.#measure(who, sent);
  }

  async ask(who: Person, text: string): Promise<Turn> {
    return await this.#measure(who, await this.#chat.write(who, text));
  }

  /** Waits for the answer and splits the time that it took. */
  async #measure(who: Person, sent: Sent): Promise<Turn> {
    const entry = await this.#chat.phone.answer(who, sent.after, ANSWER_MS_MAX);
    if (entry === null) throw new Error(`no answer within ${ANSWER_MS_MAX} ms`);
    const [times] = (
      await this.#chat.factory.backend.call("query", "factory:messageTimeline", {
        conversationId: this.#chat.conversationId(who),
        limit: 1,
      })
    ).value as Array<
      Record<"claimedAt" | "hydratedAt" | "modelDoneAt" | "answeredAt", number> & { messageId: string }
    >;
    if (times === undefined) throw new Error("the message has no timeline");
    const { turns } = this.#worker;
    await until("the worker has told of the turn", async () => turns.has(times.messageId));
    const snapshotMs = turns.get(times.messageId)?.snapshotMs ?? 0;
    return {
      delivered_ms: entry.at - sent.at,
      queue_wait_ms: times.claimedAt - sent.at,
      hydrate_ms: times.hydratedAt - times.claimedAt,
      model_ms: times.modelDoneAt - times.hydratedAt,
      snapshot_ms: snapshotMs,
      complete_ms: times.answeredAt - times.modelDoneAt - snapshotMs,
      delivery_ms: entry.at - times.answeredAt,
    };
  }
}

function storedBytes(dir: string): number {
  const entries = readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) =>
    entry.isFile(),
  );
  // A write-ahead log may be gone since it was listed.
  const sizes = entries.map(
    (entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Runs of each function per message. */
function callsPerMessage(
  before: Record<string, FunctionTotals>,
  after: Record<string, FunctionTotals>,
  messages: number,
): Record<string, number> {
  const calls: Record<string, number> = {};
  for (const [name, { calls: total }] of Object.entries(after)) {
    const made = total - (before[name]?.calls ?? 0);
    // What this bench itself asks, and what a worker says by the clock, is not part of a message's cost.
    if (made > 0 && !/^_system|messageTimeline|:heartbeat$/.test(name)) calls[name] = made / messages;
  }
  return calls;
}

interface Size {
  turns: number;
  conversations: number;
  cold: number;
}

async function run({ turns, conversations, cold }: Size, say: (line: string) => void): Promise<Figures> {
  const model = await startTestModel(() => ({ kind: "text", text: "A short answer." }));
  const chat = await Chat.start(null, SCALING_AT_REST);
  const worker = await BenchWorker.build();
  const { backend } = chat.factory;
  const bench = new TurnBench(chat, worker, model.url);
  const samples: Record<Kind, Turn[]> = { cold: [], first_turn: [], warm: [], restored: [] };
  try {
    for (let start = 1; start <= cold; start += 1) {
      samples.cold.push(await bench.cold(person(-start)));
      say(`cold start ${start}: delivered after ${samples.cold.at(-1)?.delivered_ms} ms`);
    }
    const heldAfterBoot = worker.held();

    for (let index = 0; index < conversations; index += 1)
      samples.first_turn.push(await bench.ask(person(index), "The first message of a conversation."));
    const earlier = new Set(worker.turns.keys());
    const before = await backend.metrics();
    const growth: Step[] = [];
    for (let turn = 1; turn <= turns; turn += 1) {
      const who = person(turn % conversations);
      samples.warm.push(await bench.ask(who, `Message number ${turn}, of ordinary length.`));
      if (turn % STEP !== 0 && turn !== turns) continue;
      const since = samples.warm.slice(growth.at(-1)?.turns ?? 0);
      growth.push({
        turns: turn,
        ...worker.held(),
        delivered_ms: spread(since.map(({ delivered_ms }) => delivered_ms)),
        backend_stored_bytes: storedBytes(backend.state),
      });
      say(`${turn} turns`);
    }
    const calls = callsPerMessage(before, await backend.metrics(), turns);
    const snapshots = [...worker.turns.values()].filter(({ messageId }) => !earlier.has(messageId));

    // Another worker on an empty disk: every conversation's next turn begins with a restore.
    await bench.cold(person(-cold - 1));
    for (let index = 0; index < conversations; index += 1)
      samples.restored.push(await bench.ask(person(index), "A message after the worker was killed."));

    const ofWorker = Object.entries(calls).filter(([name]) => /^worker(\.js)?:/.test(name));
    return {
      turns,
      conversations,
      phases: {
        cold: spreads(samples.cold),
        first_turn: spreads(samples.first_turn),
        warm: spreads(samples.warm),
        restored: spreads(samples.restored),
      },
      worker_calls_per_message: ofWorker.reduce((sum, [, count]) => sum + count, 0),
      calls_per_message: calls,
      uploaded_bytes_per_snapshot: spread(snapshots.map(({ uploadedBytes }) => uploadedBytes)),
      held_after_boot: heldAfterBoot,
      growth,
    };
  } finally {
    await worker.remove();
    await chat.close();
    await model.close();
  }
}

function print(figures: Figures, say: (line: string) => void): void {
  const row = (name: string, cells: ReadonlyArray<string | number>): void =>
    say(`${name.padEnd(18)} ${cells.map((cell) => String(cell).padStart(10)).join(" ")}`);
  for (const [kind, phases] of Object.entries(figures.phases)) {
    say("");
    row(kind, ["p50", "p95", "max"]);
    for (const [name, { p50, p95, max }] of Object.entries(phases)) row(`  ${name}`, [p50, p95, max]);
  }
  say(`\ncalls of the worker per message: ${figures.worker_calls_per_message.toFixed(2)}`);
  for (const [name, count] of Object.entries(figures.calls_per_message))
    say(`  ${name.padEnd(45)} ${count.toFixed(2)}`);
  const { p50, max } = figures.uploaded_bytes_per_snapshot;
  say(`bytes uploaded per snapshot: p50 ${p50}, max ${max}`);
  const columns = ["worker MB", "files", "gateway MB", "files", "stored KB", "p50 ms", "p95 ms"];
  const cells = ({ worker_mb, worker_open_files, gateway_mb, gateway_open_files }: Held): number[] => [
    worker_mb,
    worker_open_files,
    gateway_mb,
    gateway_open_files,
  ];
  say("");
  row("held after", columns);
  row("  boot", cells(figures.held_after_boot));
  for (const { turns, delivered_ms, backend_stored_bytes, ...held } of figures.growth) {
    const stored = Math.round(backend_stored_bytes / 1_024);
    row(`  ${turns} turns`, [...cells(held), stored, delivered_ms.p50, delivered_ms.p95]);
  }
}

const { values } = parseArgs({
  options: {
    turns: { type: "string", default: "200" },
    conversations: { type: "string", default: "20" },
    cold: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const size: Size = {
  turns: Number(values.turns),
  conversations: Number(values.conversations),
  cold: Number(values.cold),
};
if (!Object.values(size).every((count) => Number.isInteger(count) && count > 0)) {
  process.stderr.write("--turns, --conversations and --cold take whole numbers above 0.\n");
  process.exit(1);
}
const say = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};
const figures = await run(size, say);
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
else print(figures, say);
