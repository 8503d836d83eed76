/** The stack's outputs as a person reads them: aligned, without JSON's marks. */
export function outputLines(outputs: Record<string, unknown>): string[] {
  const rows = Object.entries(outputs).flatMap(([name, value]) => rowsOf(name, value));
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`);
}

function rowsOf(name: string, value: unknown): Array<[string, string]> {
  if (value === null || value === undefined) return [[name, "–"]];
  if (typeof value === "string") return [[name, value]];
  if (typeof value !== "object" || Array.isArray(value)) return [[name, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => rowsOf(`${name}.${key}`, inner));
}
