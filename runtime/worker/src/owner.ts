/**
 * Dedication: a worker serves one owner (agent or conversation) at a time, and wipes everything when the owner
 * changes. The backend assigns work accordingly; this guard is what makes it true on the machine.
 */
import type { Claim } from "../../convex/validators.ts";
import type { Dedication } from "./agent/toolPolicy.ts";

export interface OwnerGuard {
  /** Waits until no other owner's turn runs, wipes if the owner changes, then runs the turn. */
  serve<T>(claim: Claim, work: () => Promise<T>): Promise<T>;
}

export function createOwnerGuard(dedication: Dedication, wipe: () => Promise<void>): OwnerGuard {
  if (dedication === "none") return { serve: (_claim, work) => work() };
  let owner: string | null = null;
  let running = 0;
  /** Entries are decided one after another, so that two new owners cannot both find the worker empty. */
  let entering: Promise<void> = Promise.resolve();
  let whenEmpty: (() => void) | null = null;

  const enter = async (next: string): Promise<void> => {
    if (owner !== next) {
      if (running > 0) await new Promise<void>((resolve) => (whenEmpty = resolve));
      // The first owner of a worker finds a fresh disk.
      if (owner !== null) await wipe();
      owner = next;
    }
    running += 1;
  };

  return {
    serve: async (claim, work) => {
      const next = dedication === "agent" ? claim.agentKey : claim.conversationId;
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
