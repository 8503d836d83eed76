/** Where the company wants to be told of answers. */
import type * as api from "./api.gen.ts";
import type { Transport } from "./transport.ts";

export function webhookEndpointMethods({ call }: Transport) {
  return {
    /** Registers an https URL. `signingSecret` is shown here and never again: keep it for `verifyWebhook`. */
    createWebhookEndpoint(url: string) {
      return call<api.CreateWebhookEndpointData, api.CreateWebhookEndpointResponse>(
        "POST",
        "/webhook-endpoints",
        { body: { url } },
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
     * more (default 24 hours, at most 7 days). Never repeated by itself: each call makes another secret.
     */
    rotateWebhookSecret(endpointId: string, body: api.RotateWebhookSecretData["body"] = {}) {
      return call<api.RotateWebhookSecretData, api.RotateWebhookSecretResponse>(
        "POST",
        "/webhook-endpoints/{endpointId}/rotate-secret",
        { path: { endpointId }, body },
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
