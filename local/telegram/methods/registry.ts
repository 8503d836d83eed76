import * as account from "./account.ts";
import type { Method } from "./call.ts";
import { getUpdates } from "./getUpdates.ts";
import { sendMedia } from "./media.ts";
import { deleteMessageOfBot, editMessageText, sendChatAction, sendMessage } from "./text.ts";

const METHODS: Readonly<Record<string, Method>> = {
  getMe: account.getMe,
  setWebhook: account.setWebhook,
  deleteWebhook: account.deleteWebhook,
  getWebhookInfo: account.getWebhookInfo,
  getUpdates,
  getFile: account.getFile,
  getChat: account.getChat,
  setMyCommands: account.setMyCommands,
  getMyCommands: account.getMyCommands,
  answerCallbackQuery: account.answerCallbackQuery,
  sendMessage,
  editMessageText,
  deleteMessage: deleteMessageOfBot,
  sendChatAction,
  sendPhoto: sendMedia("photo"),
  sendDocument: sendMedia("document"),
  sendAudio: sendMedia("audio"),
  sendVoice: sendMedia("voice"),
  sendVideo: sendMedia("video"),
};

const BY_LOWER_NAME = new Map(Object.entries(METHODS).map(([name, method]) => [name.toLowerCase(), method]));

/** A method by its name, in any case, as Telegram takes it. */
export function findMethod(name: string): Method | undefined {
  return BY_LOWER_NAME.get(name.toLowerCase());
}
