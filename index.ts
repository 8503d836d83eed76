/**
 * What consumer apps and plugins import from `agent-factory`: the routes of the Telegram webhooks, and the
 * helpers by which an agent's tools call a bridge.
 */
export { registerRoutes, type RegisterRoutesOptions } from "./runtime/convex/ingress/registerRoutes.ts";
export {
  type BridgeCall,
  bridgeFunctionKeyFromToolName,
  type BridgeResolution,
  type BridgeResult,
  type BridgeToolOutcome,
  executeBridgeFunction,
  isBridgeToolName,
  maybeExecuteBridgeToolCall,
  type ResolvedBridge,
  resolveBridgeRuntimeConfig,
} from "./runtime/worker/src/bridge/index.ts";
