import * as z from "zod";
import { CAPACITY_SCOPES } from "./capacity.ts";

/** Longest time a fault may hold a request, so that a forgotten rule cannot pin sockets for ever. */
const HOLD_MS_MAX = 600_000;
const RULES_MAX = 1_000;

const when = z.enum(["before", "after"]).default("before");

const effectSchema = z.discriminatedUnion("kind", [
  /** Answers this instead of acting (`when: before`) or after having acted (`after`: a lying gateway). */
  z.object({
    kind: z.literal("status"),
    status: z.number().int().min(200).max(599),
    body: z.unknown().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    when,
  }),
  z.object({ kind: z.literal("capacity"), scope: z.enum(CAPACITY_SCOPES) }),
  /** Never answers: holds the connection, then drops it. `after` = the request took effect. */
  z.object({
    kind: z.literal("timeout"),
    when,
    holdMs: z.number().int().min(0).max(HOLD_MS_MAX).default(60_000),
  }),
  z.object({ kind: z.literal("reset"), when }),
  z.object({ kind: z.literal("slow"), delayMs: z.number().int().min(0).max(HOLD_MS_MAX) }),
  /** A machine list answers an empty page whose cursor leads to the page it should have been. */
  z.object({ kind: z.literal("emptyPage") }),
]);

const selectorSchema = z.object({
  id: z.string().min(1).optional(),
  /** operationId, or a prefix ending in `*`. Registry and GraphQL calls are `registry.<name>`, `graphql.<field>`. */
  operation: z.string().default("*"),
  app: z.string().optional(),
  /** Which of the matching calls, counted from 1. Omitted = each. */
  nth: z.union([z.number().int().min(1), z.array(z.number().int().min(1)).max(1_000)]).optional(),
  /** Chance per matching call, drawn from a generator of its own seeded with `seed`. */
  probability: z.number().min(0).max(1).optional(),
  seed: z.number().int().default(1),
  /** Fires at most this often. */
  times: z.number().int().min(1).optional(),
});

export const faultRuleSchema = z.intersection(selectorSchema, effectSchema);
export const faultRulesSchema = z.array(faultRuleSchema).max(RULES_MAX);
export type FaultRule = z.output<typeof faultRuleSchema>;
export type FaultEffect = z.output<typeof effectSchema>;

interface Entry {
  id: string;
  rule: FaultRule;
  random: () => number;
  matched: number;
  fired: number;
}

/** Small seeded generator (mulberry32): same seed and call order, same faults. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const operationMatches = (pattern: string, operation: string): boolean =>
  pattern.endsWith("*") ? operation.startsWith(pattern.slice(0, -1)) : pattern === operation;

/** The installed rules and their counters. Held in memory: a restart starts without faults (or with --faults again). */
export class FaultBook {
  #entries: Entry[] = [];
  #made = 0;

  /** Adds rules (already validated); returns their ids. */
  add(rules: readonly FaultRule[]): string[] {
    return rules.map((rule) => {
      const id = rule.id ?? `fault-${++this.#made}`;
      this.#entries = this.#entries.filter((entry) => entry.id !== id);
      this.#entries.push({ id, rule, random: seededRandom(rule.seed), matched: 0, fired: 0 });
      return id;
    });
  }

  clear(id?: string): void {
    this.#entries = id === undefined ? [] : this.#entries.filter((entry) => entry.id !== id);
  }

  report(): { id: string; rule: FaultRule; matched: number; fired: number }[] {
    return this.#entries.map(({ id, rule, matched, fired }) => ({ id, rule, matched, fired }));
  }

  /** Counts this call against every rule that matches it; the first that fires decides. */
  decide(operation: string, app: string | undefined): FaultEffect | null {
    let decided: FaultEffect | null = null;
    for (const entry of this.#entries) {
      const { rule } = entry;
      if (!operationMatches(rule.operation, operation)) continue;
      if (rule.app !== undefined && rule.app !== app) continue;
      entry.matched += 1;
      if (rule.times !== undefined && entry.fired >= rule.times) continue;
      const nth = rule.nth === undefined ? null : [rule.nth].flat();
      if (nth !== null && !nth.includes(entry.matched)) continue;
      if (rule.probability !== undefined && entry.random() >= rule.probability) continue;
      if (decided !== null) continue;
      entry.fired += 1;
      decided = rule;
    }
    return decided;
  }
}
