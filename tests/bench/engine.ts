import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ConvexClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { deploy } from "../../local/convex/testing/fixture.ts";

/**
 * `npm run bench:engine`: what the embedded Convex deployment does per second, over its real ports, in its own
 * process. `--json` prints one JSON object and nothing else; every figure carries its unit in its name.
 */

const MAIN = fileURLToPath(new URL("../../local/convex/main.ts", import.meta.url));
const CONCURRENCY = 16;
const WARM_UP_MS = 500;
const FILL_BATCH = 1_000;

interface Figures {
  mutations_per_s: Record<string, number>;
  indexed_queries_per_s: Record<string, number>;
  documents_read_per_indexed_query: Record<string, number>;
  fan_out: { subscribers: number; deliveries: number; p50_ms: number; p95_ms: number };
  memory_rss_mb: Record<string, number>;
  measured_ms_per_figure: number;
}

class Deployment {
  readonly url: string;
  readonly adminKey: string;
  readonly child: ChildProcess;
  // Plain node:http: the client shares the machine with what it measures, so it must cost little.
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });

  constructor(child: ChildProcess, url: string, adminKey: string) {
    this.child = child;
    this.url = url;
    this.adminKey = adminKey;
  }

  static async start(state: string): Promise<Deployment> {
    const child = spawn(process.execPath, [MAIN, "--state", state], { stdio: ["ignore", "pipe", "inherit"] });
    const line = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (data: Buffer) => resolve(data.toString()));
      child.once("exit", (code) =>
        reject(new Error(`The deployment exited with ${code} before it was ready.`)),
      );
    });
    const { url, adminKeyFile } = JSON.parse(line) as { url: string; adminKeyFile: string };
    return new Deployment(child, url, readFileSync(adminKeyFile, "utf8").trim());
  }

  /** Calls a function; resolves to the metrics of the call, rejects unless it succeeded. */
  async call(kind: "query" | "mutation", path: string, args: object): Promise<{ documentsRead: number }> {
    const body = JSON.stringify({ path, format: "convex_encoded_json", args: [args] });
    const headers = { "content-length": Buffer.byteLength(body), authorization: `Convex ${this.adminKey}` };
    return await new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}/api/${kind}`,
        { method: "POST", agent: this.#agent, headers },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (text += chunk));
          response.on("end", () => {
            if (response.statusCode !== 200) return reject(new Error(`${path}: ${text.slice(0, 300)}`));
            resolve(
              JSON.parse(String(response.headers["x-local-metrics"] ?? "{}")) as { documentsRead: number },
            );
          });
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }

  rssMb(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    const exited = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    await exited;
  }
}

/** Calls per second with a fixed number of callers, over a fixed time after a warm-up. */
async function rate(durationMs: number, call: (i: number) => Promise<unknown>): Promise<number> {
  const run = async (ms: number): Promise<number> => {
    const end = performance.now() + ms;
    let done = 0;
    const callers = Array.from({ length: CONCURRENCY }, async (_, caller) => {
      for (let i = caller; performance.now() < end; i += CONCURRENCY) {
        await call(i);
        done += 1;
      }
    });
    const started = performance.now();
    await Promise.all(callers);
    return (done / (performance.now() - started)) * 1_000;
  };
  await run(WARM_UP_MS);
  return Math.round(await run(durationMs));
}

async function fill(deployment: Deployment, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i += FILL_BATCH) {
    await deployment.call("mutation", "faults:fill", {
      count: Math.min(FILL_BATCH, to - i),
      prefix: `${i}-`,
    });
  }
}

function percentile(sorted: readonly number[], part: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
  return Math.round(value * 100) / 100;
}

/** Milliseconds from sending a mutation until each of many sockets has its new result. */
async function fanOut(
  deployment: Deployment,
  subscribers: number,
  rounds: number,
): Promise<Figures["fan_out"]> {
  const value = makeFunctionReference<"query">("counters:value");
  const latencies: number[] = [];
  let sentAt = 0;
  let waiting = 0;
  let allArrived: () => void = () => undefined;
  const clients = Array.from(
    { length: subscribers },
    () => new ConvexClient(deployment.url, { logger: false }),
  );
  const arrived = (): void => {
    if (sentAt > 0) latencies.push(performance.now() - sentAt);
    waiting -= 1;
    if (waiting === 0) allArrived();
  };
  const round = async (begin: () => Promise<unknown>): Promise<void> => {
    waiting = subscribers;
    const all = new Promise<void>((resolve) => (allArrived = resolve));
    await begin();
    await all;
  };
  await round(async () => {
    for (const client of clients) client.onUpdate(value, { name: "fan-out" }, arrived);
  });
  for (let i = 0; i < rounds; i++) {
    await round(() => {
      sentAt = performance.now();
      return deployment.call("mutation", "counters:increment", { name: "fan-out" });
    });
  }
  for (const client of clients) await client.close();
  const sorted = latencies.sort((a, b) => a - b);
  return {
    subscribers,
    deliveries: sorted.length,
    p50_ms: percentile(sorted, 0.5),
    p95_ms: percentile(sorted, 0.95),
  };
}

async function measure(
  sizes: readonly number[],
  durationMs: number,
  say: (line: string) => void,
): Promise<Figures> {
  const state = mkdtempSync(join(tmpdir(), "convex-bench-"));
  const deployment = await Deployment.start(state);
  const figures: Figures = {
    mutations_per_s: {},
    indexed_queries_per_s: {},
    documents_read_per_indexed_query: {},
    fan_out: { subscribers: 0, deliveries: 0, p50_ms: NaN, p95_ms: NaN },
    memory_rss_mb: {},
    measured_ms_per_figure: durationMs,
  };
  try {
    const deployed = await deploy({ url: deployment.url, adminKey: deployment.adminKey });
    if (deployed.code !== 0) throw new Error(`The fixture could not be deployed: ${deployed.stderr}`);
    say(
      `${"documents".padStart(10)} ${"mutations/s".padStart(12)} ${"queries/s".padStart(10)} ${"docs/query".padStart(11)} ${"RSS MB".padStart(7)}`,
    );
    let filled = 0;
    for (const size of sizes) {
      await fill(deployment, filled, size);
      filled = size;
      const channel = `bench-${size}`;
      for (let i = 0; i < 10; i++)
        await deployment.call("mutation", "messages:record", { channel, body: `${i}` });
      const query = () => deployment.call("query", "messages:list", { channel });
      const mutation = (i: number) =>
        deployment.call("mutation", "counters:increment", { name: `${channel}-${i % 512}` });
      figures.indexed_queries_per_s[size] = await rate(durationMs, query);
      figures.mutations_per_s[size] = await rate(durationMs, mutation);
      figures.documents_read_per_indexed_query[size] = (await query()).documentsRead;
      figures.memory_rss_mb[size] = deployment.rssMb();
      say(
        `${String(size).padStart(10)} ${String(figures.mutations_per_s[size]).padStart(12)} ${String(figures.indexed_queries_per_s[size]).padStart(10)} ` +
          `${String(figures.documents_read_per_indexed_query[size]).padStart(11)} ${String(figures.memory_rss_mb[size]).padStart(7)}`,
      );
    }
    figures.fan_out = await fanOut(deployment, 100, 30);
    const { subscribers, deliveries, p50_ms, p95_ms } = figures.fan_out;
    say(
      `\nfan-out: ${subscribers} sockets, ${deliveries} deliveries, mutation to delivery p50 ${p50_ms} ms, p95 ${p95_ms} ms`,
    );
    return figures;
  } finally {
    await deployment.stop();
    rmSync(state, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    sizes: { type: "string", default: "0,10000,100000" },
    "duration-ms": { type: "string", default: "3000" },
  },
});
const sizes = values.sizes.split(",").map(Number);
const durationMs = Number(values["duration-ms"]);
if (![...sizes, durationMs].every((one) => Number.isInteger(one) && one >= 0)) {
  process.stderr.write("--sizes takes whole numbers separated by commas, --duration-ms one whole number.\n");
  process.exit(1);
}
const figures = await measure(sizes, durationMs, (line) => {
  if (!values.json) process.stdout.write(`${line}\n`);
});
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`);
