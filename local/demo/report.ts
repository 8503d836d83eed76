/** What the demo prints: numbered steps, checks that must hold, and the timelines of messages. */
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
      const elapsed = Math.round((now() - started) / 1_000);
      write("");
      write(
        `${styleText("bold", `[${current}/${steps}] ${title}`)} ${styleText("dim", `(at ${elapsed} s)`)}`,
      );
    },
    line: (text) => write(`      ${text}`.trimEnd()),
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

export interface Timeline {
  /** Whose message it is, as the column's title. */
  title: string;
  times: MessageTimes;
  /** When the person sent it, ms since the epoch. */
  sentAt: number;
  /** When the webhook had answered 202, ms since the epoch. */
  acceptedAt: number | null;
}

const FIRST_TITLE = "after it was sent";
/** Clocks of two processes may differ by this much, ms. */
const SKEW_MS = 1_000;

const PHASES: ReadonlyArray<[string, (timeline: Timeline) => number | null]> = [
  ["queued", ({ times }) => times.enqueuedAt],
  ["webhook accepted", ({ acceptedAt }) => acceptedAt],
  ["machine created", ({ times }) => times.machineCreatedAt],
  ["worker ready", ({ times }) => times.workerReadyAt],
  ["claimed", ({ times }) => times.claimedAt],
  ["hydrated", ({ times }) => times.hydratedAt],
  ["model done", ({ times }) => times.modelDoneAt],
  ["delivered", ({ times }) => times.deliveredAt],
];

/** `340 ms`, `12.0 s`. */
const shown = (ms: number): string =>
  ms < 1_000 ? `${Math.max(0, Math.round(ms))} ms` : `${(ms / 1_000).toFixed(1)} s`;

/** One line per phase, one column per message; a worker that was there before the message has no boot in it. */
export function timelineLines(timelines: readonly Timeline[]): string[] {
  const cell = (timeline: Timeline, at: number | null): string =>
    at === null || at < timeline.sentAt - SKEW_MS ? "–" : shown(at - timeline.sentAt);
  const rows = [
    [FIRST_TITLE, ...timelines.map(({ title }) => title)],
    ...PHASES.map(([name, at]) => [name, ...timelines.map((timeline) => cell(timeline, at(timeline)))]),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join("   "),
  );
}
