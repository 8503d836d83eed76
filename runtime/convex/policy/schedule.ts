/**
 * When a push job fires. Slots are wall-clock times in the job's own zone; `now` is always passed in.
 *
 * - Clock goes forward over the slot (02:30 on the last Sunday of March in Rome): it fires as much later as the clock
 *   jumped, at 03:30.
 * - Clock goes back and shows the slot twice: it fires once, the first time.
 * - A date that the zone skipped (Samoa, 30 December 2011) has no slot.
 * - dayOfMonth 29, 30 and 31 have no slot in shorter months; "last" has one in every month.
 * - After an outage at most one missed slot per job is made up for: the latest, and only while it is less than
 *   CATCH_UP_MAX_MS late. A "good morning" at midnight helps nobody.
 */
import { Temporal } from "temporal-polyfill";
import { isTimeZone } from "./timeZone.ts";

export type PushSchedule =
  | { kind: "manual" }
  | { kind: "daily"; time: string }
  | { kind: "weekly"; weekday: number; time: string }
  | { kind: "monthly"; dayOfMonth: number | "last"; time: string };

/** `key` names the slot as a person would; `at` is the instant it stands for, ms. */
export type Slot = { key: string; at: number };

export const CATCH_UP_MAX_MS = 12 * 60 * 60_000;

const TIME = /^([01]\d|2[0-3]):([0-5]\d)$/;

/** Days looked at around an instant: a month without its 31st plus the next one, and a day for zone shifts. */
const DAYS_SEARCHED_MAX = 64;

/** Every problem of a schedule, in the words that its author sees. */
export function scheduleProblems(schedule: PushSchedule, timeZone: string): string[] {
  const problems: string[] = [];
  if (!isTimeZone(timeZone)) problems.push(`Invalid timezone '${timeZone}'`);
  if (schedule.kind === "manual") return problems;
  if (!TIME.test(schedule.time)) problems.push(`Invalid time '${schedule.time}', expected HH:mm`);
  if (schedule.kind === "weekly" && !isWhole(schedule.weekday, 1, 7)) {
    problems.push(`Invalid weekday '${schedule.weekday}', expected 1 (Monday) to 7 (Sunday)`);
  }
  if (schedule.kind === "monthly" && schedule.dayOfMonth !== "last" && !isWhole(schedule.dayOfMonth, 1, 31)) {
    problems.push(`Invalid dayOfMonth '${schedule.dayOfMonth}', expected 1 to 31 or "last"`);
  }
  return problems;
}

const isWhole = (value: number, min: number, max: number): boolean =>
  Number.isInteger(value) && value >= min && value <= max;

/** The first slot after `afterMs` (exclusive); null for manual jobs. Expects a schedule without problems. */
export function nextSlot(schedule: PushSchedule, timeZone: string, afterMs: number): Slot | null {
  return search(schedule, timeZone, afterMs, 1, (slot) => slot.at > afterMs);
}

/** The last slot at or before `untilMs`; null for manual jobs. */
export function latestSlot(schedule: PushSchedule, timeZone: string, untilMs: number): Slot | null {
  return search(schedule, timeZone, untilMs, -1, (slot) => slot.at <= untilMs);
}

function search(
  schedule: PushSchedule,
  timeZone: string,
  fromMs: number,
  direction: 1 | -1,
  fits: (slot: Slot) => boolean,
): Slot | null {
  if (schedule.kind === "manual") return null;
  const start = Temporal.Instant.fromEpochMilliseconds(fromMs).toZonedDateTimeISO(timeZone).toPlainDate();
  // One day against the direction: a slot shifted over midnight belongs to the date before.
  for (let days = -1; days <= DAYS_SEARCHED_MAX; days += 1) {
    const date = start.add({ days: days * direction });
    if (!isScheduledOn(schedule, date)) continue;
    const slot = slotOn(date, schedule.time, timeZone);
    if (slot !== null && fits(slot)) return slot;
  }
  return null;
}

function isScheduledOn(
  schedule: Exclude<PushSchedule, { kind: "manual" }>,
  date: Temporal.PlainDate,
): boolean {
  switch (schedule.kind) {
    case "daily":
      return true;
    case "weekly":
      return date.dayOfWeek === schedule.weekday;
    case "monthly":
      return date.day === (schedule.dayOfMonth === "last" ? date.daysInMonth : schedule.dayOfMonth);
  }
}

function slotOn(date: Temporal.PlainDate, time: string, timeZone: string): Slot | null {
  // "compatible": later by the jump in a gap, the first of the two in an overlap.
  const zoned = date
    .toPlainDateTime(Temporal.PlainTime.from(time))
    .toZonedDateTime(timeZone, { disambiguation: "compatible" });
  const moved = !zoned.toPlainDate().equals(date);
  if (moved && !date.toZonedDateTime({ timeZone }).toPlainDate().equals(date)) return null;
  return { key: `${date.toString()}T${time}[${timeZone}]`, at: zoned.epochMilliseconds };
}

export type DueDecision =
  /** Not due yet: somebody else was faster. */
  | { kind: "not_due"; nextRunAt: number | null }
  /** `missed`: earlier slots of the same outage that are not made up for. */
  | { kind: "dispatch"; slot: Slot; missed: number; nextRunAt: number | null }
  | { kind: "too_late"; slot: Slot; lateMs: number; missed: number; nextRunAt: number | null };

/** Slots counted as missed at most: the number is for people. */
const MISSED_COUNTED_MAX = 1_000;

/** What to do with a job whose `nextRunAt` has come. */
export function decideDue(
  schedule: PushSchedule,
  timeZone: string,
  nextRunAt: number,
  now: number,
): DueDecision {
  const following = nextSlot(schedule, timeZone, now)?.at ?? null;
  const slot = nextRunAt > now ? null : latestSlot(schedule, timeZone, now);
  if (slot === null || slot.at < nextRunAt) return { kind: "not_due", nextRunAt: following };
  let missed = 0;
  for (
    let earlier = nextSlot(schedule, timeZone, nextRunAt - 1);
    earlier !== null && earlier.at < slot.at && missed < MISSED_COUNTED_MAX;
    earlier = nextSlot(schedule, timeZone, earlier.at)
  ) {
    missed += 1;
  }
  const lateMs = now - slot.at;
  if (lateMs >= CATCH_UP_MAX_MS) return { kind: "too_late", slot, lateMs, missed, nextRunAt: following };
  return { kind: "dispatch", slot, missed, nextRunAt: following };
}
