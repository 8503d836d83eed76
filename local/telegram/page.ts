import { html, raw } from "hono/html";
import { findChat, listBots } from "./accounts.ts";
import type { Core } from "./core.ts";
import { type Entry, readTranscript } from "./transcript.ts";
import type { Chat, Message } from "./wire.ts";

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 46rem; padding: 1.5rem; color: #1c2733; background: #f4f6f8 }
nav a { margin-right: 1rem } h1 { font-size: 1.2rem }
li { list-style: none; margin: .4rem 0; padding: .5rem .8rem; border-radius: .7rem; max-width: 80%; white-space: pre-wrap; overflow-wrap: anywhere }
ul { padding: 0 } .in { background: #fff } .out { background: #d9f2d3; margin-left: auto } .note { background: none; color: #6a7885; font-size: .85rem; padding: 0 .8rem }
time { color: #6a7885; font-size: .75rem; display: block }`;
const SHOWN_ENTRIES = 1_000;

/** All chats, or one chat's transcript; it refreshes by itself and shows no token or secret. */
export async function transcriptPage(core: Core, query: Record<string, string>): Promise<Response> {
  const bots = listBots(core);
  const bot = bots.find((candidate) => String(candidate.id) === query.bot);
  const body = bot && query.chat ? chatView(core, bot.id, Number(query.chat)) : overview(core);
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="refresh" content="2" />
        <title>Local Telegram</title>
        <style>
          ${raw(STYLE)}
        </style>
      </head>
      <body>
        <h1>Local Telegram</h1>
        ${body}
      </body>
    </html>`;
  return new Response(String(await page), {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    },
  });
}

function overview(core: Core) {
  const bots = listBots(core);
  if (bots.length === 0) return html`<p>No bot is registered yet.</p>`;
  return html`${bots.map((bot) => {
    const chats = core.store.all<{ chat_id: number }>("SELECT chat_id FROM dialogs WHERE bot_id = ?", bot.id);
    return html`<h2>@${bot.username}</h2>
      <nav>
        ${chats.map(({ chat_id }) => {
          const chat = findChat(core, chat_id);
          return html`<a href="/?bot=${bot.id}&chat=${chat_id}">${chat ? chatName(chat) : chat_id}</a>`;
        })}
      </nav>`;
  })}`;
}

function chatView(core: Core, botId: number, chatId: number) {
  const entries = readTranscript(core, botId, chatId, 0, SHOWN_ENTRIES);
  return html`<nav><a href="/">All chats</a></nav>
    <ul>
      ${entries.map(entryView)}
    </ul>`;
}

function entryView(entry: Entry) {
  const time = new Date(entry.at).toISOString().slice(11, 23);
  if (entry.kind !== "message" && entry.kind !== "edit") {
    const { action, status, text, data } = entry.body as Record<string, unknown>;
    return html`<li class="note">${time} ${entry.kind} ${action ?? status ?? text ?? data ?? ""}</li>`;
  }
  const message = entry.body as Message;
  const name = message.from?.first_name ?? message.chat.title ?? "";
  const edited = entry.kind === "edit" ? ` (edit of ${message.message_id})` : "";
  return html`<li class="${entry.direction}"><time>${time} ${name}${edited}</time>${describe(message)}</li>`;
}

function describe(message: Message): string {
  const file = (["photo", "document", "audio", "voice", "video"] as const).find((kind) => message[kind]);
  const words = message.text ?? message.caption ?? "";
  return file ? `[${file}] ${words}` : words;
}

function chatName(chat: Chat): string {
  return chat.title ?? chat.first_name ?? String(chat.id);
}
