/** What the worker told this gateway about each session: which tools it has, and how to call its bridge. */
import * as z from "zod/mini";

const sessionSchema = z.object({
  sessionKey: z.string(),
  /** Tools that the model may be offered and may call. Everything else is refused. */
  tools: z.array(z.string()),
  /** Identifies the message, not its attempt: a retried turn repeats its calls under the same keys. */
  messageId: z.string(),
  functions: z.array(
    z.object({
      key: z.string(),
      toolName: z.string(),
      description: z.string(),
      parameters: z.record(z.string(), z.unknown()),
    }),
  ),
  bridge: z.union([
    z.object({
      ok: z.literal(true),
      config: z.object({
        baseUrl: z.string(),
        serviceId: z.string(),
        serviceKey: z.string(),
        appKey: z.string(),
      }),
    }),
    z.object({ ok: z.literal(false), error: z.string() }),
  ]),
});
export type SessionSetup = z.infer<typeof sessionSchema>;
/** How often one turn has made one call. */
export interface Occurrences {
  made: number;
  /** Made, and perhaps carried out without an answer: the next such call is these again, not another one. */
  undecided: number[];
}
export type SessionState = SessionSetup & {
  /** Calls made in this turn, by function and arguments: the same call twice is two calls. */
  occurrences: Map<string, Occurrences>;
};

/** Outlives a reload of the plugin, which loads this module anew in the same process. Memory only. */
const storeKey = Symbol.for("agent-factory.bridge.sessions");
const holder = globalThis as { [storeKey]?: Map<string, SessionState> };
const sessions = (holder[storeKey] ??= new Map<string, SessionState>());

/** Sets a session up for its next turn. */
export function setUpSession(params: unknown): void {
  const setup = sessionSchema.parse(params);
  sessions.set(setup.sessionKey, { ...setup, occurrences: new Map() });
}

export function forgetSession(sessionKey: string): void {
  sessions.delete(sessionKey);
}

/** undefined for a session that the worker never set up: it gets no tools at all. */
export function sessionState(sessionKey: string | undefined): SessionState | undefined {
  return sessionKey === undefined ? undefined : sessions.get(sessionKey);
}
