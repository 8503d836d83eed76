/**
 * Slots against an oracle that knows nothing of Temporal: it walks the minutes of a span and asks Intl what a clock on
 * the wall of that zone shows. Ten years, twenty zones; every day on which a zone's offset changes, and samples
 * between.
 */
import { describe, expect, test } from "vitest";
import { nextSlot } from "./schedule.ts";

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

/**
 * First instant after `from` at which the daily slot fires: the wall clock shows it, and has not shown it on that
 * date before; or the clock has just jumped over it, and then the instant is later by the jump.
 */
function oracle(clock: Clock, time: string, from: number): number {
  const [hours, minutes] = time.split(":").map(Number) as [number, number];
  const wanted = hours * 60 + minutes;
  const shownOn = new Set<string>();
  const start = Math.floor(from / MINUTE) * MINUTE - 26 * HOUR;
  let last = clock(start);
  for (let at = start + MINUTE; at < from + 3 * DAY; at += MINUTE) {
    const now = clock(at);
    let fires: number | null = null;
    if (now.minutes === wanted && !shownOn.has(now.date)) {
      shownOn.add(now.date);
      fires = at;
    }
    const jumped = now.minutes - last.minutes - 1;
    if (now.date === last.date && jumped > 0 && wanted > last.minutes && wanted < now.minutes) {
      shownOn.add(now.date);
      fires = at + (wanted - last.minutes - 1) * MINUTE;
    }
    // Over midnight the clock leaves out the end of one date, the beginning of the next, or both.
    if (now.date > last.date && wanted > last.minutes) {
      fires = at + (wanted - last.minutes - 1) * MINUTE;
    } else if (now.date > last.date && wanted < now.minutes && !shownOn.has(now.date)) {
      shownOn.add(now.date);
      fires = at + wanted * MINUTE;
    }
    if (fires !== null && fires > from) return fires;
    last = now;
  }
  throw new Error(`no slot within three days of ${new Date(from).toISOString()}`);
}

describe.each(ZONES)("daily slots in %s agree with the wall clock", (zone) => {
  const clock = wallClock(zone);

  test("around every change of its offset in ten years", () => {
    const edges = changes(clock);
    for (const edge of edges) {
      for (const time of TIMES) {
        const from = edge - 20 * HOUR;
        expect(new Date(nextSlot({ kind: "daily", time }, zone, from)?.at ?? 0).toISOString()).toBe(
          new Date(oracle(clock, time, from)).toISOString(),
        );
      }
    }
  });

  test("on days in between", () => {
    for (let index = 0; index < 40; index += 1) {
      const from = FROM + Math.floor(((UNTIL - FROM) * (index + 0.37)) / 40);
      const time = TIMES[index % TIMES.length] as string;
      expect(nextSlot({ kind: "daily", time }, zone, from)?.at).toBe(oracle(clock, time, from));
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
