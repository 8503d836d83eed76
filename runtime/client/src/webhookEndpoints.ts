/** Where the company wants to be told of answers. */
import type * as api from "./api.gen.ts";
import type { Keyed, Transport } from "./transport.ts";

export function webhookEndpointMethods({ call }: Transport) {
  return {
    /** Registers an https URL. `signingSecret` is shown here and never again: keep it for `verifyWebhook`. */
    createWebhookEndpoint(url: string, keyed: Keyed = {}) {
      return call<api.CreateWebhookEndpointData, api.CreateWebhookEndpointResponse>(
        "POST",
        "/webhook-endpoints",
        { body: { url }, keyed },
      );
    },

    async listWebhookEndpoints() {
      const { endpoints } = await call<api.ListWebhookEndpointsData, api.ListWebhookEndpointsResponse>(
        "GET",
        "/webhook-endpoints",
        {},
      );
      return endpoints;
    },

    deleteWebhookEndpoint(endpointId: string) {
      return call<api.DeleteWebhookEndpointData, api.DeleteWebhookEndpointResponse>(
        "DELETE",
        "/webhook-endpoints/{endpointId}",
        { path: { endpointId }, whenGone: { ok: true } },
      );
    },

    /**
     * A new signing secret, shown here and never again. Events carry a signature of the former one, too, for `graceMs`
     * more (default 24 hours, at most 7 days). Each call makes another secret, unless it bears the last one's key.
     */
    rotateWebhookSecret(
      endpointId: string,
      { idempotencyKey, ...body }: api.RotateWebhookSecretData["body"] & Keyed = {},
    ) {
      return call<api.RotateWebhookSecretData, api.RotateWebhookSecretResponse>(
        "POST",
        "/webhook-endpoints/{endpointId}/rotate-secret",
        { path: { endpointId }, body, keyed: { idempotencyKey } },
      );
    },

    /** The latest events of an endpoint and what became of them. */
    async listWebhookEvents(endpointId: string) {
      const { events } = await call<api.ListWebhookEventsData, api.ListWebhookEventsResponse>(
        "GET",
        "/webhook-endpoints/{endpointId}/events",
        { path: { endpointId } },
      );
      return events;
    },
  };
}
