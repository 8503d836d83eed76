import * as z from "zod";

/** The part of an OpenAI chat completion request that this server reads; the rest is tolerated. */

const textPartSchema = z.looseObject({ type: z.string(), text: z.string().optional() });
const contentSchema = z.union([z.string(), z.array(textPartSchema)]).nullish();

const toolCallSchema = z.looseObject({
  id: z.string(),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
});

const messageSchema = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: contentSchema,
  tool_calls: z.array(toolCallSchema).nullish(),
  tool_call_id: z.string().nullish(),
});

export const chatRequestSchema = z.looseObject({
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  tools: z.array(z.looseObject({ function: z.looseObject({ name: z.string() }).optional() })).nullish(),
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;
export type ChatMessage = ChatRequest["messages"][number];

/** A message's text parts. */
export function textParts(message: ChatMessage): string[] {
  const { content } = message;
  if (content === null || content === undefined) return [];
  return typeof content === "string" ? [content] : content.flatMap((part) => part.text ?? []);
}

/** What else a message holds, by type: `image_url`, `input_audio`, … */
export function otherParts(message: ChatMessage): string[] {
  return Array.isArray(message.content)
    ? message.content.filter((part) => part.text === undefined).map((part) => part.type)
    : [];
}

export function textOf(message: ChatMessage): string {
  return textParts(message).join("\n");
}

/** Names of the offered tools. */
export function toolNames(request: ChatRequest): string[] {
  return (request.tools ?? []).flatMap((tool) => (tool.function ? [tool.function.name] : []));
}
