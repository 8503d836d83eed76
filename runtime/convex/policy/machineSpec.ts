import type { RuntimeConfig } from "./runtimeConfig.ts";

/** The part of the config that an existing machine cannot take over: a change of it is rolled out. */
export interface MachineSpec {
  appName: string;
  organizationSlug: string;
  image: string;
  guest: RuntimeConfig["provider"]["guest"];
  volume: RuntimeConfig["provider"]["volume"];
  env: Record<string, string>;
  minSecretsVersion: number | null;
}

export function machineSpec(provider: RuntimeConfig["provider"]): MachineSpec {
  const { appName, organizationSlug, image, guest, volume, env, minSecretsVersion } = provider;
  return { appName, organizationSlug, image, guest, volume, env, minSecretsVersion };
}

/** Same spec, same text, whatever the order in which its keys were written. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/**
 * What a spec is named by. An image in the app's own repository names the app already, so that the names of earlier
 * releases, which left the app out, still hold; the organization is the app's.
 */
function identity({ organizationSlug: _of, appName, ...spec }: MachineSpec): object {
  return spec.image.includes(`/${appName}@`) ? spec : { ...spec, appName };
}

/** 16 hex digits that name a spec. */
export async function specHash(provider: RuntimeConfig["provider"]): Promise<string> {
  const bytes = new TextEncoder().encode(canonicalJson(identity(machineSpec(provider))));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest.slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What changed between two specs, in words for the decision log. */
export function describeSpecChange(before: MachineSpec, after: MachineSpec): string {
  const changed = (Object.keys(after) as Array<keyof MachineSpec>).filter(
    (key) => canonicalJson(before[key]) !== canonicalJson(after[key]),
  );
  return changed.length === 0 ? "nothing" : changed.join(", ");
}
