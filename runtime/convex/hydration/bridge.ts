/** The bridge settings of a conversation's agent, with their secrets resolved (spec F2). */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { readSecret } from "../secrets/read.ts";
import type { BridgeRuntimeConfig } from "../validators.ts";

type Found = { value: string; secretRef: string };

async function firstSecret(ctx: QueryCtx, refs: ReadonlyArray<string | undefined>): Promise<Found | null> {
  for (const secretRef of refs) {
    if (secretRef === undefined) continue;
    const value = await readSecret(ctx, secretRef);
    if (value !== null && value.trim() !== "") return { value, secretRef };
  }
  return null;
}

/** Profile first, then the agent's own secret, then the global one. null when the bridge is disabled. */
export async function resolveBridge(
  ctx: QueryCtx,
  profile: Pick<Doc<"agentProfiles">, "agentKey" | "bridgeConfig">,
): Promise<BridgeRuntimeConfig | null> {
  const bridge = profile.bridgeConfig;
  if (bridge?.enabled !== true) return null;
  const refsOf = (field: string) => [`agent-bridge.${field}.${profile.agentKey}`, `agent-bridge.${field}`];
  const plain = async (own: string | undefined, field: string): Promise<string | null> => {
    if (own !== undefined && own.trim() !== "") return own;
    return (await firstSecret(ctx, refsOf(field)))?.value ?? null;
  };
  const serviceKey = await firstSecret(ctx, [bridge.serviceKeySecretRef, ...refsOf("serviceKey")]);
  const map = await firstSecret(ctx, [bridge.appBaseUrlMapJsonSecretRef, ...refsOf("baseUrlMapJson")]);
  return {
    baseUrl: await plain(bridge.baseUrl, "baseUrl"),
    appBaseUrlMapJson: map?.value ?? null,
    serviceId: await plain(bridge.serviceId, "serviceId"),
    appKey: await plain(bridge.appKey, "appKey"),
    serviceKey: serviceKey?.value ?? null,
    serviceKeySecretRef: serviceKey?.secretRef ?? bridge.serviceKeySecretRef ?? null,
  };
}
