/**
 * An agent engine without an agent, so that a worker boots in an instant and everything else of it is real. A turn
 * takes as long as its text says ("takes 300 ms") and the answer counts the turns that the session remembers: what
 * was lost, doubled or forgotten shows in the words that a person reads.
 */
import type { AgentEngine } from "../../../../runtime/worker/src/agent/engine.ts";
import type { EngineSession } from "../../../../runtime/worker/src/agent/sessions.ts";
import { pause } from "../../../../runtime/worker/src/pause.ts";

/** What an image does to its workers: nothing, or one of two ways of being broken. */
export type Behaviour = "good" | "crashesAtBoot" | "failsTurns";
export const BEHAVIOUR_VARIABLE = "TEST_IMAGE_BEHAVIOUR";

export const answerTo = (text: string, turn: number): string => `turn ${turn}: ${text}`;

export function createTestEngine(): AgentEngine {
  const behaviour = (process.env[BEHAVIOUR_VARIABLE] ?? "good") as Behaviour;
  const spoken = new Map<string, unknown[]>();
  const of = (session: EngineSession): unknown[] => spoken.get(session.key) ?? [];
  return {
    start: () =>
      behaviour === "crashesAtBoot"
        ? Promise.reject(new Error("this image cannot boot"))
        : Promise.resolve({ gatewayBootMs: 1, probeTurnMs: 1 }),
    openSession: (key) => {
      spoken.set(key, []);
      return Promise.resolve({ key, sessionId: key, agentId: "test", generation: 1 });
    },
    isCurrent: (session) => spoken.has(session.key),
    async runTurn(session, { text, signal }) {
      await pause(Number(/takes (\d+) ms/.exec(text)?.[1] ?? 0), signal);
      if (signal.aborted) return { kind: "aborted", reason: "aborted" };
      if (behaviour === "failsTurns") return { kind: "failed", reason: "this image fails every turn" };
      const turn = of(session).length / 2 + 1;
      const answer = answerTo(text, turn);
      spoken.set(session.key, [
        ...of(session),
        { role: "user", content: text },
        { role: "assistant", content: answer },
      ]);
      return { kind: "answered", text: answer, usage: {} };
    },
    exportTranscript: (session) => Promise.resolve(of(session)),
    importTranscript: (session, messages) => {
      spoken.set(session.key, messages);
      return Promise.resolve();
    },
    closeSession: (session) => {
      spoken.delete(session.key);
      return Promise.resolve();
    },
    restart: () => Promise.resolve(),
    pid: () => null,
    stop: () => Promise.resolve(),
  };
}
