import { type ChatMessage, type ChatRequest, otherParts, textOf, textParts } from "./request.ts";

/** What a request says about its conversation, with the agent engine's decorations taken off. */
export interface Conversation {
  /** All that people wrote, oldest first. */
  userTexts: string[];
  /** Texts of the tool results since the last thing a person wrote, oldest first. */
  toolResults: string[];
  /** Pictures beside the last thing a person wrote. */
  pictures: number;
  system: string;
}

/** Weekday and time that OpenClaw puts before a text: `[Sun 2026-11-22 18:30 UTC] `. */
const TIMESTAMP = /^\[[A-Za-z]{3} \d{4}-\d{2}-\d{2} \d{2}:\d{2}[^\]\n]*\] */;
/** The paragraph about the engine itself that OpenClaw puts under a session's first text. */
const RUNTIME_LINE = /\n\nRuntime: agent=[^\n]*\| session=[^\n]*$/;
/** A message that is about the turn rather than from a person. */
const RUNTIME_CONTEXT = /^\s*OpenClaw runtime (?:context|event)/;
const INTERNAL_CONTEXT =
  /<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>[\s\S]*?(?:<<<END_OPENCLAW_INTERNAL_CONTEXT>>>|$)\n*/g;
/** A line that opens a block of facts which OpenClaw adds about a message; the block ends at an empty line. */
const CONTEXT_MARK = "⟦openclaw:ctx⟧";
/** After a turn without an answer, its text stands before the next one; after a failed call, before a request to go on. */
const QUEUED = /^\[Queued user message from a previous active turn;[^\]\n]*\]\n([\s\S]*)$/;
const CONTINUE = /^Continue the current task from the existing transcript, preserving completed work\./;

export function readConversation(request: ChatRequest): Conversation {
  const userTexts: string[] = [];
  let toolResults: string[] = [];
  let pictures = 0;
  for (const message of request.messages) {
    if (message.role === "tool") toolResults.push(textOf(message));
    if (message.role !== "user") continue;
    const written = textParts(message).flatMap(readUserText);
    const shown = otherParts(message).filter((type) => type === "image_url").length;
    if (written.length === 0 && shown === 0) continue;
    userTexts.push(...written);
    pictures = shown;
    toolResults = [];
  }
  return { userTexts, toolResults, pictures, system: systemText(request.messages) };
}

/**
 * What people wrote in one text part: none when it is the engine's own, two when it carries an unanswered text
 * before the current one (taken apart at the first empty line: a guess only if that text had several paragraphs).
 */
export function readUserText(text: string): string[] {
  const bare = stripDecorations(text);
  const [, queued] = QUEUED.exec(bare) ?? [];
  if (queued === undefined) return bare === "" ? [] : [bare];
  const [before = "", ...rest] = queued.split("\n\n");
  const current = rest.join("\n\n").trim();
  return [before.trim(), CONTINUE.test(current) ? "" : current].filter((part) => part !== "");
}

/**
 * The default answer. It names the first message and counts the turns, so that a reader can tell whether the model
 * was given the whole history.
 */
export function describeConversation(conversation: Conversation): string {
  const { userTexts } = conversation;
  const [first = ""] = userTexts;
  const last = userTexts.at(-1) ?? "";
  const seen = conversation.pictures === 0 ? "" : ` I see ${conversation.pictures} of your pictures.`;
  return `You said: "${last}". This is turn ${userTexts.length} of our conversation; your first message was "${first}".${seen}`;
}

function stripDecorations(text: string): string {
  const bare = text.replace(INTERNAL_CONTEXT, "").replace(TIMESTAMP, "").replace(RUNTIME_LINE, "");
  if (RUNTIME_CONTEXT.test(bare)) return "";
  const kept: string[] = [];
  let block: "none" | "plain" | "fence" = "none";
  for (const line of bare.split("\n")) {
    if (line.trimEnd().endsWith(CONTEXT_MARK)) block = "plain";
    else if (block === "plain" && line.trim() === "```json") block = "fence";
    else if (block === "fence" && line.trim() === "```") block = "none";
    else if (block === "plain" && line.trim() === "") block = "none";
    else if (block === "none") kept.push(line);
  }
  return kept.join("\n").trim().replace(TIMESTAMP, "");
}

function systemText(messages: readonly ChatMessage[]): string {
  return messages
    .filter((message) => message.role === "system" || message.role === "developer")
    .map(textOf)
    .join("\n");
}
