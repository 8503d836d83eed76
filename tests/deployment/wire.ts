/** Function calls over a deployment's HTTP port, for tests and benches that count and race them. */
import { Agent, request } from "node:http";

export type FunctionKind = "query" | "mutation" | "action";

/** What one call read and wrote, as the embedded deployment tells an admin. */
export interface CallMetrics {
  readonly documentsRead: number;
  readonly documentsWritten: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface CallResult {
  // Results are read by tests that have just named the function; its return validator has checked them.
  // oxlint-disable-next-line no-explicit-any
  readonly value: any;
  /** null unless the caller is an admin. */
  readonly metrics: CallMetrics | null;
}

/** The function ran and refused. Anything else that goes wrong with a call is a plain error: perhaps it ran. */
export class CallRefused extends Error {
  override readonly name = "CallRefused";
  readonly data: unknown;

  constructor(path: string, message: string, data: unknown) {
    super(`${path}: ${message}`);
    this.data = data;
  }
}

const TIMEOUT_MS = 30_000;

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly metrics: CallMetrics | null;
}

/** Plain node:http: the caller shares the machine with what it measures, so it must cost little. */
export class Wire {
  readonly url: string;
  readonly #adminKey: string | null;
  readonly #agent: Agent;

  /** @param adminKey null calls as anybody. @param socketsMax calls in flight at once; the rest wait. */
  constructor(url: string, adminKey: string | null, socketsMax = 128) {
    this.url = url;
    this.#adminKey = adminKey;
    this.#agent = new Agent({ keepAlive: true, maxSockets: socketsMax });
  }

  /** @throws {CallRefused} when the function refused; another error when nobody knows whether it ran. */
  async call(kind: FunctionKind, path: string, args: object): Promise<CallResult> {
    const { status, text, metrics } = await this.post(`/api/${kind}`, { path, args, format: "json" });
    // 560: a function failed. 200 and 560 are the two statuses of a call that ran.
    if (status !== 200 && status !== 560) throw new Error(`${path}: HTTP ${status} ${text.slice(0, 300)}`);
    const body = JSON.parse(text) as {
      status: string;
      value?: unknown;
      errorMessage?: string;
      errorData?: unknown;
    };
    if (body.status !== "success") throw new CallRefused(path, body.errorMessage ?? text, body.errorData);
    return { value: body.value, metrics };
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answered> {
    const text = JSON.stringify(body);
    return await new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}${path}`,
        {
          method: "POST",
          agent: this.#agent,
          timeout: TIMEOUT_MS,
          headers: {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(text),
            ...(this.#adminKey === null ? {} : { authorization: `Convex ${this.#adminKey}` }),
            ...headers,
          },
        },
        (response) => {
          let received = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (received += chunk));
          response.on("error", reject);
          response.on("aborted", () => reject(new Error(`${path}: the connection broke off`)));
          response.on("end", () => {
            const told = response.headers["x-local-metrics"];
            const metrics = typeof told === "string" ? (JSON.parse(told) as CallMetrics) : null;
            resolve({ status: response.statusCode ?? 0, text: received, metrics });
          });
        },
      );
      sent.on("timeout", () => sent.destroy(new Error(`${path}: no answer in ${TIMEOUT_MS} ms`)));
      sent.on("error", reject);
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
