/**
 * The worker's loop. States go one way: serving → draining → stopped. A wake-up of the inbox means: claim until
 * there is no more or no slot is free. Nothing polls.
 */
import { randomUUID } from "node:crypto";
import type { Claim, Inbox } from "../../convex/validators.ts";
import { BackendError, type WorkerBackend } from "./backend/backend.ts";
import type { LeaseKeeper } from "./lease.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";
import { beginTurn, type TurnDeps, type TurnEnd } from "./turn.ts";

export interface LoopOptions {
  backend: WorkerBackend;
  turnDeps: Omit<TurnDeps, "onHeartbeat" | "backend" | "log">;
  log: Log;
  jobsMax: number;
  /** Of a drain that names no limit, as after a signal, ms. */
  drainTimeoutMs: number;
  onTurnEnd?: (claim: Claim, end: TurnEnd, totalMs: number) => void;
}

export interface WorkerLoop {
  /** Asks for no more work, finishes or releases what runs. Resolves when nothing runs any more. */
  drain(reason: string): Promise<void>;
  /** Resolves with the reason when the loop has stopped for good. */
  readonly stopped: Promise<string>;
  activeTurns(): number;
}

/** More than there are slots: claim until there is no more. */
const UNTIL_EMPTY = 1_000;
const CLAIM_RETRY_MS = 500;
const CLAIM_RETRY_MAX_MS = 30_000;
/** After the drain's deadline: aborting and releasing must end within this, ms. */
const RELEASE_LIMIT_MS = 5_000;

export function runLoop(options: LoopOptions): WorkerLoop {
  const { backend, log } = options;
  const turns = new Map<string, { keeper: LeaseKeeper; ended: Promise<TurnEnd> }>();
  const stopClaiming = new AbortController();
  const stopped = Promise.withResolvers<string>();
  const timeIsUp = Promise.withResolvers<void>();
  let state: "serving" | "draining" | "stopped" = "serving";
  let jobsMax = options.jobsMax;
  let pumping: Promise<void> | null = null;
  /** Claims worth making: one per wake-up, and without limit where a slot has just become free. */
  let wanted = 0;
  let lastWake: number | null = null;
  let drained: Promise<void> | null = null;
  let idleTimer: NodeJS.Timeout | null = null;
  let idleIntervalMs = 0;
  /** A call had no answer since the subscription was opened. */
  let socketSuspect = false;

  const noteCall = (reached: boolean): void => {
    // The network was away: a socket that lived through it may be silent without knowing, and its wake-ups lost.
    // Opening another costs one query, so that a single call without an answer is reason enough.
    if (reached && socketSuspect) {
      // Who was taken for lost was not woken at all: what the next inbox counts says nothing about what waits.
      lastWake = null;
      backend.reconnect();
    }
    socketSuspect = !reached;
  };

  const start = (claim: Claim, claimedAt: number): void => {
    const turn = beginTurn(claim, claimedAt, {
      ...options.turnDeps,
      backend,
      log,
      onHeartbeat: noteCall,
    });
    turns.set(claim.messageId, turn);
    const ids = { messageId: claim.messageId, conversationId: claim.conversationId, leaseId: claim.leaseId };
    log.info({ ...ids, attempt: claim.attempt }, "Turn begun");
    void turn.ended.then((end) => {
      turns.delete(claim.messageId);
      const totalMs = Math.round(performance.now() - claimedAt);
      log.info({ ...ids, ...end, totalMs }, "Turn ended");
      options.onTurnEnd?.(claim, end, totalMs);
      if (end.kind === "released" && end.reason === "spent")
        void drain("commands ran here, and another owner came");
      else pump(UNTIL_EMPTY);
    });
  };

  const hasWork = (): boolean => state === "serving" && turns.size < jobsMax && wanted > 0;

  /** Claims while slots are free. A claim whose answer got lost is repeated with its key: the same lease returns. */
  const claimAll = async (): Promise<void> => {
    let claimKey: string = randomUUID();
    let delay = CLAIM_RETRY_MS;
    while (hasWork()) {
      const before = wanted;
      wanted -= 1;
      const claimedAt = performance.now();
      try {
        const claim = await backend.claim(claimKey);
        noteCall(true);
        claimKey = randomUUID();
        delay = CLAIM_RETRY_MS;
        // Nothing there. A wake-up that came while asking is newer than this answer and stays wanted.
        if (claim === null) wanted = Math.max(0, wanted - (before - 1));
        // A claim that arrives after the drain began is served by nobody else: give it back at once.
        else if (state === "serving") start(claim, claimedAt);
        else await backend.release({ messageId: claim.messageId, leaseId: claim.leaseId }, "drain");
      } catch (error) {
        if (isUnauthorized(error)) return void drain("the worker is no longer known");
        wanted += 1;
        if (hadNoAnswer(error)) noteCall(false);
        log.warn({ error: messageOf(error), retryInMs: delay }, "Claim failed");
        await pause(delay, stopClaiming.signal);
        delay = Math.min(delay * 2, CLAIM_RETRY_MAX_MS);
      }
    }
  };

  const pump = (claims: number): void => {
    wanted = Math.min(wanted + claims, UNTIL_EMPTY);
    if (pumping !== null || state !== "serving") return;
    pumping = claimAll().finally(() => {
      pumping = null;
    });
  };

  const idleBeat = async (): Promise<void> => {
    if (turns.size > 0 || state !== "serving") return; // Leases carry the heartbeat while there is work.
    try {
      const known = await backend.heartbeat(null);
      noteCall(true);
      if (!known) await checkControl();
    } catch (error) {
      if (hadNoAnswer(error)) noteCall(false);
      if (isUnauthorized(error)) void drain("the worker is no longer known");
      else log.warn({ error: messageOf(error) }, "Heartbeat failed");
    }
  };

  const checkControl = async (): Promise<void> => {
    const control = await backend.controlState();
    if (control.shouldStop) void drain(control.reason);
  };

  const onInbox = (inbox: Inbox): void => {
    jobsMax = Math.min(options.jobsMax, inbox.jobsPerWorker);
    if (inbox.idleHeartbeatIntervalMs !== idleIntervalMs) {
      idleIntervalMs = inbox.idleHeartbeatIntervalMs;
      if (idleTimer !== null) clearInterval(idleTimer);
      idleTimer = setInterval(() => void idleBeat(), idleIntervalMs);
    }
    for (const messageId of inbox.cancelled) turns.get(messageId)?.keeper.end("cancelled");
    if (inbox.draining) void drain("the backend drains this worker", inbox.drainRemainingMs ?? undefined);
    else if (inbox.wake !== lastWake) {
      // The first inbox of a connection tells nothing about what was waiting before.
      pump(lastWake === null || inbox.wake < lastWake ? UNTIL_EMPTY : inbox.wake - lastWake);
      lastWake = inbox.wake;
    }
  };

  /**
   * Turns may finish within `limitMs`: the backend's own drains leave time for a whole turn, a signal only what the
   * platform grants. A signal amid a drain of the backend shortens it.
   */
  const drain = (reason: string, limitMs = options.drainTimeoutMs): Promise<void> => {
    setTimeout(timeIsUp.resolve, limitMs).unref();
    drained ??= (async () => {
      state = "draining";
      stopClaiming.abort();
      log.info({ reason, limitMs, turns: turns.size }, "Draining");
      await Promise.race([idle(), timeIsUp.promise]);
      for (const turn of turns.values()) turn.keeper.end("drain");
      await Promise.race([idle(), pause(RELEASE_LIMIT_MS)]);
      state = "stopped";
      if (idleTimer !== null) clearInterval(idleTimer);
      unsubscribe();
      stopped.resolve(reason);
    })();
    return drained;
  };

  const idle = async (): Promise<void> => {
    await pumping;
    await Promise.all([...turns.values()].map((turn) => turn.ended));
  };

  const unsubscribe = backend.subscribeInbox(onInbox, (error) => {
    if (isUnauthorized(error)) void drain("the worker is no longer known");
    else log.warn({ error: messageOf(error) }, "The inbox subscription failed");
  });

  return { drain: (reason) => drain(reason), stopped: stopped.promise, activeTurns: () => turns.size };
}

function isUnauthorized(error: unknown): boolean {
  return error instanceof BackendError && error.kind === "unauthorized";
}

/** Not a refusal: nobody answered, or nobody was reached. */
function hadNoAnswer(error: unknown): boolean {
  return !(error instanceof BackendError) || error.kind === "unknown" || error.kind === "retryable";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
