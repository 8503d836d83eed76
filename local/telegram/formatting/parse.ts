import * as z from "zod";
import { badRequest } from "../errors.ts";
import type { MessageEntity } from "../wire.ts";
import { detectEntities } from "./detect.ts";
import { EntityError } from "./entityError.ts";
import type { FormattedText } from "./formattedText.ts";
import { parseHtml } from "./html.ts";
import { parseMarkdown } from "./markdown.ts";
import { parseMarkdownV2 } from "./markdownV2.ts";

const entitiesSchema = z.array(
  z.object({
    type: z.string(),
    offset: z.number().int().nonnegative(),
    length: z.number().int().positive(),
    url: z.string().optional(),
    language: z.string().optional(),
    custom_emoji_id: z.string().optional(),
  }),
);

/**
 * Turns what a bot sent into plain text with entities, as Telegram shows it.
 *
 * @param parseMode HTML, MarkdownV2 or Markdown in any case; empty means plain text with `entitiesJson`.
 * @throws 400 with Telegram's wording when the markup is wrong.
 */
export function formatText(source: string, parseMode: string | undefined, entities: unknown): FormattedText {
  const parsed = parse(source, parseMode ?? "", entities);
  const { text, shift } = trim(parsed.text);
  const kept = parsed.entities.flatMap((entity) => clip(entity, shift, text.length));
  return { text, entities: [...kept, ...detectEntities(text, kept)].sort(byPosition) };
}

function parse(source: string, parseMode: string, entities: unknown): FormattedText {
  try {
    switch (parseMode.toLowerCase()) {
      case "":
      case "none":
        return { text: source, entities: parseEntities(entities) };
      case "html":
        return parseHtml(source);
      case "markdownv2":
        return parseMarkdownV2(source);
      case "markdown":
        return parseMarkdown(source);
      default:
        throw badRequest("unsupported parse_mode");
    }
  } catch (error) {
    if (error instanceof EntityError) throw badRequest(`can't parse entities: ${error.message}`);
    throw error;
  }
}

function parseEntities(entities: unknown): MessageEntity[] {
  if (entities === undefined) return [];
  const parsed = entitiesSchema.safeParse(entities);
  if (!parsed.success) throw badRequest("can't parse MessageEntity: expected an Array of MessageEntity");
  return parsed.data;
}

function trim(text: string): { text: string; shift: number } {
  const start = text.length - text.trimStart().length;
  return { text: text.trim(), shift: start };
}

/** Moves an entity by the cut start and cuts it at the text's ends; an empty one disappears. */
function clip(entity: MessageEntity, shift: number, length: number): MessageEntity[] {
  const start = Math.max(entity.offset - shift, 0);
  const end = Math.min(entity.offset - shift + entity.length, length);
  return end > start ? [{ ...entity, offset: start, length: end - start }] : [];
}

function byPosition(a: MessageEntity, b: MessageEntity): number {
  return a.offset - b.offset || b.length - a.length;
}
