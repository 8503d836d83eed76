import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";
import { capacityAnswer } from "../faults/capacity.ts";
import type { FaultBook, FaultEffect } from "../faults/faultBook.ts";
import { ulid } from "../ids.ts";
import { type CallCounts, NO_ANSWER } from "../observe/callCounts.ts";

export type Env = { Bindings: HttpBindings };

/** What an operation's body learns about the request beside the request itself. */
export interface Passage {
  emptyPage: boolean;
}

/**
 * The edge every request passes, Machines API, GraphQL and registry alike: it counts the call, plays injected
 * faults, and gives every answer its request id. `act` runs at most once; a fault decides whether its answer is seen.
 */
export class Gateway {
  readonly #faults: FaultBook;
  readonly #counts: CallCounts;
  readonly #now: () => number;
  readonly #region: string;

  constructor(faults: FaultBook, counts: CallCounts, now: () => number, region: string) {
    this.#faults = faults;
    this.#counts = counts;
    this.#now = now;
    this.#region = region;
  }

  async pass(
    context: Context<Env>,
    operation: string,
    app: string | undefined,
    act: (passage: Passage) => Promise<Response>,
  ): Promise<Response> {
    const effect = this.#faults.decide(operation, app);
    const response = await this.#play(context, effect, act);
    this.#counts.add(operation, app, response === null ? NO_ANSWER : response.status);
    if (response === null) return RESPONSE_ALREADY_SENT;
    response.headers.set("fly-request-id", `${ulid(this.#now())}-${this.#region}`);
    return response;
  }

  /** Null = the connection was cut without an answer. */
  async #play(
    context: Context<Env>,
    effect: FaultEffect | null,
    act: (passage: Passage) => Promise<Response>,
  ): Promise<Response | null> {
    const plain = (): Promise<Response> => act({ emptyPage: false });
    switch (effect?.kind) {
      case undefined:
        return await plain();
      case "status": {
        if (effect.when === "after") await plain();
        return json(effect.status, effect.body ?? { error: "injected fault" }, effect.headers);
      }
      case "capacity": {
        const { status, body } = capacityAnswer(effect.scope);
        return json(status, body);
      }
      case "slow":
        await hold(context, effect.delayMs);
        return await plain();
      case "emptyPage":
        return await act({ emptyPage: true });
      case "timeout":
        if (effect.when === "after") await plain();
        await hold(context, effect.holdMs);
        context.env.outgoing.destroy();
        return null;
      case "reset":
        if (effect.when === "after") await plain();
        context.env.incoming.socket.resetAndDestroy();
        return null;
    }
  }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

/** Waits, but no longer than the client does. */
function hold(context: Context<Env>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    context.env.outgoing.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
