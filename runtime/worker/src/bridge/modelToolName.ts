/** Names of bridge functions as a model's tools: `bridge_<key>`. */
import { createHash } from "node:crypto";

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
