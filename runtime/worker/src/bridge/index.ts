/** The bridge helpers that the package exports (spec A5). */
export { type BridgeResolution, type ResolvedBridge, resolveBridgeRuntimeConfig } from "./config.ts";
export {
  type BridgeCall,
  type BridgeResult,
  type BridgeToolOutcome,
  executeBridgeFunction,
  maybeExecuteBridgeToolCall,
} from "./execute.ts";
export { bridgeFunctionKeyFromToolName, isBridgeToolName } from "./toolNames.ts";
