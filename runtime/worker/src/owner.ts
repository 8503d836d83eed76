/**
 * Dedication: a worker serves one owner (agent or conversation) at a time, and wipes everything when the owner
 * changes. The backend assigns work accordingly, and says with each claim what the config asks for now; this guard
 * is what makes it true on the machine.
 */
import type { Claim } from "../../convex/validators.ts";

export interface OwnerGuard {
  /**
   * Waits until no other owner's turn runs, wipes if the owner changes, then runs the turn.
   *
   * @throws {WorkerSpent} when this worker may not serve another owner any more.
   */
  serve<T>(claim: Claim, work: () => Promise<T>): Promise<T>;
}

/** The former owner could run commands: what it started may still run, and only the end of the machine ends it. */
export class WorkerSpent extends Error {
  override name = "WorkerSpent";
  constructor() {
    super("This worker ran commands for another owner and serves nobody else");
  }
}

export interface OwnerGuardOptions {
  /** Removes everything of the former owner. */
  wipe(): Promise<void>;
  isSpent(): boolean;
}

/** All owners of a worker that is not dedicated are one: it is wiped when it becomes dedicated, and never between them. */
const EVERYBODY = "everybody";

function ownerOf(claim: Claim): string {
  switch (claim.dedication) {
    case "agent":
      return `agent ${claim.agentKey}`;
    case "conversation":
      return `conversation ${claim.conversationId}`;
    case "none":
      return EVERYBODY;
  }
}

export function createOwnerGuard(options: OwnerGuardOptions): OwnerGuard {
  let owner: string | null = null;
  let running = 0;
  /** Entries are decided one after another, so that two new owners cannot both find the worker empty. */
  let entering: Promise<void> = Promise.resolve();
  let whenEmpty: (() => void) | null = null;

  const enter = async (next: string): Promise<void> => {
    if (owner !== next) {
      if (running > 0) await new Promise<void>((resolve) => (whenEmpty = resolve));
      // The first owner of a worker finds a fresh disk.
      if (owner !== null) {
        if (options.isSpent()) throw new WorkerSpent();
        await options.wipe();
      }
      owner = next;
    }
    running += 1;
  };

  return {
    serve: async (claim, work) => {
      const next = ownerOf(claim);
      const entered = entering.then(() => enter(next));
      entering = entered.catch(() => undefined);
      await entered;
      try {
        return await work();
      } finally {
        running -= 1;
        if (running === 0) whenEmpty?.();
      }
    },
  };
}
