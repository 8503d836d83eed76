import { inspect } from "node:util";
import { running } from "./context.ts";
import type { LogLine } from "./protocol.ts";

/** Convex keeps this many lines of one call and this many characters of one line. */
const MAX_LINES = 256;
const MAX_LINE_LENGTH = 32_768;

const LEVELS = {
  log: "LOG",
  debug: "DEBUG",
  info: "INFO",
  warn: "WARN",
  error: "ERROR",
  trace: "LOG",
} as const satisfies Record<string, LogLine["level"]>;

const now = Date.now.bind(Date);

/** Replaces `console` so that lines belong to the call that wrote them. Outside of calls they go to stderr. */
export function installConsole(): void {
  for (const [method, level] of Object.entries(LEVELS)) {
    (globalThis.console as unknown as Record<string, unknown>)[method] = (...values: unknown[]) => {
      const context = running.getStore();
      if (context === undefined) {
        process.stderr.write(`${values.map((value) => inspect(value)).join(" ")}\n`);
        return;
      }
      if (context.logs.length >= MAX_LINES) return;
      const text = values.map((value) => inspect(value, { depth: 6 })).join(" ");
      const isTruncated = text.length > MAX_LINE_LENGTH;
      const messages = [isTruncated ? text.slice(0, MAX_LINE_LENGTH) : text];
      context.logs.push({ level, messages, timestamp: now(), isTruncated });
    };
  }
}
