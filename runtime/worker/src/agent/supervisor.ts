/**
 * Keeps one gateway alive. One that ends, hangs or declares itself unusable is replaced by a fresh one on an empty
 * state folder; whatever belonged to the lost one carries its generation and is refused from then on.
 */
import { pause } from "../pause.ts";
import { type Gateway, gatewayAnswers } from "./gateway.ts";
import { GatewayRpcError, GatewayUnavailableError } from "./rpc.ts";

export interface GatewaySupervisor {
  /** Boots the first gateway and begins to watch it. */
  start(): Promise<Gateway>;
  /** The gateway in service; while it is being replaced, its successor. */
  current(): Promise<Gateway>;
  /** The gateway of that generation. @throws {GatewayUnavailableError} when it is gone. */
  ofGeneration(generation: number): Promise<Gateway>;
  /** Counts the gateways: what was opened in an earlier one is lost. */
  generation(): number;
  isLive(generation: number): boolean;
  /** One call; an error that this gateway will keep giving makes it the last one. */
  call(target: Gateway, method: string, params: unknown): Promise<unknown>;
  /** The error to throw on; replaces the gateway when it cannot recover from it. */
  judge(error: unknown): unknown;
  /** Starts the successor of generation `lost`, once, and keeps trying: a worker without a gateway is useless. */
  replace(lost: number, reason: string): void;
  pid(): number | null;
  stop(graceMs: number): Promise<void>;
}

export interface SupervisorOptions {
  boot(): Promise<Gateway>;
  onRestart(reason: string): void;
}

const CALL_TIMEOUT_MS = 60_000;
const HEALTH_INTERVAL_MS = 5_000;
/** Unanswered health checks in a row that make a gateway hung: a busy one may miss one. */
const HEALTH_MISSES_MAX = 5;
const RESTART_DELAY_MS = 500;
const RESTART_DELAY_MAX_MS = 30_000;

/** Errors after which a gateway never recovers by itself. */
const fatalGatewayError =
  /another OpenClaw process owns|Agent database|database execution admission|cleanup failed|generation was superseded/i;

export function isFatalToGateway(reason: string): boolean {
  return fatalGatewayError.test(reason);
}

export function superviseGateway(options: SupervisorOptions): GatewaySupervisor {
  let generation = 0;
  let current: Promise<Gateway> | null = null;
  let live: Gateway | null = null;
  let stopping = false;
  const isStopping = (): boolean => stopping;
  let healthTimer: NodeJS.Timeout | null = null;

  const boot = async (): Promise<Gateway> => {
    const gateway = await options.boot();
    generation += 1;
    live = gateway;
    const mine = generation;
    void gateway.exited.then(() => replace(mine, "the gateway ended"));
    void gateway.rpc.closed.then(() => replace(mine, "the gateway closed its socket"));
    return gateway;
  };

  const replace = (lost: number, reason: string): void => {
    if (stopping || lost !== generation || live === null) return;
    const old = live;
    live = null;
    options.onRestart(reason);
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

  const supervised = async (): Promise<Gateway> => {
    if (current === null) throw new GatewayUnavailableError("The gateway was not started");
    return await current;
  };

  const judge = (error: unknown): unknown => {
    const fatal =
      error instanceof GatewayUnavailableError ||
      (error instanceof GatewayRpcError && isFatalToGateway(error.message));
    if (!fatal) return error;
    replace(generation, error instanceof Error ? error.message : "a fatal error");
    return error instanceof GatewayUnavailableError ? error : new GatewayUnavailableError(String(error));
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

  return {
    start: async () => {
      current = boot();
      const booted = await current;
      watchHealth();
      return booted;
    },
    current: supervised,
    ofGeneration: async (wanted) => {
      const found = await supervised();
      if (wanted !== generation)
        throw new GatewayUnavailableError("The session belonged to a gateway that is gone");
      return found;
    },
    generation: () => generation,
    isLive: (wanted) => live !== null && wanted === generation,
    call: async (target, method, params) => {
      try {
        return await target.rpc.request(method, params, { timeoutMs: CALL_TIMEOUT_MS });
      } catch (error) {
        throw judge(error);
      }
    },
    judge,
    replace,
    pid: () => live?.pid ?? null,
    stop: async (graceMs) => {
      stopping = true;
      if (healthTimer !== null) clearInterval(healthTimer);
      const booting = current;
      if (live !== null) await live.stop(graceMs);
      else if (booting !== null) await booting.then((started) => started.stop(0)).catch(() => undefined);
      live = null;
    },
  };
}
