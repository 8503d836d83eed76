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
