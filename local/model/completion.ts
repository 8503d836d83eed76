import type { ToolCall } from "./directives.ts";

/** The OpenAI shapes of an answer. */

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export type Answer = { kind: "text"; text: string } | { kind: "toolCall"; call: ToolCall };

/** What one answer's objects have in common. */
export interface AnswerIdentity {
  id: string;
  model: string;
  /** Unix seconds. */
  created: number;
}

const CHARS_PER_TOKEN = 4;
/** Long answers come in larger pieces, so that a stream stays bounded. */
const MOST_CHUNKS = 200;
const SHORTEST_CHUNK_CHARS = 12;

/** A plausible count: four characters to the token. */
export function countUsage(promptChars: number, answer: Answer): Usage {
  const answerChars =
    answer.kind === "text" ? answer.text.length : answer.call.name.length + answer.call.arguments.length;
  const prompt_tokens = Math.ceil(promptChars / CHARS_PER_TOKEN);
  const completion_tokens = Math.max(1, Math.ceil(answerChars / CHARS_PER_TOKEN));
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** The whole answer as one object, for a request without `stream`. */
export function completion(identity: AnswerIdentity, answer: Answer, usage: Usage): object {
  const message =
    answer.kind === "text"
      ? { role: "assistant", content: answer.text, refusal: null }
      : { role: "assistant", content: null, refusal: null, tool_calls: [toolCall(identity, answer.call)] };
  return {
    ...identity,
    object: "chat.completion",
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason(answer) }],
    usage,
  };
}

/** The answer as a stream's objects, in order, without the closing `[DONE]`. */
export function completionChunks(
  identity: AnswerIdentity,
  answer: Answer,
  usage: Usage | undefined,
): { delta: object[]; end: object[] } {
  const chunk = (delta: object, finish_reason: string | null = null): object => ({
    ...identity,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...(usage ? { usage: null } : {}),
  });
  const first = chunk({ role: "assistant", content: answer.kind === "text" ? "" : null });
  const pieces =
    answer.kind === "text"
      ? splitText(answer.text).map((content) => chunk({ content }))
      : [chunk({ tool_calls: [{ index: 0, ...toolCall(identity, answer.call) }] })];
  const end = [chunk({}, finishReason(answer))];
  if (usage) end.push({ ...identity, object: "chat.completion.chunk", choices: [], usage });
  return { delta: [first, ...pieces], end };
}

/** OpenAI's error shape. */
export function errorBody(status: number, message: string): object {
  const type = status === 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param: null, code: status === 401 ? "invalid_api_key" : null } };
}

function splitText(text: string): string[] {
  const size = Math.max(SHORTEST_CHUNK_CHARS, Math.ceil(text.length / MOST_CHUNKS));
  const pieces: string[] = [];
  let piece = "";
  // By code point: half of a surrogate pair does not survive UTF-8.
  for (const char of text) {
    piece += char;
    if (piece.length < size) continue;
    pieces.push(piece);
    piece = "";
  }
  if (piece !== "") pieces.push(piece);
  return pieces;
}

function toolCall(identity: AnswerIdentity, call: ToolCall): object {
  return {
    id: `call_${identity.id.slice(-12)}`,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  };
}

function finishReason(answer: Answer): string {
  return answer.kind === "text" ? "stop" : "tool_calls";
}
