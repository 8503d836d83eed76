/**
 * The real handlers over the database in memory: queries, mutations, and a scheduler whose jobs run when the
 * simulation says so. Time is the simulation's; no timer of Node runs.
 */
import { getFunctionName } from "convex/server";
import * as agents from "../../runtime/convex/hydration/agents.ts";
import * as cancel from "../../runtime/convex/queue/cancel.ts";
import * as config from "../../runtime/convex/config/apply.ts";
import * as deadLetters from "../../runtime/convex/queue/deadLetters.ts";
import * as enqueue from "../../runtime/convex/queue/enqueue.ts";
import * as operators from "../../runtime/convex/queue/operators.ts";
import * as pause from "../../runtime/convex/queue/pause.ts";
import * as promote from "../../runtime/convex/queue/promote.ts";
import * as recovery from "../../runtime/convex/queue/recovery.ts";
import * as retention from "../../runtime/convex/queue/retention.ts";
import * as stats from "../../runtime/convex/queue/stats.ts";
import * as sweep from "../../runtime/convex/queue/sweep.ts";
import * as wake from "../../runtime/convex/queue/wake.ts";
import * as worker from "../../runtime/convex/worker.ts";
import { MemoryDb, MemoryQuery, type Usage } from "./memoryDb.ts";
import type { MemoryDoc } from "./memoryTable.ts";

const modules: Record<string, Record<string, unknown>> = {
  worker,
  "config/apply": config,
  "hydration/agents": agents,
  "queue/cancel": cancel,
  "queue/deadLetters": deadLetters,
  "queue/enqueue": enqueue,
  "queue/operators": operators,
  "queue/pause": pause,
  "queue/promote": promote,
  "queue/recovery": recovery,
  "queue/retention": retention,
  "queue/stats": stats,
  "queue/sweep": sweep,
  "queue/wake": wake,
};

type Handler = (ctx: unknown, args: Record<string, unknown>) => Promise<unknown>;

export type Job = { id: string; name: string; args: Record<string, unknown>; dueAt: number };

export class Backend {
  readonly db = new MemoryDb();
  readonly jobs = new Map<string, Job>();
  /** What the latest call read and wrote. */
  lastUsage: Usage = this.db.usage;
  #nextJob = 1;

  /** Calls a query or mutation by its path; a mutation that throws leaves nothing behind, jobs included. */
  async call<T>(path: string, args: Record<string, unknown> = {}): Promise<T> {
    const handler = handlerOf(path);
    const result = await this.db.transact(async () => await handler(this.#context(), args));
    this.lastUsage = { ...this.db.usage };
    return result as T;
  }

  /** Jobs that the simulation runs; those of other rooms are not its business. */
  isKnown(name: string): boolean {
    const [module = "", fn = ""] = name.split(":");
    return modules[module]?.[fn] !== undefined;
  }

  #schedule(dueAt: number, reference: unknown, args: Record<string, unknown>): string {
    const id = `_scheduled_functions:${this.#nextJob++}`;
    this.jobs.set(id, { id, name: getFunctionName(reference as never), args, dueAt });
    this.db.onRollback(() => this.jobs.delete(id));
    return id;
  }

  #context(): unknown {
    const { db } = this;
    const query = (table: string) => new MemoryQuery(db, table);
    return {
      db: {
        query,
        get: async (table: string, id?: string) =>
          id === undefined ? db.get(table.split(":")[0] ?? "", table) : db.get(table, id),
        insert: async (table: string, fields: Record<string, unknown>) => db.insert(table, fields),
        patch: async (...args: unknown[]) => db.patch(...tableIdRest(args)),
        replace: async (...args: unknown[]) => db.replace(...tableIdRest(args)),
        delete: async (...args: unknown[]) => {
          const [table, id] = tableIdRest(args);
          db.delete(table, id);
        },
        normalizeId: (table: string, id: string) => (id.startsWith(`${table}:`) ? id : null),
        system: { query, get: async () => null, normalizeId: () => null },
      },
      scheduler: {
        runAfter: async (ms: number, reference: unknown, args: Record<string, unknown>) =>
          this.#schedule(Date.now() + ms, reference, args),
        runAt: async (at: number, reference: unknown, args: Record<string, unknown>) =>
          this.#schedule(at, reference, args),
        cancel: async (id: string) => {
          const job = this.jobs.get(id);
          this.jobs.delete(id);
          if (job !== undefined) db.onRollback(() => this.jobs.set(id, job));
        },
      },
      storage: {
        getUrl: async () => null,
        delete: async () => {},
        generateUploadUrl: async () => "about:blank",
      },
      runMutation: async (reference: unknown, args: Record<string, unknown>) =>
        await handlerOf(getFunctionName(reference as never))(this.#context(), args),
    };
  }
}

function handlerOf(path: string): Handler {
  const [module = "", fn = ""] = path.split(":");
  const registered = modules[module]?.[fn] as { _handler?: Handler } | undefined;
  if (registered?._handler === undefined) throw new Error(`no function ${path}`);
  return registered._handler;
}

/** Both forms of Convex's writers: with the table's name first, and with the id alone. */
function tableIdRest(args: unknown[]): [string, string, Record<string, unknown>] {
  const [first, second, third] = args as [string, unknown, unknown];
  if (typeof second === "string") return [first, second, (third ?? {}) as MemoryDoc];
  return [first.split(":")[0] ?? "", first, (second ?? {}) as MemoryDoc];
}
