/** The Bot API's objects, only as far as this server fills them. */

export interface User {
  id: number;
  is_bot: boolean;
  first_name: string;
  last_name?: string;
  username?: string;
  language_code?: string;
}

export type ChatType = "private" | "group" | "supergroup" | "channel";

export interface Chat {
  id: number;
  type: ChatType;
  title?: string;
  username?: string;
  first_name?: string;
  last_name?: string;
  is_forum?: true;
}

/** Offsets and lengths are in UTF-16 code units. */
export interface MessageEntity {
  type: string;
  offset: number;
  length: number;
  url?: string;
  language?: string;
  custom_emoji_id?: string;
}

export interface FileObject {
  file_id: string;
  file_unique_id: string;
  file_size?: number;
  file_name?: string;
  mime_type?: string;
  width?: number;
  height?: number;
  duration?: number;
}

export interface Message {
  message_id: number;
  message_thread_id?: number;
  is_topic_message?: true;
  from?: User;
  sender_chat?: Chat;
  /** Unix seconds. */
  date: number;
  edit_date?: number;
  chat: Chat;
  reply_to_message?: Message;
  text?: string;
  entities?: MessageEntity[];
  caption?: string;
  caption_entities?: MessageEntity[];
  photo?: FileObject[];
  document?: FileObject;
  audio?: FileObject;
  voice?: FileObject;
  video?: FileObject;
  link_preview_options?: unknown;
  reply_markup?: unknown;
}

/** Every kind of update the Bot API knows; a webhook that names none gets all but the last three. */
export const UPDATE_KINDS = [
  "message",
  "edited_message",
  "channel_post",
  "edited_channel_post",
  "business_connection",
  "business_message",
  "edited_business_message",
  "deleted_business_messages",
  "inline_query",
  "chosen_inline_result",
  "callback_query",
  "shipping_query",
  "pre_checkout_query",
  "purchased_paid_media",
  "poll",
  "poll_answer",
  "my_chat_member",
  "chat_join_request",
  "chat_boost",
  "removed_chat_boost",
  "chat_member",
  "message_reaction",
  "message_reaction_count",
] as const;

export type UpdateKind = (typeof UPDATE_KINDS)[number];

const OPT_IN_KINDS = new Set<string>(["chat_member", "message_reaction", "message_reaction_count"]);

/** Whether an update of this kind is produced, given a bot's `allowed_updates` (empty means the default set). */
export function isAllowedKind(kind: string, allowed: readonly string[]): boolean {
  return allowed.length === 0 ? !OPT_IN_KINDS.has(kind) : allowed.includes(kind);
}

export function isUpdateKind(value: string): value is UpdateKind {
  return (UPDATE_KINDS as readonly string[]).includes(value);
}
