/** Names of bridge functions: as helpers see them (`bridge.<key>`) and as a model's tools (`bridge_<key>`). */
import { createHash } from "node:crypto";

const toolNamePattern = /^bridge\.([A-Za-z0-9._-]+)$/;

export function isBridgeToolName(toolName: string): boolean {
  return toolNamePattern.test(toolName);
}

/** The function's key; null for a tool that is not the bridge's. */
export function bridgeFunctionKeyFromToolName(toolName: string): string | null {
  return toolNamePattern.exec(toolName)?.[1] ?? null;
}

/** Providers accept letters, digits, `_` and `-`, at most 64 of them. */
const MODEL_TOOL_CHARS_MAX = 64;

/**
 * The name of each function's tool, as a model sees it. A key that had to be changed to fit carries a hash of
 * itself, so that no two keys share a tool.
 */
export function modelToolName(functionKey: string): string {
  const plain = `bridge_${functionKey}`;
  if (plain.length <= MODEL_TOOL_CHARS_MAX && /^[A-Za-z0-9_-]+$/.test(plain)) return plain;
  const hash = createHash("sha256").update(functionKey).digest("hex").slice(0, 8);
  const readable = plain.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, MODEL_TOOL_CHARS_MAX - 9);
  return `${readable}_${hash}`;
}
