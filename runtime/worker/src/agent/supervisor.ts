/**
 * Keeps one gateway alive. One that ends, hangs, answers garbage or declares itself unusable is replaced by a fresh one
 * on an empty state folder; whatever belonged to the lost one carries its generation and is refused from then on.
 */
import type * as z from "zod";
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
  /**
   * One call. An error that this gateway will keep giving makes it the last one, and so does an answer of another
   * shape: a gateway that says what cannot be is not asked again.
   */
  call<T>(target: Gateway, method: string, params: unknown, answer: z.ZodType<T>): Promise<T>;
  /** The error to throw on; replaces the gateway that it came from when that cannot recover. */
  judge(error: unknown, target: Gateway): unknown;
  /** Starts the successor of generation `lost`, once, and keeps trying: a worker without a gateway is useless. */
  replace(lost: number, reason: string): void;
  pid(): number | null;
  stop(graceMs: number): Promise<void>;
}

export interface SupervisorOptions {
  /** @param signal ends the boot; nothing is left running then. */
  boot(signal: AbortSignal): Promise<Gateway>;
  onRestart(reason: string): void;
  /** No successor came up, {@link BOOTS_MAX} times in a row: this worker will never serve again. */
  onLost(reason: string): void;
  /** Between two health checks, ms. */
  healthIntervalMs?: number;
}

const CALL_TIMEOUT_MS = 60_000;
const HEALTH_INTERVAL_MS = 5_000;
/** Unanswered health checks in a row that make a gateway hung: a busy one may miss one. */
const HEALTH_MISSES_MAX = 5;
/** Failed boots in a row after which another machine is the better place: what does not pass is not of the gateway. */
const BOOTS_MAX = 5;
const RESTART_DELAY_MS = 500;
const RESTART_DELAY_MAX_MS = 30_000;

/** Errors after which a gateway never recovers by itself. */
const fatalGatewayError =
  /another OpenClaw process owns|Agent database|database execution admission|cleanup failed|generation was superseded/i;

/** The words of a reason that tell of a gateway that is done for; null when there are none. */
export function fatalWords(reason: string): string | null {
  return fatalGatewayError.exec(reason)?.[0] ?? null;
}

export function superviseGateway(options: SupervisorOptions): GatewaySupervisor {
  let generation = 0;
  let current: Promise<Gateway> | null = null;
  let live: Gateway | null = null;
  const ending = new AbortController();
  const isStopping = (): boolean => ending.signal.aborted;
  let healthTimer: NodeJS.Timeout | null = null;

  const boot = async (): Promise<Gateway> => {
    const gateway = await options.boot(ending.signal);
    generation += 1;
    live = gateway;
    const mine = generation;
    void gateway.exited.then((how) => replace(mine, `the gateway ended (${how})`));
    void gateway.rpc.closed.then((reason) => replace(mine, reason));
    return gateway;
  };

  const replace = (lost: number, reason: string): void => {
    if (isStopping() || lost !== generation || live === null) return;
    const old = live;
    live = null;
    options.onRestart(reason);
    current = (async () => {
      await old.stop(0);
      let failure: unknown;
      let delay = RESTART_DELAY_MS;
      for (let boots = 1; boots <= BOOTS_MAX && !isStopping(); boots += 1) {
        try {
          return await boot();
        } catch (error) {
          failure = error;
          await pause(delay, ending.signal);
          delay = Math.min(delay * 2, RESTART_DELAY_MAX_MS);
        }
      }
      if (isStopping()) throw new GatewayUnavailableError("The worker is stopping");
      const why = failure instanceof GatewayRpcError ? failure.summary : String(failure);
      options.onLost(why);
      throw new GatewayUnavailableError(`No gateway comes up: ${why}`);
    })();
    // Whoever needs the gateway awaits it; nobody may be waiting just now.
    current.catch(() => undefined);
  };

  const supervised = async (): Promise<Gateway> => {
    if (current === null) throw new GatewayUnavailableError("The gateway was not started");
    return await current;
  };

  const judge = (error: unknown, target: Gateway): unknown => {
    if (!(error instanceof GatewayRpcError)) return error;
    const words = error instanceof GatewayUnavailableError ? error.summary : fatalWords(error.message);
    if (words === null) return error;
    // A late word of a gateway that is gone says nothing about its successor.
    if (target === live) replace(generation, words);
    return error instanceof GatewayUnavailableError
      ? error
      : new GatewayUnavailableError(error.message, words);
  };

  const watchHealth = (): void => {
    const intervalMs = options.healthIntervalMs ?? HEALTH_INTERVAL_MS;
    let misses = 0;
    healthTimer = setInterval(() => {
      const watched = live;
      if (watched === null) return;
      void serves(watched, intervalMs).then((answered) => {
        if (watched !== live) return;
        misses = answered ? 0 : misses + 1;
        if (misses < HEALTH_MISSES_MAX) return;
        misses = 0;
        replace(generation, "the gateway stopped answering");
      });
    }, intervalMs);
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
    call: async (target, method, params, answer) => {
      try {
        const said = await target.rpc.request(method, params, { timeoutMs: CALL_TIMEOUT_MS });
        const parsed = answer.safeParse(said);
        if (!parsed.success)
          throw new GatewayUnavailableError(`${method} was answered with an unknown shape`);
        return parsed.data;
      } catch (error) {
        throw judge(error, target);
      }
    },
    judge,
    replace,
    pid: () => live?.pid ?? null,
    stop: async (graceMs) => {
      ending.abort();
      if (healthTimer !== null) clearInterval(healthTimer);
      const booting = current;
      if (live !== null) await live.stop(graceMs);
      else if (booting !== null) await booting.then((started) => started.stop(0)).catch(() => undefined);
      live = null;
    },
  };
}

/** Over HTTP and over the socket: either may have stopped alone, and a turn waits on the socket. */
async function serves(gateway: Gateway, withinMs: number): Promise<boolean> {
  const [healthy, answers] = await Promise.all([
    gatewayAnswers(gateway.port),
    gateway.rpc.request("bridge.alive", {}, { timeoutMs: withinMs }).then(
      () => true,
      // A refusal is an answer, too: a plugin that is being reloaded knows no methods for a moment.
      (error: unknown) => !(error instanceof GatewayUnavailableError),
    ),
  ]);
  return healthy && answers;
}
