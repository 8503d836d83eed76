/** `factory:doctor`: what is wrong with this environment, and the command that mends each thing. */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalAction } from "../_generated/server.js";
import { createProvider } from "../machines/createProvider.ts";
import { imageState } from "../machines/fly/registry.ts";
import { readTokenScope } from "../machines/fly/tokenScope.ts";
import { ProviderError } from "../machines/providerError.ts";
import { withinDeadline } from "../deadline.ts";
import { diagnose, type DoctorFacts } from "../policy/diagnosis.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import type { Facts } from "./doctorFacts.ts";
import { factoryOwner } from "./environment.ts";

const CLOCK_TIMEOUT_MS = 10_000;

/** Asks Fly whether the app, the token and the image can be used. Changes nothing. */
async function askFly(
  provider: RuntimeConfig["provider"],
  token: string,
): Promise<NonNullable<DoctorFacts["fly"]>> {
  const image = await imageState(provider.image, token, provider.registryUrl);
  const tokenScope = await readTokenScope({ apiUrl: provider.apiUrl, token });
  const clockSkewMs = await clockSkew(provider.apiUrl);
  try {
    const machines = createProvider(provider, token);
    await machines.verifyOwner(factoryOwner(), await machines.list());
    return { error: null, refused: false, tokenScope, clockSkewMs, image };
  } catch (error) {
    const refused = error instanceof ProviderError && error.failure.kind === "auth";
    const message = error instanceof Error ? error.message : "unknown error";
    return { error: message, refused, tokenScope, clockSkewMs, image };
  }
}

/** Our clock minus Fly's, ms, from the Date header; to a second, which is what the header tells. */
async function clockSkew(apiUrl: string): Promise<number | null> {
  try {
    const response = await withinDeadline(CLOCK_TIMEOUT_MS, (signal) =>
      fetch(apiUrl, { method: "HEAD", redirect: "manual", signal }),
    );
    const theirs = Date.parse(response.headers.get("date") ?? "");
    return Number.isNaN(theirs) ? null : Date.now() - theirs;
  } catch {
    return null;
  }
}

const vProblem = v.object({
  kind: v.string(),
  severity: v.union(v.literal("error"), v.literal("warning")),
  message: v.string(),
  command: v.string(),
});

export const doctor = internalAction({
  args: {},
  returns: v.object({ ok: v.boolean(), problems: v.array(vProblem) }),
  handler: async (ctx): Promise<{ ok: boolean; problems: Array<Infer<typeof vProblem>> }> => {
    const { bots, provider, token, ...known }: Facts = await ctx.runQuery(
      internal.scaler.doctorFacts.read,
      {},
    );
    const config = provider as RuntimeConfig["provider"] | null;
    const webhooks: DoctorFacts["webhooks"] = [];
    for (const secretRef of bots) {
      const status = await ctx.runAction(internal.ingress.webhook.telegramWebhookStatus, { secretRef });
      webhooks.push({ secretRef, drift: status.drift, lastErrorMessage: status.lastErrorMessage });
    }
    const fly = config === null || token === null ? null : await askFly(config, token);
    const problems = diagnose({
      ...known,
      now: Date.now(),
      webhooks,
      fly,
      appName: config?.appName ?? "",
      image: config?.image ?? null,
    });
    return { ok: problems.every((problem) => problem.severity !== "error"), problems };
  },
});
