/** One turn in the gateway: set up, run, ended by its result or at once by its signal. */
import * as z from "zod";
import { pause } from "../pause.ts";
import type { BridgeResolution } from "../bridge/config.ts";
import type { BridgeToolSpec } from "./bridgeSetup.ts";
import type { Gateway } from "./gateway.ts";
import { GatewayRpcError, GatewayUnavailableError } from "./rpc.ts";
import type { EngineSession } from "./sessions.ts";
import { fatalWords, type GatewaySupervisor } from "./supervisor.ts";
import { parseTurnResult, type TurnResult } from "./turnResult.ts";

export interface TurnInput {
  /** The person's words. A leading slash is escaped: the engine would obey `/reset` as a command. */
  text: string;
  /** Shown to the model beside the text. */
  pictures: readonly TurnPicture[];
  extraSystemPrompt: string;
  /** Unique per try: a repeated key answers from memory in the same gateway and corrupts a restored session. */
  idempotencyKey: string;
  timeoutMs: number;
  /** Aborts the turn at once. */
  signal: AbortSignal;
  /** Told the whole text so far while the model writes; what counts is the turn's result. */
  onText?: (text: string) => void;
  setup: TurnSetup;
}

export interface TurnPicture {
  fileName: string;
  /** `image/…` */
  mimeType: string;
  content: Buffer;
}

/** What the gateway must know of a session for one turn: held in its memory, never on disk. */
export interface TurnSetup {
  messageId: string;
  /** Exactly the tools that the model may be offered. */
  tools: string[];
  functions: BridgeToolSpec[];
  bridge: BridgeResolution;
}

const ABORT_TIMEOUT_MS = 5_000;
/** How long an aborted turn may take to end before the gateway counts as hung. */
const ABORT_GRACE_MS = 10_000;

export async function runTurn(
  supervisor: GatewaySupervisor,
  session: EngineSession,
  input: TurnInput,
): Promise<TurnResult> {
  const target = await supervisor.ofGeneration(session.generation);
  input.signal.throwIfAborted();
  const setup = { sessionKey: session.key, ...input.setup };
  await supervisor.call(target, "bridge.session.setUp", setup, z.unknown());
  input.signal.throwIfAborted();
  const run = target.rpc.request(
    "agent",
    {
      message: escapeCommand(input.text),
      agentId: session.agentId,
      sessionKey: session.key,
      idempotencyKey: input.idempotencyKey,
      timeout: Math.ceil(input.timeoutMs / 1_000) + 5,
      extraSystemPrompt: input.extraSystemPrompt,
      ...(input.pictures.length === 0 ? {} : { attachments: input.pictures.map(toAttachment) }),
    },
    { timeoutMs: input.timeoutMs + ABORT_GRACE_MS, finalOnly: true },
  );
  run.catch(() => undefined); // Awaited below, or abandoned with its gateway.
  const onAbort = (): void => {
    void abortRun(target, session, input.idempotencyKey, run).then((ended) => {
      if (!ended) supervisor.replace(session.generation, "an aborted turn did not end");
    });
  };
  input.signal.addEventListener("abort", onAbort, { once: true });
  const stopListening = target.rpc.onAssistantText(input.idempotencyKey, input.onText ?? (() => undefined));
  try {
    const ended = await Promise.race([run, rejectOnAbort(input.signal)]);
    const result = parseTurnResult(ended, input.idempotencyKey);
    if (result === null)
      throw new GatewayUnavailableError("The gateway's word on a turn has an unknown shape");
    if (result.kind === "failed" && fatalWords(result.reason) !== null) {
      throw new GatewayRpcError("RUN_FAILED", result.reason);
    }
    return result;
  } catch (error) {
    input.signal.throwIfAborted();
    throw supervisor.judge(error, target);
  } finally {
    stopListening();
    input.signal.removeEventListener("abort", onAbort);
  }
}

function toAttachment({ fileName, mimeType, content }: TurnPicture): Record<string, string> {
  return { type: "image", fileName, mimeType, content: content.toString("base64") };
}

async function abortRun(
  target: Gateway,
  session: EngineSession,
  runId: string,
  run: Promise<unknown>,
): Promise<boolean> {
  const ended = run.then(
    () => true,
    () => true,
  );
  try {
    await target.rpc.request(
      "chat.abort",
      { sessionKey: session.key, runId },
      { timeoutMs: ABORT_TIMEOUT_MS },
    );
  } catch {
    // Perhaps the run has just ended, perhaps the gateway hangs: the grace below tells which.
  }
  return await Promise.race([ended, pause(ABORT_GRACE_MS).then(() => false)]);
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** `/new` and `/reset` are commands to the engine: after these words a person's slash is plain text. */
export function escapeCommand(text: string): string {
  return /^\s*\//.test(text) ? `User: ${text.trimStart()}` : text;
}
