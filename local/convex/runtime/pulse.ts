import type { RequestInfo } from "./protocol.ts";

/**
 * The heartbeat that the runtime thread shares with the host. Function code that never yields stops the beat;
 * the host then terminates the thread, and the label tells it whose code was running.
 */
const BEAT = 0;
const EXEMPT = 1;
const LABEL_LENGTH = 2;
const SLOT_BYTES = 3 * Int32Array.BYTES_PER_ELEMENT;
const LABEL_BYTES = 160;

export const BEAT_INTERVAL_MS = 100;
export const SCHEDULED_LABEL = "scheduled:";
export const CRON_LABEL = "cron:";

export function newPulse(): SharedArrayBuffer {
  return new SharedArrayBuffer(SLOT_BYTES + LABEL_BYTES);
}

/** Names the origin of a call: a scheduled function, a cron, or the request of a client. */
export function labelOf(request: RequestInfo): string {
  return request.scheduledFunctionId === null
    ? request.id
    : `${SCHEDULED_LABEL}${request.scheduledFunctionId}`;
}

/** The label of a subscribed query. */
export function watchLabel(key: number): string {
  return `watch-${key}`;
}

/** The runtime's side. */
export class PulseWriter {
  readonly #slots: Int32Array;
  readonly #label: Buffer;
  #last: RequestInfo | null = null;

  constructor(buffer: SharedArrayBuffer) {
    this.#slots = new Int32Array(buffer, 0, 3);
    this.#label = Buffer.from(buffer, SLOT_BYTES, LABEL_BYTES);
  }

  beat(): void {
    Atomics.add(this.#slots, BEAT, 1);
  }

  /** Says that function code runs now on behalf of this request. Called often, hence the comparison. */
  enter(request: RequestInfo): void {
    if (this.#last === request) return;
    this.#last = request;
    this.#slots[LABEL_LENGTH] = this.#label.write(labelOf(request), "utf8");
  }

  /** Runs engine work that may rightly take long, such as building an index. */
  exempt<T>(work: () => T): T {
    Atomics.add(this.#slots, EXEMPT, 1);
    try {
      return work();
    } finally {
      Atomics.sub(this.#slots, EXEMPT, 1);
      this.beat();
    }
  }
}

/** The host's side. */
export class PulseReader {
  readonly #slots: Int32Array;
  readonly #label: Buffer;

  constructor(buffer: SharedArrayBuffer) {
    this.#slots = new Int32Array(buffer, 0, 3);
    this.#label = Buffer.from(buffer, SLOT_BYTES, LABEL_BYTES);
  }

  read(): { readonly beat: number; readonly exempt: boolean } {
    return { beat: Atomics.load(this.#slots, BEAT), exempt: Atomics.load(this.#slots, EXEMPT) > 0 };
  }

  label(): string {
    return this.#label.toString("utf8", 0, this.#slots[LABEL_LENGTH]);
  }
}
