/** Names of bridge functions as helpers see them: `bridge.<key>`. Runs wherever JavaScript does. */

const toolNamePattern = /^bridge\.([A-Za-z0-9._-]+)$/;

export function isBridgeToolName(toolName: string): boolean {
  return toolNamePattern.test(toolName);
}

/** The function's key; null for a tool that is not the bridge's. */
export function bridgeFunctionKeyFromToolName(toolName: string): string | null {
  return toolNamePattern.exec(toolName)?.[1] ?? null;
}
