/** What the demo prints: numbered steps, checks that must hold, and the timeline of a message. */
import { styleText } from "node:util";

export interface Report {
  step(title: string): void;
  line(text: string): void;
  /** Records a proof; the demo succeeds only when every one holds. */
  check(holds: boolean, claim: string): void;
  failures(): string[];
}

export function createReport(steps: number, write: (line: string) => void, now: () => number): Report {
  const started = now();
  const failed: string[] = [];
  let current = 0;
  return {
    step(title) {
      current += 1;
      const elapsed = ((now() - started) / 1_000).toFixed(0).padStart(3);
      write("");
      write(
        `${styleText("bold", `[${current}/${steps}] ${title}`)} ${styleText("dim", `(at ${elapsed} s)`)}`,
      );
    },
    line: (text) => write(`      ${text}`),
    check(holds, claim) {
      if (!holds) failed.push(claim);
      const mark = holds ? styleText("green", "ok  ") : styleText("red", "FAIL");
      write(`      ${mark} ${claim}`);
    },
    failures: () => failed,
  };
}

/** One row of `factory:messageTimeline`. Times are backend time, ms since the epoch. */
export interface MessageTimes {
  messageId: string;
  conversationId: string;
  seq: number;
  status: string;
  attempts: number;
  enqueuedAt: number;
  claimedAt: number | null;
  hydratedAt: number | null;
  modelDoneAt: number | null;
  answeredAt: number | null;
  deliveredAt: number | null;
  workerId: string | null;
  machineCreatedAt: number | null;
  workerReadyAt: number | null;
  image: string | null;
}

/** Phases in their order; a worker that was there before the message has no boot in its timeline. */
export function timelineOf(times: MessageTimes, sentAt: number, acceptedAt: number | null): string {
  const phases: Array<[string, number | null]> = [
    ["webhook accepted", acceptedAt],
    ["queued", times.enqueuedAt],
    ["machine created", times.machineCreatedAt],
    ["worker ready", times.workerReadyAt],
    ["claimed", times.claimedAt],
    ["hydrated", times.hydratedAt],
    ["model done", times.modelDoneAt],
    ["delivered", times.deliveredAt],
  ];
  return phases
    .filter((phase): phase is [string, number] => phase[1] !== null && phase[1] >= sentAt - 1_000)
    .map(([name, at]) => `${name} ${Math.max(0, Math.round(at - sentAt))} ms`)
    .join(" -> ");
}
