import type { LogLine } from "./protocol.ts";

/** The form in which clients receive a log line. */
export function logText(line: LogLine): string {
  return `[${line.level}] ${line.messages.join(" ")}${line.isTruncated ? " (truncated due to length)" : ""}`;
}
