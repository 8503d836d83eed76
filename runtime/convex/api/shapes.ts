/** Shapes that several operations share. */
import * as z from "zod";
import { PUSH_TEXT_UNITS_MAX, PUSH_TITLE_UNITS_MAX } from "../policy/push.ts";

/** Ids that consumers choose: anything but blanks alone and control characters. */
export const consumerId = z
  .string()
  .min(1)
  .max(256)
  .regex(/^(?!\s*$)[^\p{Cc}]*$/u, "must not be blank or contain control characters");
export const agentKey = z.string().min(1).max(128);
/** Ids that the factory gives out. */
export const factoryId = z.string().min(1).max(64);
export const time = z.number().describe("Milliseconds since the epoch, backend time");
const FACTS_MAX = 32;
/** Names of facts become names of fields: Convex takes printable ASCII, and keeps `$` and `_` at the front to itself. */
const factName = z
  .string()
  .max(128)
  .regex(/^(?![$_])[\x20-\x7e]+$/);
export const metadata = z
  .record(factName, z.string().max(2_048), {
    error: ({ code }) =>
      code === "invalid_key"
        ? "names have 1 to 128 printable ASCII characters, the first neither $ nor _"
        : undefined,
  })
  .refine((facts) => Object.keys(facts).length <= FACTS_MAX, `may have at most ${FACTS_MAX} facts`)
  .describe(`Up to ${FACTS_MAX} facts for the agent`);

export const errorShape = z.object({
  error: z.object({
    code: z.string().describe("One of the documented codes; new ones may be added"),
    message: z.string().describe("For people; names the field and the fix"),
    retryable: z.boolean().describe("Whether the same request may succeed later"),
    requestId: z.string(),
  }),
});

export const messageStatus = z.enum(["queued", "processing", "done", "dead_letter", "cancelled"]);

export const deliveryState = z.enum(["none", "pending", "delivered", "failed", "unknown"]);

export const messageShape = z.object({
  messageId: z.string(),
  conversationId: z.string(),
  agentKey: z.string(),
  userId: z.string().describe("Your own id of the person; a channel's for whom you have not bound"),
  status: messageStatus,
  attempts: z.number(),
  createdAt: time,
  dueAt: time,
  finishedAt: time.nullable(),
  answer: z
    .string()
    .nullable()
    .describe("The agent's Markdown; null until status is done, or when it said nothing"),
  error: z.string().nullable().describe("Why the last attempt failed"),
  delivery: z
    .object({
      state: deliveryState,
      parts: z.number(),
      deliveredAt: time.nullable(),
    })
    .describe("How far the answer got in a chat; none for answers that are read here"),
});

export const templateKey = z.string().min(1).max(128);
export const pushTitle = z.string().min(1).max(PUSH_TITLE_UNITS_MAX);
export const pushText = z.string().min(1).max(PUSH_TEXT_UNITS_MAX);
export const timeZone = z.string().min(1).max(64).describe("IANA zone, for example Europe/Rome");
export const dispatchOutcome = z.enum(["enqueued", "skipped", "failed"]);
const slotTime = z.string().describe("HH:mm in the job's zone");
export const scheduleShape = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("manual") }),
  z.strictObject({ kind: z.literal("daily"), time: slotTime }),
  z.strictObject({
    kind: z.literal("weekly"),
    weekday: z.number().describe("1 Monday … 7 Sunday"),
    time: slotTime,
  }),
  z.strictObject({
    kind: z.literal("monthly"),
    dayOfMonth: z.union([z.number(), z.literal("last")]),
    time: slotTime,
  }),
]);

export const waitMs = z.coerce
  .number()
  .int()
  .min(0)
  .max(25_000)
  .default(0)
  .describe("Keep the request open for up to this long until there is something new, ms");
