/** A seeded working day of people who write to their agents. Times in ms since midnight. */
import { seededRandom } from "../sim/random.ts";

export interface Turn {
  conversation: number;
  at: number;
  /** How long the turn runs on a worker, ms. */
  turnMs: number;
}

const HOUR = 3_600_000;
/** Share of the day's sittings that begin in each hour: little at night, peaks before and after noon. */
const BY_HOUR = [1, 0, 0, 0, 0, 1, 2, 4, 8, 10, 10, 8, 6, 8, 9, 9, 8, 6, 5, 5, 5, 4, 3, 2];
/** A sitting as in docs/costs.md: so many messages within so many minutes. */
const MESSAGES = 5;
const SITTING_MS = 5 * 60_000;
/** Turns last from the one to the other, short ones more often. */
const TURN_MS = { least: 3_000, most: 60_000 };

/** Every message of the day, by time. */
export function dayOfTraffic(seed: number, people: number, sittingsPerPerson: number): Turn[] {
  const random = seededRandom(seed);
  const hours = BY_HOUR.flatMap((weight, hour) => Array.from({ length: weight }, () => hour));
  const turns: Turn[] = [];
  for (let conversation = 0; conversation < people; conversation++) {
    for (let sitting = 0; sitting < sittingsPerPerson; sitting++) {
      const startsAt = (random.pick(hours) + random.next()) * HOUR;
      for (let message = 0; message < MESSAGES; message++) {
        const at = Math.min(24 * HOUR - 1, startsAt + random.next() * SITTING_MS);
        const turnMs = TURN_MS.least + (TURN_MS.most - TURN_MS.least) * random.next() ** 3;
        turns.push({ conversation, at: Math.floor(at), turnMs: Math.floor(turnMs) });
      }
    }
  }
  return turns.sort((a, b) => a.at - b.at);
}
