/**
 * The worker's environment, parsed once. Every problem is reported at once, one FATAL line each, and no line
 * ever carries a value: what is wrong may be a secret in the wrong place.
 */
import * as z from "zod";
import { type ModelPlan, planModels } from "./agent/models.ts";

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

const text = z.string().trim().min(1, "must not be blank");

const environmentSchema = z.object({
  /** Cloud URL of the deployment (`.convex.cloud`): the WebSocket side, not the `.convex.site` one. */
  CONVEX_URL: z
    .url("must be a URL")
    .refine(
      (url) => !/\.convex\.site\/?$/.test(url),
      "must be the deployment's .convex.cloud URL, not .convex.site",
    ),
  WORKER_ID: text,
  WORKER_TOKEN: text,
  /** Conversations served at once. */
  WORKER_JOBS: integer(1, 64).default(4),
  /** How long a worker may finish its turns after a stop signal before it releases them, ms. */
  WORKER_DRAIN_TIMEOUT_MS: integer(1_000, 290_000).default(60_000),
  /** Image by digest that this worker runs; reported with `ready`. */
  WORKER_IMAGE: text.optional(),
  /** Prometheus text on this loopback port; off when absent. */
  WORKER_METRICS_PORT: integer(0, 65_535).optional(),
  /** Base URL of a collector that takes OTLP over HTTP; traces and metrics are sent to it. Off when absent. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" })
    .optional(),
  /** `name=value,name=value`, URL-encoded as OpenTelemetry defines it; usually a credential. */
  OTEL_EXPORTER_OTLP_HEADERS: z
    .string()
    .transform((pairs, context) => parseHeaders(pairs, context))
    .optional(),
  OTEL_SERVICE_NAME: text.default("agent-factory-worker"),
  WORKER_LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error"], "must be a pino level")
    .default("info"),
  /** Everything that this worker writes; wiped at every start. */
  DATA_DIR: z.string().startsWith("/", "must be an absolute path").default("/data"),
  /** Folder of the installed `openclaw` package. */
  OPENCLAW_DIR: z.string().startsWith("/", "must be an absolute path"),
});

/** Everything that a worker is told from outside. */
export interface WorkerConfig {
  convexUrl: string;
  workerId: string;
  token: string;
  jobsMax: number;
  drainTimeoutMs: number;
  image: string | null;
  metricsPort: number | null;
  otlp: { endpoint: string; headers: Record<string, string>; serviceName: string } | null;
  logLevel: "trace" | "debug" | "info" | "warn" | "error";
  dataDir: string;
  openclawDir: string;
  models: ModelPlan;
}

export type WorkerConfigResult = { ok: true; config: WorkerConfig } | { ok: false; problems: string[] };

/**
 * Parses the environment of a machine.
 *
 * @returns all problems at once, each naming its variable and never its value.
 */
export function parseWorkerConfig(env: Readonly<Record<string, string | undefined>>): WorkerConfigResult {
  const present = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environmentSchema.safeParse(present);
  const models = planModels(present);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => {
        const name = issue.path.join(".");
        return `${name} ${name in present ? issue.message : "is missing"}`;
      });
  if (!models.ok) problems.push(...models.problems);
  if (!parsed.success || !models.ok) return { ok: false, problems };
  const { data } = parsed;
  return {
    ok: true,
    config: {
      convexUrl: data.CONVEX_URL,
      workerId: data.WORKER_ID,
      token: data.WORKER_TOKEN,
      jobsMax: data.WORKER_JOBS,
      drainTimeoutMs: data.WORKER_DRAIN_TIMEOUT_MS,
      image: data.WORKER_IMAGE ?? null,
      metricsPort: data.WORKER_METRICS_PORT ?? null,
      otlp:
        data.OTEL_EXPORTER_OTLP_ENDPOINT === undefined
          ? null
          : {
              endpoint: data.OTEL_EXPORTER_OTLP_ENDPOINT,
              headers: data.OTEL_EXPORTER_OTLP_HEADERS ?? {},
              serviceName: data.OTEL_SERVICE_NAME,
            },
      logLevel: data.WORKER_LOG_LEVEL,
      dataDir: data.DATA_DIR,
      openclawDir: data.OPENCLAW_DIR,
      models: models.plan,
    },
  };
}

/** Names are what HTTP allows in a header; values may be URL-encoded. */
function parseHeaders(pairs: string, context: z.RefinementCtx): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const pair of pairs.split(",").filter((part) => part.trim() !== "")) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim();
    const value = decoded(pair.slice(at + 1).trim());
    if (at < 1 || !/^[\w!#$%&'*+.^`|~-]+$/.test(name) || value === null) {
      context.addIssue("must be name=value pairs, separated by commas");
      return {};
    }
    headers[name] = value;
  }
  return headers;
}

/** null for what is not URL-encoded text, or no header could carry. */
function decoded(encoded: string): string | null {
  try {
    const value = decodeURIComponent(encoded);
    return /^[\x20-\x7e]*$/.test(value) ? value : null;
  } catch {
    return null;
  }
}
