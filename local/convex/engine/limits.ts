import { FunctionError } from "./errors.ts";

const MIB = 1 << 20;

/** What one transaction may do; the figures are Convex's. */
export const TRANSACTION_LIMITS = {
  bytesRead: 16 * MIB,
  bytesWritten: 16 * MIB,
  databaseQueries: 4_096,
  documentsRead: 32_000,
  documentsWritten: 16_000,
  functionsScheduled: 1_000,
  scheduledFunctionArgsBytes: 16 * MIB,
  filesWritten: 1_000,
  fileWriteBytes: 16 * MIB,
  filesRead: 1_000,
  fileReadBytes: 16 * MIB,
} as const;

export type Metric = keyof typeof TRANSACTION_LIMITS;
export type Usage = Record<Metric, number>;

/** Largest document, in bytes as Convex counts them. */
export const MAX_DOCUMENT_BYTES = MIB;
/** Largest function argument or result, in bytes of JSON. */
export const MAX_VALUE_BYTES = 16 * MIB;

const ADVICE: Record<Metric, string> = {
  bytesRead:
    "Too many bytes read in a single function execution (limit: {limit} bytes). Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.",
  documentsRead:
    "Too many documents read in a single function execution (limit: {limit}). Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.",
  databaseQueries:
    "Too many reads in a single function execution (limit: {limit}). Consider reading a range of documents with one indexed query instead of one document at a time.",
  bytesWritten: "Too many bytes written in a single function execution (limit: {limit} bytes).",
  documentsWritten: "Too many documents written in a single function execution (limit: {limit}).",
  functionsScheduled: "Too many functions scheduled by this mutation (limit: {limit}).",
  scheduledFunctionArgsBytes:
    "Too large total size of the arguments of scheduled functions from this mutation (limit: {limit} bytes).",
  filesWritten: "Too many files written in a single function execution (limit: {limit}).",
  fileWriteBytes: "Too many file bytes written in a single function execution (limit: {limit} bytes).",
  filesRead: "Too many files read in a single function execution (limit: {limit}).",
  fileReadBytes: "Too many file bytes read in a single function execution (limit: {limit} bytes).",
};

/** Reads that happened keep counting after a nested mutation is rolled back; its writes do not. */
const KEPT_ON_ROLLBACK = new Set<Metric>([
  "bytesRead",
  "documentsRead",
  "databaseQueries",
  "filesRead",
  "fileReadBytes",
]);

function noUsage(): Usage {
  return Object.fromEntries(Object.keys(TRANSACTION_LIMITS).map((metric) => [metric, 0])) as Usage;
}

/** Counts what a transaction uses and refuses to go past its limits. */
export class Meter {
  #usage: Usage = noUsage();
  #limits: Usage = { ...TRANSACTION_LIMITS };

  spend(metric: Metric, amount: number): void {
    const used = this.#usage[metric] + amount;
    if (used > this.#limits[metric]) {
      throw new FunctionError(ADVICE[metric].replace("{limit}", String(this.#limits[metric])));
    }
    this.#usage[metric] = used;
  }

  usage(): Readonly<Usage> {
    return this.#usage;
  }

  /** Used and remaining amounts, as `ctx.meta.getTransactionMetrics()` reports them. */
  report(): Record<Metric, { used: number; remaining: number }> {
    const entries = Object.entries(this.#usage) as [Metric, number][];
    return Object.fromEntries(
      entries.map(([metric, used]) => [metric, { used, remaining: this.#limits[metric] - used }]),
    ) as Record<Metric, { used: number; remaining: number }>;
  }

  /**
   * Opens a nested call whose own limits can only be tighter.
   * @returns a function that closes it and says whether its writes were undone
   */
  nest(limits: Partial<Usage> | undefined): (rolledBack: boolean) => void {
    const outerLimits = this.#limits;
    const before = { ...this.#usage };
    const inner = { ...outerLimits };
    for (const metric of Object.keys(TRANSACTION_LIMITS) as Metric[]) {
      const own = limits?.[metric];
      if (own !== undefined) inner[metric] = Math.min(outerLimits[metric], before[metric] + own);
    }
    this.#limits = inner;
    return (rolledBack) => {
      this.#limits = outerLimits;
      if (!rolledBack) return;
      for (const metric of Object.keys(TRANSACTION_LIMITS) as Metric[]) {
        if (!KEPT_ON_ROLLBACK.has(metric)) this.#usage[metric] = before[metric];
      }
    };
  }
}
