/** JSON lines with ids, never content and never a secret. */
import { type DestinationStream, pino } from "pino";

/** The part of a logger that the worker uses. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
}

/** Names under which a secret or a person's words could reach a line by accident. */
const redacted = [
  "token",
  "credential",
  "key",
  "apiKey",
  "authorization",
  "text",
  "messageText",
  "payload",
  "content",
];

/** @param to where the lines go; standard output by default. */
export function createLog(level: string, bindings: Record<string, string>, to?: DestinationStream): Log {
  const options = {
    level,
    base: bindings,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: redacted.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
  };
  return to === undefined ? pino(options) : pino(options, to);
}
