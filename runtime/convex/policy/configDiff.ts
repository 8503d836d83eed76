/** Whether two configs say the same, and where they differ. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

/** JSON with sorted keys: equal configs give equal text, whatever order a store or a tool returned them in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** Top-level fields that differ; all of them for the first config. */
export function changedFields(previous: RuntimeConfig | undefined, next: RuntimeConfig): string[] {
  const fields = Object.keys(next) as Array<keyof RuntimeConfig>;
  return fields.filter(
    (field) => previous === undefined || canonicalJson(previous[field]) !== canonicalJson(next[field]),
  );
}
