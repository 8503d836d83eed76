/** Pairing codes and bindings. */
import type * as api from "./api.gen.ts";
import type { Transport } from "./transport.ts";

export function peopleMethods({ call }: Transport) {
  return {
    /**
     * A one-time code, with a link that opens the bot with it. Earlier codes of the person and agent end; so does one
     * whose answer was lost, with the client's own retry.
     */
    createPairingCode(body: api.CreatePairingCodeData["body"]) {
      return call<api.CreatePairingCodeData, api.CreatePairingCodeResponse>("POST", "/pairing-codes", {
        body,
        idempotent: true,
      });
    },

    /** @throws AgentFactoryError `not_found` for a code that never was, or of another company. */
    getPairingCodeStatus(code: string) {
      return call<api.GetPairingCodeStatusData, api.GetPairingCodeStatusResponse>(
        "POST",
        "/pairing-codes/status",
        { body: { code }, idempotent: true },
      );
    },

    /** The person's active binding, null without one, and the latest former ones. */
    getUserAgentBinding(userId: string) {
      return call<api.GetBindingData, api.GetBindingResponse>("GET", "/users/{userId}/binding", {
        path: { userId },
      });
    },

    /** Binds a person to an agent; an earlier binding ends. */
    bindUserAgent(userId: string, agentKey: string) {
      return call<api.BindUserData, api.BindUserResponse>("PUT", "/users/{userId}/binding", {
        path: { userId },
        body: { agentKey },
      });
    },

    revokeUserAgentBinding(userId: string) {
      return call<api.RevokeBindingData, api.RevokeBindingResponse>("DELETE", "/users/{userId}/binding", {
        path: { userId },
      });
    },
  };
}
