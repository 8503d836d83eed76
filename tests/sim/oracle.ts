/** A model of the queue that knows nothing of its tables: it watches calls and their results. */
import type { Claim } from "../../runtime/convex/validators.ts";
import type { Doc } from "../../runtime/convex/_generated/dataModel.js";
import type { Backend } from "./backend.ts";

/** Invariant 7, and the calls that it is about. */
const READS_MAX = 15;
const BOUNDED = new Set([
  "queue/enqueue:enqueue",
  "worker:claim",
  "worker:heartbeat",
  "worker:complete",
  "worker:fail",
  "worker:release",
]);

/** Calls that only the holder of a live lease may make, and what a stale holder gets. */
const FENCED: Record<string, string> = {
  "worker:heartbeat": "false",
  "worker:complete": "false",
  "worker:release": "false",
  "worker:fail": '{"requeued":false,"deadLettered":false,"nextScheduledFor":null}',
  "worker:appendConversationMessages": '{"updated":false,"messageCount":0}',
  "worker:getHydrationBundle": "null",
};

export class Oracle {
  readonly problems: string[] = [];
  /** Ordinary messages of each conversation in the order of their arrival. */
  readonly #arrivals = new Map<string, string[]>();
  readonly #accepted = new Set<string>();
  readonly #backend: Backend;
  maxReads: Record<string, number> = {};

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  accepted(messageId: string, conversationId: string, ordinary: boolean): void {
    if (this.#accepted.has(messageId)) return;
    this.#accepted.add(messageId);
    if (ordinary)
      this.#arrivals.set(conversationId, [...(this.#arrivals.get(conversationId) ?? []), messageId]);
  }

  /** A replayed dead letter joins the line again at its end: from then on it is no ordinary arrival. */
  replayed(messageId: string): void {
    for (const [conversationId, ids] of this.#arrivals) {
      this.#arrivals.set(
        conversationId,
        ids.filter((id) => id !== messageId),
      );
    }
  }

  noteUsage(path: string): void {
    const { documentsRead } = this.#backend.lastUsage;
    this.maxReads[path] = Math.max(this.maxReads[path] ?? 0, documentsRead);
    if (BOUNDED.has(path) && documentsRead > READS_MAX) {
      this.problems.push(`bounded: ${path} read ${documentsRead} documents`);
    }
  }

  #message(id: string): Doc<"messageQueue"> | undefined {
    return this.#backend.db.table("messageQueue").docs.get(id) as unknown as Doc<"messageQueue"> | undefined;
  }

  /** Whether the lease named by a call is its caller's and lives, as of now. */
  holdsLease(workerId: string, args: Record<string, unknown>): boolean {
    const message = this.#message(String(args["messageId"]));
    return (
      message?.status === "processing" &&
      message.leaseId === args["leaseId"] &&
      message.workerId === workerId &&
      (message.leaseExpiresAt ?? 0) > Date.now()
    );
  }

  fencedCall(
    path: string,
    workerId: string,
    args: Record<string, unknown>,
    held: boolean,
    reply: unknown,
  ): void {
    const refused = FENCED[path];
    if (refused === undefined || held || args["messageId"] === undefined) return;
    const got = JSON.stringify(reply);
    if (got !== refused) this.problems.push(`fence: ${workerId} got ${got} from ${path} without the lease`);
  }

  claimed(claim: Claim): void {
    if (!this.#accepted.has(claim.messageId))
      this.problems.push(`claim: ${claim.messageId} was never accepted`);
    const line = this.#arrivals.get(claim.conversationId) ?? [];
    const place = line.indexOf(claim.messageId);
    for (const earlier of place < 0 ? [] : line.slice(0, place)) {
      const status = this.#message(earlier)?.status;
      if (status === "queued" || status === "processing") {
        this.problems.push(`order: ${claim.messageId} was claimed before ${earlier}, which is ${status}`);
      }
    }
  }

  /** Invariant 1, at the end: nothing that was accepted is anywhere but at an end. */
  lost(): string[] {
    return [...this.#accepted].filter((id) => {
      const status = this.#message(id)?.status;
      return status !== "done" && status !== "dead_letter" && status !== "cancelled";
    });
  }
}
