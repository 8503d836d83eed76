/** Finds the operation of a request. Paths are few, so that a walk over them is all that is needed. */
import type { Operation } from "./operation.ts";

export type Match =
  | { kind: "found"; operation: Operation; params: Record<string, string> }
  | { kind: "wrong_method"; allowed: string[] }
  | { kind: "unknown" };

/** `path` starts with a slash, below the API's prefix. Segments are decoded once; malformed ones match nothing. */
export function matchOperation(operations: readonly Operation[], method: string, path: string): Match {
  const segments = decodeSegments(path);
  if (segments === null) return { kind: "unknown" };
  const allowed: string[] = [];
  for (const operation of operations) {
    const params = matchPath(operation.path, segments);
    if (params === null) continue;
    if (operation.method === method) return { kind: "found", operation, params };
    allowed.push(operation.method);
  }
  return allowed.length === 0 ? { kind: "unknown" } : { kind: "wrong_method", allowed };
}

function decodeSegments(path: string): string[] | null {
  try {
    return path.slice(1).split("/").map(decodeURIComponent);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

function matchPath(template: string, segments: readonly string[]): Record<string, string> | null {
  const wanted = template.slice(1).split("/");
  if (wanted.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const segment = segments[index] as string;
    if (part.startsWith("{")) params[part.slice(1, -1)] = segment;
    else if (part !== segment) return null;
  }
  return params;
}
