import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import {
  type Answer,
  type AnswerIdentity,
  completion,
  completionChunks,
  countUsage,
  errorBody,
} from "./completion.ts";
import { readConversation } from "./conversation.ts";
import { parseDirectives } from "./directives.ts";
import type { Journal } from "./journal.ts";
import { type Outcome, planAnswer } from "./plan.ts";
import { type ChatRequest, chatRequestSchema, textOf, toolNames } from "./request.ts";
import type { Scripts } from "./scripts.ts";

/** How fast the model is; both 0 by default. Milliseconds. */
export interface Latency {
  firstTokenMs: number;
  perChunkMs: number;
}

export interface CompletionContext {
  journal: Journal;
  scripts: Scripts;
  latency: Latency;
  now(): number;
}

const FLUSH_MS = 30;

/** Ends a journal entry with how the request went. */
type Finish = (outcome: string) => void;

/** POST /v1/chat/completions, streamed or whole. */
export async function completeChat(
  context: CompletionContext,
  c: Context<{ Bindings: HttpBindings }>,
  key: string,
): Promise<Response> {
  const body: unknown = await c.req.json().catch(() => undefined);
  const parsed = chatRequestSchema.safeParse(body);
  if (!parsed.success) return Response.json(errorBody(400, z.prettifyError(parsed.error)), { status: 400 });
  const request = parsed.data;
  const conversation = readConversation(request);
  const lastUserText = conversation.userTexts.at(-1) ?? "";

  const started = context.now();
  const seq = context.journal.open(
    started,
    {
      model: request.model,
      stream: request.stream === true,
      messageCount: request.messages.length,
      userTurns: conversation.userTexts.length,
      lastUserText,
      systemChars: conversation.system.length,
      tools: toolNames(request),
      keyFingerprint: createHash("sha256").update(key).digest("hex").slice(0, 12),
    },
    request.messages,
  );
  const finish: Finish = (outcome) => context.journal.close(seq, outcome, context.now() - started);

  const isFirstOfTurn = conversation.toolResults.length === 0;
  const script = context.scripts.pick(lastUserText, isFirstOfTurn) ?? lastUserText;
  const plan = planAnswer(parseDirectives(script), conversation);
  const { signal } = c.req.raw;
  try {
    await pause(plan.delayMs + (isFirstOfTurn ? context.latency.firstTokenMs : 0), signal);
  } catch {
    // The caller left while the model was thinking: nobody reads an answer any more.
    finish("aborted");
    return new Response(null, { status: 499 });
  }
  return respond(context, request, plan.outcome, signal, c.env.incoming.socket, finish);
}

function respond(
  context: CompletionContext,
  request: ChatRequest,
  outcome: Outcome,
  signal: AbortSignal,
  socket: Socket,
  finish: Finish,
): Response {
  const identity: AnswerIdentity = {
    id: `chatcmpl-${randomBytes(12).toString("hex")}`,
    model: request.model,
    created: Math.floor(context.now() / 1000),
  };
  switch (outcome.kind) {
    case "fail":
      finish(`fail ${outcome.status}`);
      return Response.json(errorBody(outcome.status, `scripted failure ${outcome.status}`), {
        status: outcome.status,
      });
    case "garbage":
      finish("garbage");
      return new Response('data: {"id": 1, "choices": <not json>\n\ndata: ]]]\n\n', {
        headers: { "content-type": request.stream ? "text/event-stream" : "application/json" },
      });
    case "dieAfterHalf":
      return streamResponse(halfAnswer(identity, outcome.text, context.latency, socket, finish));
    case "text":
    case "toolCall": {
      const usage = countUsage(promptChars(request), outcome);
      if (request.stream) {
        const shown = request.stream_options?.include_usage ? usage : undefined;
        const chunks = completionChunks(identity, outcome, shown);
        return streamResponse(wholeAnswer(chunks, outcome, context.latency, signal, finish));
      }
      finish(outcome.kind);
      return Response.json(completion(identity, outcome, usage));
    }
  }
}

async function* wholeAnswer(
  chunks: { delta: object[]; end: object[] },
  answer: Answer,
  latency: Latency,
  signal: AbortSignal,
  finish: Finish,
): AsyncGenerator<string> {
  let sent = false;
  try {
    for (const chunk of chunks.delta) {
      await pause(latency.perChunkMs, signal);
      yield event(chunk);
    }
    for (const chunk of chunks.end) yield event(chunk);
    yield "data: [DONE]\n\n";
    sent = true;
  } finally {
    finish(sent ? answer.kind : "aborted");
  }
}

async function* halfAnswer(
  identity: AnswerIdentity,
  text: string,
  latency: Latency,
  socket: Socket,
  finish: Finish,
): AsyncGenerator<string> {
  const { delta } = completionChunks(identity, { kind: "text", text }, undefined);
  for (const chunk of delta.slice(0, Math.ceil(delta.length / 2))) {
    if (latency.perChunkMs > 0) await sleep(latency.perChunkMs);
    yield event(chunk);
  }
  // What was written has to leave this process before the connection goes, or the caller would see no start of it.
  await sleep(FLUSH_MS);
  finish("died");
  socket.destroy();
}

const event = (chunk: object): string => `data: ${JSON.stringify(chunk)}\n\n`;

function streamResponse(source: AsyncGenerator<string>): Response {
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await source.next();
      if (next.done) controller.close();
      else controller.enqueue(encoder.encode(next.value));
    },
    async cancel() {
      await source.return(undefined);
    },
  });
  return new Response(stream, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal });
}

function promptChars(request: ChatRequest): number {
  return request.messages.reduce((sum, message) => sum + textOf(message).length, 0);
}
