/** Which update goes next. Pure: it knows no clock, network or database. */
export interface DeliveryQueue {
  /** Adds an update behind the others of its key. */
  add(key: string, updateId: number): void;
  /** The next update that may be sent now; its key stays taken until `done` or `retry`. */
  take(now: number): { key: string; updateId: number } | undefined;
  /** The key's first update is settled: the next one of that key may go. */
  done(key: string): void;
  /** The key's first update failed and holds its key back until `at` (ms). */
  retry(key: string, at: number): void;
  /** When the earliest waiting key becomes ready; undefined when none waits. */
  nextReadyAt(): number | undefined;
}

/**
 * One line of updates per key (Telegram's rule: a chat's updates arrive in order, a failing one holds back only its
 * own chat). Keys that are ready are served in the order in which they became ready.
 */
export function createDeliveryQueue(): DeliveryQueue {
  const lines = new Map<string, number[]>();
  const ready: string[] = [];
  const waiting = new Map<string, number>();

  const line = (key: string): number[] => {
    const found = lines.get(key);
    if (!found) throw new Error(`no updates are queued for key '${key}'`);
    return found;
  };

  return {
    add(key, updateId) {
      const existing = lines.get(key);
      if (existing) {
        existing.push(updateId);
        return;
      }
      lines.set(key, [updateId]);
      ready.push(key);
    },
    take(now) {
      for (const [key, at] of waiting) {
        if (at > now) continue;
        waiting.delete(key);
        ready.push(key);
      }
      const key = ready.shift();
      if (key === undefined) return undefined;
      const [updateId] = line(key);
      if (updateId === undefined) throw new Error(`the line of key '${key}' is empty`);
      return { key, updateId };
    },
    done(key) {
      const updates = line(key);
      updates.shift();
      if (updates.length === 0) lines.delete(key);
      else ready.push(key);
    },
    retry(key, at) {
      line(key);
      waiting.set(key, at);
    },
    nextReadyAt() {
      let earliest: number | undefined;
      for (const at of waiting.values()) earliest = earliest === undefined ? at : Math.min(earliest, at);
      return earliest;
    },
  };
}
