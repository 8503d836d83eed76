/** Which tools a conversation has: the safe set, its profile's bridge functions, and what the profile grants. */
import type { Dedication, Profile } from "../../../convex/validators.ts";
import { modelToolName } from "../bridge/modelToolName.ts";
import { grantableTools, safeTools } from "./gatewayConfig.ts";

/**
 * Commands run as the worker's user: they could read another conversation's folder. Only a worker that serves one
 * conversation at a time, with a disk wiped in between, may run them.
 */
const commandTools: ReadonlySet<string> = new Set(["exec", "process"]);

export function runsCommands(plan: ToolPlan): boolean {
  return plan.tools.some((tool) => commandTools.has(tool));
}

export interface ToolPlan {
  /** Exactly what the model may be offered. */
  tools: string[];
  /** True when the session needs the agent that knows more than the safe set. */
  extended: boolean;
  /** What the profile asked for and does not get, with the reason. */
  refused: Array<{ tool: string; reason: string }>;
}

export function planTools(profile: Profile, dedication: Dedication): ToolPlan {
  const granted: string[] = [];
  const refused: ToolPlan["refused"] = [];
  const grantable: ReadonlySet<string> = new Set(grantableTools);
  for (const tool of new Set(profile.toolPolicy.allow)) {
    if (!grantable.has(tool)) {
      refused.push({ tool, reason: `not one of ${grantableTools.join(", ")}` });
    } else if (commandTools.has(tool) && dedication !== "conversation") {
      refused.push({ tool, reason: "commands need turn.dedication = conversation" });
    } else granted.push(tool);
  }
  return {
    tools: [...safeTools, ...granted, ...profile.bridgeFunctions.map(({ key }) => modelToolName(key))],
    extended: granted.length > 0,
    refused,
  };
}
