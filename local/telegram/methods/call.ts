import type { Bot } from "../accounts.ts";
import type { Core } from "../core.ts";
import type { Delivery } from "../delivery.ts";
import type { FloodControl } from "../flood.ts";
import type { Params } from "../params.ts";

/** Who polls for which bot: Telegram allows one at a time, and the newer one wins. */
type Polling = Map<number, AbortController>;

/** One authenticated Bot API call. */
export interface Call {
  core: Core;
  bot: Bot;
  params: Params;
  delivery: Delivery;
  flood: FloodControl;
  polling: Polling;
  /** Aborts when the caller leaves. */
  signal: AbortSignal;
}

/** A Bot API method: returns the `result`, or throws an ApiError. */
export type Method = (call: Call) => unknown;
