/** The bridge functions that the running gateway knows by name: it offers none that its plugin's manifest lacks. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { BridgeToolSpec } from "./bridgeSetup.ts";
import { PLUGIN_ID } from "./gatewayConfig.ts";
import { renderPluginManifest } from "./pluginManifest.ts";
import { GatewayUnavailableError } from "./rpc.ts";
import type { GatewaySupervisor } from "./supervisor.ts";
import type { TurnGate } from "./turnGate.ts";

export interface DeclaredTools {
  /** Of all profiles seen so far; a gateway that starts declares them at once. */
  names(): string[];
  /** Names new tools to OpenClaw. Waits for the turns that run: a reload retires the tools that they hold. */
  declare(
    functions: readonly BridgeToolSpec[],
    supervisor: Pick<GatewaySupervisor, "current" | "call" | "judge">,
  ): Promise<void>;
}

export function createDeclaredTools(gate: TurnGate): DeclaredTools {
  const declared = new Set<string>();
  return {
    names: () => [...declared],
    declare: async (functions, supervisor) => {
      const isNew = ({ toolName }: BridgeToolSpec): boolean => !declared.has(toolName);
      if (!functions.some(isNew)) return;
      await gate.exclusive(async () => {
        if (!functions.some(isNew)) return;
        for (const { toolName } of functions) declared.add(toolName);
        const target = await supervisor.current();
        const manifest = JSON.stringify(renderPluginManifest([...declared]), null, 2);
        await writeFile(join(target.pluginDir, "openclaw.plugin.json"), manifest);
        const params = { plugins: [{ pluginId: PLUGIN_ID }] };
        await supervisor.call(target, "plugins.reload", params, z.unknown()).catch((error: unknown) => {
          // From now on the tools count as declared: a gateway that may lack them must not serve, its successor has them.
          const failure = new GatewayUnavailableError(
            `The plugin was not reloaded: ${String(error)}`,
            "the plugin was not reloaded",
          );
          throw supervisor.judge(failure, target);
        });
      });
    },
  };
}
