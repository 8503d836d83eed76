/** What a push template, job or broadcast may say. Every problem at once, in the words that its author sees. */
import { type PushSchedule, scheduleProblems } from "./schedule.ts";

/** Telegram shows 4096 characters, and a push is a prompt: longer ones are mistakes. */
export const PUSH_TEXT_UNITS_MAX = 4_096;
export const PUSH_TITLE_UNITS_MAX = 200;

const UNITS_MAX = {
  companyId: 128,
  templateKey: 128,
  requestedBy: 128,
  /** As long as a binding's: who can be bound can be pushed to. */
  consumerUserId: 256,
  title: PUSH_TITLE_UNITS_MAX,
  text: PUSH_TEXT_UNITS_MAX,
} as const;

export type PushFields = { [Field in keyof typeof UNITS_MAX]?: string | undefined } & {
  schedule?: PushSchedule | undefined;
  /** Default: UTC, for a template, which has none. */
  timeZone?: string | undefined;
};

/** Absent fields have no problem: whoever needs them says so. */
export function pushProblems(fields: PushFields): string[] {
  const { schedule = { kind: "manual" as const }, timeZone = "UTC" } = fields;
  const problems = scheduleProblems(schedule, timeZone);
  for (const [field, unitsMax] of Object.entries(UNITS_MAX)) {
    const value = fields[field as keyof typeof UNITS_MAX];
    if (value !== undefined && (value.trim() === "" || value.length > unitsMax)) {
      problems.push(`${field} must have 1 to ${unitsMax} characters`);
    }
  }
  return problems;
}
