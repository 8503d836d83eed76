/** The agent engine: one supervised OpenClaw gateway, sessions bound to folders, turns, transcripts. */
import { createDeclaredTools } from "./declaredTools.ts";
import { type GatewayOptions, startGateway } from "./gateway.ts";
import { GatewayRpcError } from "./rpc.ts";
import { runTurn, type TurnInput } from "./runTurn.ts";
import { createSessions, type EngineSession } from "./sessions.ts";
import { superviseGateway } from "./supervisor.ts";
import { createTurnGate } from "./turnGate.ts";
import type { TurnResult } from "./turnResult.ts";

export interface EngineHooks {
  onRestart(reason: string): void;
  /** The gateway is gone and none comes up any more. */
  onLost(reason: string): void;
}

export interface EngineOptions extends Omit<GatewayOptions, "bridgeToolNames"> {
  /** See {@link superviseGateway}. */
  healthIntervalMs?: number;
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
  /** @param graceMs how long the gateway may take to end by itself. */
  stop(graceMs?: number): Promise<void>;
}

const PROBE_TURN_TIMEOUT_MS = 90_000;
const STOP_GRACE_MS = 4_000;

export function createEngine(
  { healthIntervalMs, ...gatewayOptions }: EngineOptions,
  hooks: EngineHooks,
): AgentEngine {
  /** Some providers repeat the key that they refuse, and what they say is kept for operators. */
  const withoutKeys = (reason: string): string =>
    gatewayOptions.models.providers.reduce((text, { key }) => text.replaceAll(key, "[key]"), reason);
  const gate = createTurnGate();
  const tools = createDeclaredTools(gate);
  const supervisor = superviseGateway({
    boot: (signal) => startGateway({ ...gatewayOptions, bridgeToolNames: tools.names() }, signal),
    onRestart: (reason) => hooks.onRestart(reason),
    onLost: (reason) => hooks.onLost(reason),
    ...(healthIntervalMs === undefined ? {} : { healthIntervalMs }),
  });
  const sessions = createSessions(supervisor, gatewayOptions.runDir);

  const engine: AgentEngine = {
    start: async () => {
      const booted = await supervisor.start();
      const startedAt = performance.now();
      try {
        await probe(engine, gatewayOptions.runDir);
      } catch (error) {
        await supervisor.stop(0);
        throw error;
      }
      return { gatewayBootMs: booted.bootMs, probeTurnMs: Math.round(performance.now() - startedAt) };
    },
    openSession: (key, folder, extended) => sessions.open(key, folder, extended),
    isCurrent: (session) => supervisor.isLive(session.generation),
    runTurn: async (session, input) => {
      try {
        await tools.declare(input.setup.functions, supervisor);
        const result = await gate.shared(async () => await runTurn(supervisor, session, input));
        return result.kind === "answered" ? result : { ...result, reason: withoutKeys(result.reason) };
      } catch (error) {
        if (error instanceof GatewayRpcError) error.message = withoutKeys(error.message);
        throw error;
      }
    },
    exportTranscript: (session) => sessions.exportTranscript(session),
    importTranscript: (session, messages) => sessions.importTranscript(session, messages),
    closeSession: (session) => sessions.close(session),
    restart: async (reason) => {
      await supervisor.current();
      supervisor.replace(supervisor.generation(), reason);
      await supervisor.current();
    },
    pid: () => supervisor.pid(),
    stop: (graceMs = STOP_GRACE_MS) => supervisor.stop(graceMs),
  };
  return engine;
}

/** A throwaway turn: loads what the first real one needs, and proves that the model answers. */
async function probe(engine: AgentEngine, runDir: string): Promise<void> {
  const session = await engine.openSession("probe", `${runDir}/workspace`, false);
  const result = await engine.runTurn(session, {
    text: "Reply with the single word ready.",
    pictures: [],
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
