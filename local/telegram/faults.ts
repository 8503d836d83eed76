import * as z from "zod";

/** A fault rule as the control API takes it. Times in milliseconds unless the name says otherwise. */
export const faultRuleSchema = z.intersection(
  z.object({
    /** User name or id of the bot; any bot when left out. */
    bot: z.string().optional(),
    /** A Bot API method's name, in any case; any method when left out. */
    method: z.string().optional(),
    chatId: z.number().int().optional(),
    /** The first matching call that is hit, counted from 1. */
    nth: z.number().int().positive().default(1),
    /** How many calls are hit; null means every one from then on. */
    times: z.number().int().positive().nullable().default(1),
  }),
  z.discriminatedUnion("kind", [
    /** Answers this status without acting. */
    z.object({
      kind: z.literal("status"),
      status: z.number().int().min(200).max(599),
      description: z.string().optional(),
      /** Seconds, as `parameters.retry_after`. */
      retryAfter: z.number().int().positive().optional(),
      /** Replaces the whole body, to answer something that is not the Bot API's. */
      body: z.string().optional(),
    }),
    /** Never answers and does nothing. */
    z.object({ kind: z.literal("hang"), ms: z.number().positive().default(120_000) }),
    /** Cuts the connection and does nothing. */
    z.object({ kind: z.literal("reset") }),
    /** Acts, then never answers: the caller cannot know. */
    z.object({ kind: z.literal("actThenHang"), ms: z.number().positive().default(120_000) }),
    /** Acts, then cuts the connection: the caller cannot know. */
    z.object({ kind: z.literal("actThenReset") }),
    /** Acts after a delay. */
    z.object({ kind: z.literal("slow"), ms: z.number().positive().max(600_000) }),
  ]),
);

export type FaultRule = z.infer<typeof faultRuleSchema>;

/** A call, as far as rules look at it. */
export interface FaultTarget {
  botId: number;
  username: string;
  method: string;
  chatId: number | undefined;
}

/** The rules in force. They live in memory: a restarted server is a healthy one. */
export interface Faults {
  add(rule: FaultRule): number;
  /** Counts the call against every rule that matches and returns the first that hits it. */
  hit(target: FaultTarget): FaultRule | undefined;
  list(): { id: number; rule: FaultRule; matched: number; hits: number }[];
  clear(): void;
}

export function createFaults(): Faults {
  const rules: { id: number; rule: FaultRule; matched: number; hits: number }[] = [];
  let lastId = 0;
  return {
    add(rule) {
      rules.push({ id: ++lastId, rule, matched: 0, hits: 0 });
      return lastId;
    },
    hit(target) {
      let found: FaultRule | undefined;
      for (const entry of rules) {
        if (!matches(entry.rule, target)) continue;
        entry.matched++;
        const spent = entry.rule.times !== null && entry.hits >= entry.rule.times;
        if (found || spent || entry.matched < entry.rule.nth) continue;
        entry.hits++;
        found = entry.rule;
      }
      return found;
    },
    list: () => rules.map((entry) => ({ ...entry })),
    clear: () => {
      rules.length = 0;
    },
  };
}

function matches(rule: FaultRule, target: FaultTarget): boolean {
  const bot = rule.bot?.replace(/^@/, "").toLowerCase();
  if (bot !== undefined && bot !== target.username.toLowerCase() && bot !== String(target.botId))
    return false;
  if (rule.method !== undefined && rule.method.toLowerCase() !== target.method.toLowerCase()) return false;
  return rule.chatId === undefined || rule.chatId === target.chatId;
}
