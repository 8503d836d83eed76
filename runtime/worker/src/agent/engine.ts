/**
 * The agent engine: one supervised OpenClaw gateway, sessions bound to folders, turns, transcripts.
 *
 * A gateway that ends, hangs or declares itself unusable is replaced by a fresh one on an empty state folder. Its
 * sessions are gone then: each carries the generation that it was opened in, and its owner opens a new one.
 */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "../pause.ts";
import type { BridgeResolution } from "../bridge/config.ts";
import type { BridgeToolSpec } from "./bridgeSetup.ts";
import { type Gateway, type GatewayOptions, gatewayAnswers, startGateway } from "./gateway.ts";
import { EXTENDED_AGENT, PLUGIN_ID, SAFE_AGENT } from "./gatewayConfig.ts";
import { renderPluginManifest } from "./pluginManifest.ts";
import { GatewayRpcError, GatewayUnavailableError } from "./rpc.ts";
import { createTurnGate } from "./turnGate.ts";
import { parseTurnResult, type TurnResult } from "./turnResult.ts";

/** A conversation's session in one gateway. Lost with its gateway. */
export interface EngineSession {
  readonly key: string;
  readonly sessionId: string;
  readonly agentId: string;
  readonly generation: number;
}

export interface TurnInput {
  /** The person's words. A leading slash is escaped: the engine would obey `/reset` as a command. */
  text: string;
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

/** What the gateway must know of a session for one turn: held in its memory, never on disk. */
export interface TurnSetup {
  messageId: string;
  /** Exactly the tools that the model may be offered. */
  tools: string[];
  functions: BridgeToolSpec[];
  bridge: BridgeResolution;
}

export interface EngineHooks {
  onRestart(reason: string): void;
}

export interface AgentEngine {
  /** Boots the gateway and answers a throwaway turn, so that the first person does not wait for it. */
  start(): Promise<{ gatewayBootMs: number; probeTurnMs: number }>;
  openSession(key: string, folder: string, extended: boolean): Promise<EngineSession>;
  isCurrent(session: EngineSession): boolean;
  runTurn(session: EngineSession, input: TurnInput): Promise<TurnResult>;
  exportTranscript(session: EngineSession): Promise<unknown[]>;
  importTranscript(session: EngineSession, messages: unknown[]): Promise<void>;
  closeSession(session: EngineSession): Promise<void>;
  /** Replaces the gateway, for a reason that the caller saw. Resolves when the new one is up. */
  restart(reason: string): Promise<void>;
  pid(): number | null;
  stop(): Promise<void>;
}

const CALL_TIMEOUT_MS = 60_000;
const ABORT_TIMEOUT_MS = 5_000;
/** How long an aborted turn may take to end before the gateway counts as hung. */
const ABORT_GRACE_MS = 10_000;
const STOP_GRACE_MS = 4_000;
const HEALTH_INTERVAL_MS = 5_000;
/** Unanswered health checks in a row that make a gateway hung: a busy one may miss one. */
const HEALTH_MISSES_MAX = 5;
const RESTART_DELAY_MS = 500;
const RESTART_DELAY_MAX_MS = 30_000;
const PROBE_TURN_TIMEOUT_MS = 90_000;

/** Errors after which a gateway never recovers by itself. */
const fatalGatewayError =
  /another OpenClaw process owns|Agent database|database execution admission|cleanup failed|generation was superseded/i;

export function createEngine(
  gatewayOptions: Omit<GatewayOptions, "bridgeToolNames">,
  hooks: EngineHooks,
): AgentEngine {
  let generation = 0;
  let current: Promise<Gateway> | null = null;
  let live: Gateway | null = null;
  let stopping = false;
  const isStopping = (): boolean => stopping;
  let healthTimer: NodeJS.Timeout | null = null;
  const gate = createTurnGate();
  /** Tools of all profiles seen so far: a gateway offers none that its plugin's manifest did not name. */
  const declaredTools = new Set<string>();

  const boot = async (): Promise<Gateway> => {
    const gateway = await startGateway({ ...gatewayOptions, bridgeToolNames: [...declaredTools] });
    generation += 1;
    live = gateway;
    const mine = generation;
    void gateway.exited.then(() => replace(mine, "the gateway ended"));
    void gateway.rpc.closed.then(() => replace(mine, "the gateway closed its socket"));
    return gateway;
  };

  /** Starts the successor of generation `lost`, once, and keeps trying: a worker without a gateway is useless. */
  const replace = (lost: number, reason: string): void => {
    if (stopping || lost !== generation || live === null) return;
    const old = live;
    live = null;
    hooks.onRestart(reason);
    current = (async () => {
      await old.stop(0);
      for (let delay = RESTART_DELAY_MS; !isStopping(); delay = Math.min(delay * 2, RESTART_DELAY_MAX_MS)) {
        try {
          return await boot();
        } catch (error) {
          if (!(error instanceof GatewayUnavailableError)) throw error;
          await pause(delay);
        }
      }
      throw new GatewayUnavailableError("The worker is stopping");
    })();
    // Whoever needs the gateway awaits it; nobody may be waiting just now.
    current.catch(() => undefined);
  };

  const gateway = async (): Promise<Gateway> => {
    if (current === null) throw new GatewayUnavailableError("The gateway was not started");
    return await current;
  };

  const gatewayOf = async (session: EngineSession): Promise<Gateway> => {
    const found = await gateway();
    if (session.generation !== generation) {
      throw new GatewayUnavailableError("The session belonged to a gateway that is gone");
    }
    return found;
  };

  /** One call; an error that this gateway will keep giving makes it the last one. */
  const call = async (target: Gateway, method: string, params: unknown, timeoutMs = CALL_TIMEOUT_MS) => {
    try {
      return await target.rpc.request(method, params, { timeoutMs });
    } catch (error) {
      throw judged(error);
    }
  };
  const judged = (error: unknown): unknown => {
    const fatal =
      error instanceof GatewayUnavailableError ||
      (error instanceof GatewayRpcError && fatalGatewayError.test(error.message));
    if (!fatal) return error;
    replace(generation, error instanceof Error ? error.message : "a fatal error");
    return error instanceof GatewayUnavailableError ? error : new GatewayUnavailableError(String(error));
  };

  /** Names new tools to OpenClaw. Turns must not run meanwhile: a reload retires the tools that they hold. */
  const declare = async (functions: readonly BridgeToolSpec[]): Promise<void> => {
    const isNew = ({ toolName }: BridgeToolSpec): boolean => !declaredTools.has(toolName);
    if (!functions.some(isNew)) return;
    await gate.exclusive(async () => {
      if (!functions.some(isNew)) return;
      for (const { toolName } of functions) declaredTools.add(toolName);
      const target = await gateway();
      const manifest = JSON.stringify(renderPluginManifest([...declaredTools]), null, 2);
      await writeFile(join(target.pluginDir, "openclaw.plugin.json"), manifest);
      await call(target, "plugins.reload", { plugins: [{ pluginId: PLUGIN_ID }] });
    });
  };

  const watchHealth = (): void => {
    let misses = 0;
    healthTimer = setInterval(() => {
      const watched = live;
      const mine = generation;
      if (watched === null) return;
      void gatewayAnswers(watched.port).then((answered) => {
        misses = answered ? 0 : misses + 1;
        if (misses < HEALTH_MISSES_MAX) return;
        misses = 0;
        replace(mine, "the gateway stopped answering");
      });
    }, HEALTH_INTERVAL_MS);
    healthTimer.unref();
  };

  const runOnce = async (session: EngineSession, input: TurnInput): Promise<TurnResult> => {
    const target = await gatewayOf(session);
    input.signal.throwIfAborted();
    await call(target, "bridge.session.setUp", { sessionKey: session.key, ...input.setup });
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
      },
      { timeoutMs: input.timeoutMs + ABORT_GRACE_MS, finalOnly: true },
    );
    run.catch(() => undefined); // Awaited below, or abandoned with its gateway.
    const onAbort = (): void => {
      void abortRun(target, session, input.idempotencyKey, run).then((ended) => {
        if (!ended) replace(session.generation, "an aborted turn did not end");
      });
    };
    input.signal.addEventListener("abort", onAbort, { once: true });
    const stopListening = target.rpc.onAssistantText(input.idempotencyKey, input.onText ?? (() => undefined));
    try {
      const result = parseTurnResult(await Promise.race([run, rejectOnAbort(input.signal)]));
      if (result.kind === "failed" && fatalGatewayError.test(result.reason)) {
        throw new GatewayRpcError("RUN_FAILED", result.reason);
      }
      return result;
    } catch (error) {
      input.signal.throwIfAborted();
      throw judged(error);
    } finally {
      stopListening();
      input.signal.removeEventListener("abort", onAbort);
    }
  };

  const engine: AgentEngine = {
    start: async () => {
      current = boot();
      const booted = await current;
      watchHealth();
      const startedAt = performance.now();
      await probe(engine, gatewayOptions.runDir);
      return { gatewayBootMs: booted.bootMs, probeTurnMs: Math.round(performance.now() - startedAt) };
    },

    openSession: async (key, folder, extended) => {
      const target = await gateway();
      const opened = generation;
      const agentId = extended ? EXTENDED_AGENT : SAFE_AGENT;
      const sessionKey = `agent:${agentId}:${key}`;
      const created = await call(target, "sessions.create", { key: sessionKey, agentId, cwd: folder });
      const sessionId = (created as { sessionId?: unknown }).sessionId;
      if (typeof sessionId !== "string")
        throw new GatewayRpcError("UNKNOWN", "sessions.create returned no sessionId");
      return { key: sessionKey, sessionId, agentId, generation: opened };
    },

    isCurrent: (session) => live !== null && session.generation === generation,

    runTurn: async (session, input) => {
      await declare(input.setup.functions);
      return await gate.shared(async () => await runOnce(session, input));
    },

    exportTranscript: async (session) => {
      const answer = await call(await gatewayOf(session), "bridge.transcript.export", identity(session));
      const messages = (answer as { messages?: unknown }).messages;
      if (!Array.isArray(messages))
        throw new GatewayRpcError("UNKNOWN", "The transcript came back without messages");
      return messages as unknown[];
    },

    importTranscript: async (session, messages) => {
      await call(await gatewayOf(session), "bridge.transcript.import", { ...identity(session), messages });
    },

    closeSession: async (session) => {
      if (!engine.isCurrent(session)) return; // Gone with its gateway, and its state folder with it.
      const target = await gatewayOf(session);
      await call(target, "bridge.session.forget", { sessionKey: session.key });
      await call(target, "sessions.delete", { key: session.key, deleteTranscript: true });
      await removeArchives(gatewayOptions.runDir, session.agentId);
    },

    restart: async (reason) => {
      await gateway();
      replace(generation, reason);
      await gateway();
    },

    pid: () => live?.pid ?? null,

    stop: async () => {
      stopping = true;
      if (healthTimer !== null) clearInterval(healthTimer);
      const booting = current;
      if (live !== null) await live.stop(STOP_GRACE_MS);
      else if (booting !== null) await booting.then((started) => started.stop(0)).catch(() => undefined);
      live = null;
    },
  };
  return engine;
}

/** A throwaway turn: loads what the first real one needs, and proves that the model answers. */
async function probe(engine: AgentEngine, runDir: string): Promise<void> {
  const session = await engine.openSession("probe", `${runDir}/workspace`, false);
  const result = await engine.runTurn(session, {
    text: "Reply with the single word ready.",
    extraSystemPrompt: "",
    idempotencyKey: "probe:1",
    timeoutMs: PROBE_TURN_TIMEOUT_MS,
    signal: AbortSignal.timeout(PROBE_TURN_TIMEOUT_MS),
    setup: { messageId: "probe", tools: [], functions: [], bridge: { ok: false, error: "no bridge" } },
  });
  if (result.kind !== "answered")
    throw new GatewayRpcError("PROBE_FAILED", `The probe turn ended ${result.kind}: ${result.reason}`);
  await engine.closeSession(session);
}

/** OpenClaw keeps an archive of a deleted session's transcript; here nothing of a conversation may stay. */
async function removeArchives(runDir: string, agentId: string): Promise<void> {
  const dir = join(runDir, "state/agents", agentId, "sessions");
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  for (const name of names) if (name.includes(".deleted.")) await rm(join(dir, name), { force: true });
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

function identity(session: EngineSession): Record<string, string> {
  return { agentId: session.agentId, sessionKey: session.key, sessionId: session.sessionId };
}

/** `/new` and `/reset` are commands to the engine: after these words a person's slash is plain text. */
export function escapeCommand(text: string): string {
  return /^\s*\//.test(text) ? `User: ${text.trimStart()}` : text;
}
