import type * as z from "zod";
import { findChat, requireBot, saveChat, setDialogStatus } from "../accounts.ts";
import type { Core } from "../core.ts";
import { badRequest } from "../errors.ts";
import type { Chat } from "../wire.ts";
import type { chatSchema } from "./schemas.ts";

/** A chat with its topics' thread ids, in the order in which they were named. */
export interface CreatedChat {
  chat: Chat;
  topics: { message_thread_id: number; name: string }[];
}

/** Telegram's id ranges: small groups are negative, supergroups and channels lie below -10^12. */
const FIRST_GROUP_ID = -4_000_000_001;
const FIRST_SUPERGROUP_ID = -1_002_000_000_001;

/** Creates a chat, or changes one that exists, and puts a bot into it. */
export function createChat(core: Core, input: z.infer<typeof chatSchema>): CreatedChat {
  return core.store.transaction(() => {
    const id = input.id ?? freeId(core, input.type);
    if ((input.type === "private") !== id > 0) {
      throw badRequest(
        `id ${id} does not fit a ${input.type} chat: private ones are positive, the others negative`,
      );
    }
    if (input.topics && input.type !== "supergroup") throw badRequest("only a supergroup has topics");
    const known = findChat(core, id);
    if (known && known.type !== input.type) throw badRequest(`chat ${id} is a ${known.type}`);
    const { title, username, first_name } = input;
    const chat: Chat =
      input.type === "private"
        ? { id, type: input.type, first_name: first_name ?? `Person ${id}`, username }
        : { id, type: input.type, title: title ?? `Chat ${id}`, username };
    if (input.topics || known?.is_forum) chat.is_forum = true;
    saveChat(core, chat);
    for (const name of input.topics ?? []) {
      // A topic's thread id is the id of the message that created it.
      core.store.run(
        `INSERT INTO topics (chat_id, thread_id, name)
         SELECT id, next_message_id + 1, ? FROM chats WHERE id = ?`,
        name,
        id,
      );
      core.store.run("UPDATE chats SET next_message_id = next_message_id + 2 WHERE id = ?", id);
    }
    if (input.bot !== undefined) setDialogStatus(core, requireBot(core, input.bot).id, id, "member");
    const topics = core.store.all<{ message_thread_id: number; name: string }>(
      "SELECT thread_id AS message_thread_id, name FROM topics WHERE chat_id = ? ORDER BY thread_id",
      id,
    );
    return { chat, topics };
  });
}

function freeId(core: Core, type: Chat["type"]): number {
  if (type === "private") throw badRequest("id is required for a private chat: it is the person's id");
  const first = type === "group" ? FIRST_GROUP_ID : FIRST_SUPERGROUP_ID;
  const floor = type === "group" ? FIRST_SUPERGROUP_ID : Number.MIN_SAFE_INTEGER;
  const lowest = core.store.get<{ id: number | null }>(
    "SELECT min(id) AS id FROM chats WHERE id <= ? AND id > ?",
    first,
    floor,
  );
  return (lowest?.id ?? first + 1) - 1;
}
