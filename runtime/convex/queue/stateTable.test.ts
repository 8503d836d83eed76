/**
 * Every state of a message × every event, illegal pairs included. Each pair is a test of its own: it puts the
 * database into the state, applies the one event, and looks at everything that the queue keeps.
 *
 * A cell `-`: refused, and no row of any table changes. `again`: the same reply, and nothing changes either.
 * Any other cell names an outcome below. A pair without a cell fails the first test.
 */
import { describe, expect, test } from "vitest";
import { expectConsistent, fakeDeployment, START } from "../testing/factory.setup.ts";
import {
  apply,
  dump,
  type EventName,
  EVENTS,
  facts,
  type StateName,
  STATES,
} from "../testing/stateTable.setup.ts";

fakeDeployment();

const TABLE = `
event                        | S1          S2          S3          S4          S5          S6          S7          S8          S9          S10        
claim                        | leased      -           -           -           -           takeover    -           -           -           -
claim(same key again)        | leasedW1    -           -           -           again       -           again       -           -           -
heartbeat                    | -           -           -           -           renewed     -           renewed     -           -           -
heartbeat(stale lease)       | -           -           -           -           -           -           -           -           -           -
heartbeat(another worker)    | -           -           -           -           -           -           -           -           -           -
complete                     | -           -           -           -           answered    -           aborted     -           -           -
complete(stale lease)        | -           -           -           -           -           -           -           -           -           -
complete(another worker)     | -           -           -           -           -           -           -           -           -           -
fail                         | -           -           -           -           retried     -           abortedF    -           -           -
fail(stale lease)            | -           -           -           -           -           -           -           -           -           -
fail(another worker)         | -           -           -           -           -           -           -           -           -           -
fail(permanent)              | -           -           -           -           givenUp     -           abortedF    -           -           -
release                      | -           -           -           -           released    -           aborted     -           -           -
release(stale lease)         | -           -           -           -           -           -           -           -           -           -
release(another worker)      | -           -           -           -           -           -           -           -           -           -
append                       | -           -           -           -           appended    -           appended    -           -           -
append(stale lease)          | -           -           -           -           -           -           -           -           -           -
append(another worker)       | -           -           -           -           -           -           -           -           -           -
expiry check                 | -           -           -           -           rearmed     expired     rearmed     -           -           -
expiry check(stale lease)    | -           -           -           -           -           -           -           -           -           -
expiry sweep                 | -           -           -           -           -           swept       -           -           -           -
worker lost                  | -           -           crashAhead  -           crashed     lost        abortedC    -           -           -
worker lost(drain ran out)   | -           -           drainAhead  -           drained     lostDrain   abortedD    -           -           -
worker lost(another worker)  | -           -           -           -           -           -           -           -           -           -
promote                      | -           -           -           -           -           -           -           -           -           -
promote(due)                 | -           due         -           -           -           -           -           -           -           -
cancel                       | endReady    endDelayed  endBehind   endPaused   abort       abort       noted       audited     audited     audited
pause                        | holdReady   holdDelayed hold        -           hold        hold        hold        hold        hold        hold
resume                       | -           -           -           resumed     -           -           -           -           -           -
replay                       | -           -           -           -           -           -           -           -           replayed    -
discard                      | -           -           -           -           -           -           -           -           discarded   -
enqueue(duplicate)           | -           -           -           -           -           -           -           -           -           -
enqueue(next message)        | behind      behind      behind      behind      behind      behind      behind      nextW1      nextW1      nextW2
`;

/** What a refused caller is told, by event. */
const REFUSED: Record<string, unknown> = {
  claim: null,
  heartbeat: false,
  complete: false,
  fail: { requeued: false, deadLettered: false, nextScheduledFor: null },
  release: false,
  append: { updated: false, messageCount: 0 },
  "expiry check": null,
  "expiry sweep": { recovered: 0, unfit: 0, more: false },
  "worker lost": { recovered: 0, more: false },
  promote: false,
  pause: false,
  resume: false,
  replay: { replayed: 0, more: false },
  discard: { discarded: 0, more: false },
  enqueue: "the same",
};

/** Outcome → the reply, and every fact that changes. What is not named stays. */
const OUTCOMES: Record<string, [reply: unknown, change: string]> = {
  leased: [
    "leased, attempt 1",
    "attempts +1; head ready → leased by w2; lease none → 45000 ms; message queued → processing; w2 load +1; waiting -1; timer checkLease +1",
  ],
  leasedW1: [
    "leased, attempt 1",
    "attempts +1; head ready → leased by w1; lease none → 45000 ms; message queued → processing; w1 load +1; waiting -1; timer checkLease +1",
  ],
  endReady: [
    "cancelled",
    "audit +1; head ready → none; message queued → cancelled; waiting -1; told cancelled +1",
  ],
  holdReady: [true, "audit +1; head ready → paused; paused no → yes"],
  behind: ["new", "waiting +1; others queued +1"],
  due: [true, "head delayed → ready; timer checkWake +1; w1 woken +1; wait delayed → none"],
  endDelayed: [
    "cancelled",
    "audit +1; head delayed → none; message queued → cancelled; wait delayed → none; waiting -1; told cancelled +1",
  ],
  holdDelayed: [true, "audit +1; head delayed → paused; paused no → yes"],
  crashAhead: [
    { recovered: 1, more: false },
    "head another leased by w1 → another ready; others processing -1; timer checkWake +1; w1 failed +1; w1 load -1; w1 woken +1; waiting +1; others queued +1",
  ],
  drainAhead: [
    { recovered: 1, more: false },
    "head another leased by w1 → another ready; others processing -1; timer checkWake +1; w1 load -1; w1 woken +1; waiting +1; others queued +1",
  ],
  endBehind: ["cancelled", "audit +1; message queued → cancelled; waiting -1; told cancelled +1"],
  hold: [true, "audit +1; paused no → yes"],
  endPaused: [
    "cancelled",
    "audit +1; head paused → none; message queued → cancelled; waiting -1; told cancelled +1",
  ],
  resumed: [true, "audit +1; head paused → ready; paused yes → no; timer checkWake +1; w2 woken +1"],
  renewed: [true, "lease 44000 ms → 45000 ms"],
  answered: [
    true,
    "head leased by w1 → none; history +2; lease 44000 ms → none; message processing → done; w1 done +1; w1 load -1; told answer +1",
  ],
  retried: [
    { requeued: true, deadLettered: false, nextScheduledFor: START + 2_000 },
    "head leased by w1 → delayed; lease 44000 ms → none; message processing → queued; w1 failed +1; w1 load -1; wait none → delayed; waiting +1; timer promoteMessage +1",
  ],
  givenUp: [
    { deadLettered: true, nextScheduledFor: null, requeued: false },
    "head leased by w1 → none; lease 44000 ms → none; message processing → dead_letter; w1 failed +1; w1 load -1; told given_up +1",
  ],
  released: [
    true,
    "attempts -1; head leased by w1 → ready; lease 44000 ms → none; message processing → queued; timer checkWake +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  appended: [{ messageCount: 1, updated: true }, "history +1"],
  rearmed: [null, "timer checkLease +1"],
  crashed: [
    { recovered: 1, more: false },
    "head leased by w1 → ready; lease 44000 ms → none; message processing → queued; timer checkWake +1; w1 failed +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  drained: [
    { recovered: 1, more: false },
    "attempts -1; head leased by w1 → ready; lease 44000 ms → none; message processing → queued; timer checkWake +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  abort: ["requested", "abort no → asked; audit +1; w1 aborts +1; told cancelled +1"],
  takeover: [
    "leased, attempt 2",
    "attempts +1; head leased by w1 → leased by w2; lease 0 ms → 45000 ms; timer checkLease +1; w1 failed +1; w1 load -1; w2 load +1",
  ],
  expired: [
    null,
    "head leased by w1 → ready; lease 0 ms → none; message processing → queued; timer checkWake +1; w1 failed +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  swept: [
    { more: false, recovered: 1, unfit: 0 },
    "head leased by w1 → ready; lease 0 ms → none; message processing → queued; timer checkWake +1; w1 failed +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  lost: [
    { recovered: 1, more: false },
    "head leased by w1 → ready; lease 0 ms → none; message processing → queued; timer checkWake +1; w1 failed +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  lostDrain: [
    { recovered: 1, more: false },
    "attempts -1; head leased by w1 → ready; lease 0 ms → none; message processing → queued; timer checkWake +1; w1 load -1; w1 woken +1; waiting +1",
  ],
  aborted: [
    true,
    "abort asked → no; head leased by w1 → none; lease 44000 ms → none; message processing → cancelled; w1 aborts -1; w1 load -1",
  ],
  abortedF: [
    { deadLettered: false, nextScheduledFor: null, requeued: false },
    "abort asked → no; head leased by w1 → none; lease 44000 ms → none; message processing → cancelled; w1 aborts -1; w1 load -1",
  ],
  abortedC: [
    { recovered: 1, more: false },
    "abort asked → no; head leased by w1 → none; lease 44000 ms → none; message processing → cancelled; w1 aborts -1; w1 failed +1; w1 load -1",
  ],
  abortedD: [
    { recovered: 1, more: false },
    "abort asked → no; head leased by w1 → none; lease 44000 ms → none; message processing → cancelled; w1 aborts -1; w1 load -1",
  ],
  noted: ["requested", "audit +1"],
  audited: ["none", "audit +1"],
  nextW1: ["new", "head none → another ready; timer checkWake +1; w1 woken +1; waiting +1; others queued +1"],
  replayed: [
    { more: false, replayed: 1 },
    "attempts -1; audit +1; head none → ready; message dead_letter → queued; place +1; timer checkWake +1; w1 woken +1; waiting +1",
  ],
  discarded: [{ discarded: 1, more: false }, "audit +1; message dead_letter → cancelled"],
  nextW2: ["new", "head none → another ready; timer checkWake +1; w2 woken +1; waiting +1; others queued +1"],
};

type Row = { event: EventName; cells: Map<string, string> };

function parseTable(): { states: string[]; rows: Row[] } {
  const [header = "", ...lines] = TABLE.trim().split("\n");
  const cellsOf = (line: string) => (line.split("|")[1] ?? "").trim().split(/\s+/);
  const states = cellsOf(header);
  const rows = lines.map((line) => {
    const cells = cellsOf(line);
    const event = (line.split("|")[0] ?? "").trim() as EventName;
    return { event, cells: new Map(states.map((state, column) => [state, cells[column] ?? "missing"])) };
  });
  return { states, rows };
}

const table = parseTable();
const STATE_NAMES = Object.keys(STATES) as StateName[];
const shortName = (state: StateName): string => state.split(" ")[0] ?? "";
const refusedReply = (event: EventName): unknown => REFUSED[event.split("(")[0] ?? ""];

test("the table has a cell for every state and every event, and no cell means nothing", () => {
  expect(table.states).toEqual(STATE_NAMES.map(shortName));
  expect(table.rows.map(({ event }) => event).sort()).toEqual(Object.keys(EVENTS).sort());
  const cells = table.rows.flatMap((row) => [...row.cells.values()]);
  expect(cells).toHaveLength(STATE_NAMES.length * Object.keys(EVENTS).length);
  expect(new Set(cells)).toEqual(new Set(["-", "again", ...Object.keys(OUTCOMES)]));
});

test.each<[StateName, string]>([
  ["S1 queued (ready)", "queued, head ready, lease none"],
  ["S2 queued (delayed by a retry)", "queued, head delayed, lease none"],
  ["S3 queued (behind another turn)", "queued, head another leased by w1, lease none"],
  ["S4 queued (paused)", "queued, head paused, lease none"],
  ["S5 processing (live)", "processing, head leased by w1, lease 44000 ms"],
  ["S6 processing (expired)", "processing, head leased by w1, lease 0 ms"],
  ["S7 processing (cancel requested)", "processing, head leased by w1, lease 44000 ms, abort asked"],
  ["S8 done", "done, head none, lease none"],
  ["S9 dead_letter", "dead_letter, head none, lease none"],
  ["S10 cancelled", "cancelled, head none, lease none"],
])("%s is what its name says", async (state, expected) => {
  const scene = await STATES[state]();
  const { message, head, lease, abort } = await facts(scene);
  expect(`${message}, head ${head}, lease ${lease}${abort === "no" ? "" : `, abort ${abort}`}`).toBe(
    expected,
  );
  await expectConsistent(scene.t);
});

const NOTHING_CHANGES: Record<string, string> = { "-": "refused", again: "the same reply again" };

describe.each(STATE_NAMES)("%s", (state) => {
  const pairs = table.rows.map(({ event, cells }) => ({
    event,
    cell: cells.get(shortName(state)) ?? "missing",
  }));

  for (const { event, cell } of pairs.filter((pair) => pair.cell in NOTHING_CHANGES)) {
    test(`${state} + ${event} → ${NOTHING_CHANGES[cell]}, nothing changes`, async () => {
      const scene = await STATES[state]();
      const before = await dump(scene);
      const { reply } = await apply(event, scene);
      expect(reply).toEqual(cell === "-" ? refusedReply(event) : "leased, attempt 1");
      expect(await dump(scene)).toEqual(before);
    });
  }

  for (const { event, cell } of pairs.filter((pair) => !(pair.cell in NOTHING_CHANGES))) {
    const [reply, change] = OUTCOMES[cell] ?? [];
    test(`${state} + ${event} → ${change ?? "no such outcome"}`, async () => {
      const scene = await STATES[state]();
      const seen = await apply(event, scene);
      expect(seen.reply).toEqual(reply);
      expect(seen.change.sort()).toEqual(change?.split("; ").sort());
      await expectConsistent(scene.t);
    });
  }
});
