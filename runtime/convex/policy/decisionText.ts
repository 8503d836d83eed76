/** One line that a person can read about one decision. */
import type { FleetStep } from "./fleetFacts.ts";

export interface DecisionFacts {
  due: number;
  running: number;
  workers: number;
  freeSlots: number;
  booting: number;
  warm: number;
  steps: readonly FleetStep[];
  short: number;
  shortBecause: string | null;
  /** What happened to single workers, for example "w-a-3: no heartbeat for 45 s". */
  events: readonly string[];
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
/** Events named in one line; more are only counted. */
const EVENTS_SHOWN = 5;

function actions(steps: readonly FleetStep[]): string[] {
  const count = (accepts: (step: FleetStep) => boolean): number => steps.filter(accepts).length;
  const parts: Array<[number, string]> = [
    [count((step) => step.do === "recall"), "recall"],
    [count((step) => step.do === "start"), "start"],
    [count((step) => step.do === "await"), "await the rest of"],
    [count((step) => step.do === "serve"), "let serve what was prepared:"],
    [count((step) => step.do === "new" && !step.canary && !step.prewarm), "create"],
    [count((step) => step.do === "new" && step.canary), "create canary"],
    [count((step) => step.do === "new" && step.prewarm), "prepare"],
  ];
  const made = parts.filter(([number]) => number > 0).map(([number, verb]) => `${verb} ${number}`);
  const ended = steps.flatMap((step) =>
    step.do === "drain"
      ? [`drain ${step.workerId} (${step.why})`]
      : step.do === "end"
        ? [`end ${step.workerId} (${step.why})`]
        : [],
  );
  const shown = ended.slice(0, EVENTS_SHOWN);
  if (ended.length > shown.length) shown.push(`${ended.length - shown.length} more`);
  return [...made, ...shown];
}

/** "3 conversations due, 1 running; 2 workers, 1 free slot: create 1; 1 short: ceiling 2 reached". */
export function decisionText(facts: DecisionFacts): string {
  const running = facts.running > 0 ? `, ${facts.running} running` : "";
  const booting = facts.booting > 0 ? `, ${facts.booting} booting` : "";
  const warm = facts.warm > 0 ? `, ${facts.warm} warm` : "";
  const situation = `${plural(facts.due, "conversation")} due${running}; ${plural(facts.workers, "worker")}, ${plural(facts.freeSlots, "free slot")}${booting}${warm}`;
  const done = actions(facts.steps);
  const short = facts.short > 0 ? `; ${facts.short} short: ${facts.shortBecause ?? "no reason known"}` : "";
  const events = facts.events.slice(0, EVENTS_SHOWN);
  if (facts.events.length > events.length) events.push(`${facts.events.length - events.length} more`);
  const told = events.length > 0 ? `; ${events.join("; ")}` : "";
  return `${situation}: ${done.length > 0 ? done.join(", ") : "nothing to do"}${short}${told}`;
}
