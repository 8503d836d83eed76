import * as z from "zod";

/** What the chat shows: one entry of a transcript, as the local Telegram's control API gives it. */
export interface ChatEntry {
  seq: number;
  kind: "message" | "edit" | "action";
  messageId: number | null;
  text: string;
}

/** A Telegram user's phone, talking to one bot over the local Telegram's control API. */
export interface Phone {
  /** Sends a text as this person. */
  send(text: string): Promise<void>;
  /** The bot's next message, edit or chat action after `after`; undefined when none came in time. */
  next(after: number, timeoutMs: number): Promise<ChatEntry | undefined>;
  /** Where the chat stands now, to be used as `after`. */
  newest(): Promise<number>;
}

export interface PhoneOptions {
  telegramUrl: string;
  /** User name of the bot, without the @. */
  bot: string;
  user: { id: number; name: string };
}

/** Something between this chat and the local Telegram went wrong; the message says what to do. */
export class PhoneError extends Error {
  override name = "PhoneError";
}

const LONGEST_POLL_MS = 25_000;
/** On top of a long poll, for the answer to travel. */
const ANSWER_MS = 10_000;

const entrySchema = z.object({
  seq: z.number(),
  kind: z.enum(["message", "edit", "action"]),
  messageId: z.number().nullable(),
  body: z.looseObject({
    text: z.string().optional(),
    caption: z.string().optional(),
    action: z.string().optional(),
    document: z.looseObject({ file_name: z.string().optional() }).optional(),
    photo: z.array(z.unknown()).optional(),
  }),
});
const waitSchema = z.object({ entry: entrySchema.nullable() });
const transcriptSchema = z.object({ newest: z.number() });

export function openPhone({ telegramUrl, bot, user }: PhoneOptions): Phone {
  const call = async (path: string, timeoutMs: number, body?: unknown): Promise<unknown> => {
    let response: Response;
    try {
      response = await fetch(new URL(path, telegramUrl), {
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined
          ? {}
          : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      });
    } catch {
      throw new PhoneError(
        `The local Telegram at ${telegramUrl} does not answer. Is the environment still running? Start it with: npm run local`,
      );
    }
    const answer: unknown = await response.json().catch(() => ({}));
    if (!response.ok) {
      const reason = (answer as { error?: unknown }).error;
      throw new PhoneError(
        `The local Telegram refused: ${typeof reason === "string" ? reason : response.status}`,
      );
    }
    return answer;
  };
  const chat = new URLSearchParams({ bot, chatId: String(user.id) });

  return {
    async send(text) {
      const from = { id: user.id, first_name: user.name };
      await call("/control/messages", ANSWER_MS, { bot, chatId: user.id, from, text });
    },
    async next(after, timeoutMs) {
      const pollMs = Math.min(Math.max(Math.round(timeoutMs), 0), LONGEST_POLL_MS);
      const query = `${chat}&after=${after}&timeoutMs=${pollMs}&kinds=message,edit,action`;
      const { entry } = waitSchema.parse(await call(`/control/wait?${query}`, pollMs + ANSWER_MS));
      return entry === null
        ? undefined
        : { seq: entry.seq, kind: entry.kind, messageId: entry.messageId, text: describe(entry) };
    },
    async newest() {
      return transcriptSchema.parse(await call(`/control/transcript?${chat}&limit=1`, ANSWER_MS)).newest;
    },
  };
}

function describe(entry: z.infer<typeof entrySchema>): string {
  const { text, caption, action, document, photo } = entry.body;
  const file = document ? `[file ${document.file_name ?? ""}] ` : photo ? "[photo] " : "";
  return printable(`${file}${text ?? caption ?? action ?? ""}`);
}

/** A bot's text must not be able to move the cursor or recolour the terminal. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is removed
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}
