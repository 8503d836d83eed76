/**
 * Slots against an oracle that knows nothing of Temporal: it walks the minutes of a span and asks Intl what a clock on
 * the wall of that zone shows. Ten years, twenty zones; every day on which a zone's offset changes, and samples
 * between.
 */
import { describe, expect, test } from "vitest";
import { nextSlot, type PushSchedule } from "./schedule.ts";

const ZONES = [
  "UTC",
  "Europe/Rome",
  "Europe/London",
  "Europe/Dublin",
  "America/New_York",
  "America/St_Johns",
  "America/Sao_Paulo",
  "America/Santiago",
  "America/Havana",
  "America/Caracas",
  "Africa/Casablanca",
  "Africa/Cairo",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Asia/Tehran",
  "Asia/Beirut",
  "Asia/Pyongyang",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
  "Pacific/Apia",
];
const TIMES = ["00:00", "00:30", "01:59", "02:30", "03:00", "09:30", "23:45"];
const FROM = Date.UTC(2016, 0, 1);
const UNTIL = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What a wall clock shows: `YYYY-MM-DD` and minutes since its midnight. */
function wallClock(zone: string): (at: number) => { date: string; minutes: number } {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  const known = new Map<number, { date: string; minutes: number }>();
  return (at) => {
    const cached = known.get(at);
    if (cached !== undefined) return cached;
    const text = format.format(at); // 2016-01-31, 23:45
    const shown = {
      date: text.slice(0, 10),
      minutes: Number(text.slice(12, 14)) * 60 + Number(text.slice(15, 17)),
    };
    known.set(at, shown);
    return shown;
  };
}

type Clock = ReturnType<typeof wallClock>;

/** Difference between the wall clock and UTC, minutes. */
function offset(clock: Clock, at: number): number {
  const { date, minutes } = clock(at);
  return (Date.parse(`${date}T00:00:00Z`) + minutes * MINUTE - Math.floor(at / MINUTE) * MINUTE) / MINUTE;
}

/** Instants at which the offset has changed, to the hour below. */
function changes(clock: Clock): number[] {
  const found: number[] = [];
  for (let day = FROM; day < UNTIL; day += DAY) {
    const before = offset(clock, day);
    if (before === offset(clock, day + DAY)) continue;
    for (let hour = day; hour < day + DAY; hour += HOUR) {
      if (offset(clock, hour) !== offset(clock, hour + HOUR)) found.push(hour);
    }
  }
  return found;
}

/** When a slot fires, and of which date it is. */
type Fired = { at: number; date: string };

/**
 * First instant after `from` at which the daily slot fires: the wall clock shows it, and has not shown it on that
 * date before; or the clock has just jumped over it, and then the instant is later by the jump.
 */
function oracle(clock: Clock, time: string, from: number): Fired {
  const [hours, minutes] = time.split(":").map(Number) as [number, number];
  const wanted = hours * 60 + minutes;
  const shownOn = new Set<string>();
  const start = Math.floor(from / MINUTE) * MINUTE - 26 * HOUR;
  let last = clock(start);
  for (let at = start + MINUTE; at < from + 3 * DAY; at += MINUTE) {
    const now = clock(at);
    let fires: Fired | null = null;
    if (now.minutes === wanted && !shownOn.has(now.date)) {
      shownOn.add(now.date);
      fires = { at, date: now.date };
    }
    const jumped = now.minutes - last.minutes - 1;
    if (now.date === last.date && jumped > 0 && wanted > last.minutes && wanted < now.minutes) {
      shownOn.add(now.date);
      fires = { at: at + (wanted - last.minutes - 1) * MINUTE, date: now.date };
    }
    // Over midnight the clock leaves out the end of one date, the beginning of the next, or both.
    if (now.date > last.date && wanted > last.minutes) {
      fires = { at: at + (wanted - last.minutes - 1) * MINUTE, date: last.date };
    } else if (now.date > last.date && wanted < now.minutes && !shownOn.has(now.date)) {
      shownOn.add(now.date);
      fires = { at: at + wanted * MINUTE, date: now.date };
    }
    if (fires !== null && fires.at > from) return fires;
    last = now;
  }
  throw new Error(`no slot within three days of ${new Date(from).toISOString()}`);
}

/** The calendar without a clock: dates from one on, as UTC knows them, which has no changes. */
function* datesFrom(date: string): Generator<string> {
  for (let day = Date.parse(`${date}T00:00:00Z`), left = 70; left > 0; day += DAY, left -= 1) {
    yield new Date(day).toISOString().slice(0, 10);
  }
}

function isOn(schedule: PushSchedule, date: string): boolean {
  const day = new Date(`${date}T00:00:00Z`);
  if (schedule.kind === "weekly") return (day.getUTCDay() || 7) === schedule.weekday;
  if (schedule.kind !== "monthly") return true;
  const isLast = new Date(day.getTime() + DAY).getUTCDate() === 1;
  return schedule.dayOfMonth === "last" ? isLast : day.getUTCDate() === schedule.dayOfMonth;
}

/** First instant after `from` of a weekly or monthly slot: the daily slot of the first date that it names. */
function datedOracle(
  clock: Clock,
  schedule: Exclude<PushSchedule, { kind: "manual" }>,
  from: number,
): number {
  const yesterday = clock(from - DAY).date;
  for (const date of datesFrom(yesterday)) {
    if (!isOn(schedule, date)) continue;
    let fired = oracle(clock, schedule.time, Date.parse(`${date}T00:00:00Z`) - 16 * HOUR);
    while (fired.date < date) fired = oracle(clock, schedule.time, fired.at);
    if (fired.date === date && fired.at > from) return fired.at;
  }
  throw new Error(`no slot within 70 days of ${new Date(from).toISOString()}`);
}

const iso = (at: number | undefined): string => new Date(at ?? 0).toISOString();

describe.each(ZONES)("daily slots in %s agree with the wall clock", (zone) => {
  const clock = wallClock(zone);

  test("around every change of its offset in ten years", () => {
    const edges = changes(clock);
    for (const edge of edges) {
      for (const time of TIMES) {
        const from = edge - 20 * HOUR;
        expect(iso(nextSlot({ kind: "daily", time }, zone, from)?.at)).toBe(
          iso(oracle(clock, time, from).at),
        );
      }
    }
  });

  test("on days in between", () => {
    for (let index = 0; index < 40; index += 1) {
      const from = FROM + Math.floor(((UNTIL - FROM) * (index + 0.37)) / 40);
      const time = TIMES[index % TIMES.length] as string;
      expect(nextSlot({ kind: "daily", time }, zone, from)?.at).toBe(oracle(clock, time, from).at);
    }
  });
});

describe.each(ZONES)("weekly and monthly slots in %s agree with the calendar and the wall clock", (zone) => {
  const clock = wallClock(zone);

  const expectAgreement = (schedule: Exclude<PushSchedule, { kind: "manual" }>, from: number): void => {
    expect(iso(nextSlot(schedule, zone, from)?.at), `${JSON.stringify(schedule)} after ${iso(from)}`).toBe(
      iso(datedOracle(clock, schedule, from)),
    );
  };

  test("on the dates on which its offset changes, in ten years", () => {
    for (const [index, edge] of changes(clock).entries()) {
      const { date } = clock(edge + HOUR);
      const weekday = new Date(`${date}T00:00:00Z`).getUTCDay() || 7;
      const time = TIMES[index % TIMES.length] as string;
      for (const days of [1, 6]) {
        const from = edge - days * DAY;
        expectAgreement({ kind: "weekly", weekday, time }, from);
        expectAgreement({ kind: "monthly", dayOfMonth: Number(date.slice(8)), time }, from);
      }
    }
  });

  test("at the ends of months, long, short and of leap years", () => {
    for (const dayOfMonth of [28, 29, 30, 31, "last"] as const) {
      for (const month of [
        "2016-02-27",
        "2019-01-30",
        "2019-12-30",
        "2020-02-28",
        "2023-02-27",
        "2024-03-30",
      ]) {
        expectAgreement({ kind: "monthly", dayOfMonth, time: "23:45" }, Date.parse(`${month}T12:00:00Z`));
      }
    }
  });
});

test("a day without end: slots of ten years strictly follow one another, one per date", () => {
  for (const zone of ["Europe/Rome", "America/Santiago", "Africa/Casablanca", "Pacific/Apia"]) {
    const keys = new Set<string>();
    let at = FROM;
    while (at < UNTIL) {
      const slot = nextSlot({ kind: "daily", time: "02:30" }, zone, at);
      if (slot === null) throw new Error("a daily job ran out of slots");
      expect(slot.at).toBeGreaterThan(at);
      expect(keys.has(slot.key)).toBe(false);
      keys.add(slot.key);
      at = slot.at;
    }
    expect(keys.size).toBeGreaterThanOrEqual(3_652);
    expect(keys.size).toBeLessThanOrEqual(3_654);
  }
});
