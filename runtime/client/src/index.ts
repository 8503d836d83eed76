/**
 * The typed client of an Agent Factory deployment's consumer API, over `fetch` alone. For servers: a service key speaks
 * for a whole company.
 */
import { messageMethods } from "./messages.ts";
import { peopleMethods } from "./people.ts";
import { pushMethods } from "./push.ts";
import { createTransport, type TransportOptions } from "./transport.ts";
import { webhookEndpointMethods } from "./webhookEndpoints.ts";

export type { ConversationMessage, SubscribeOptions } from "./answers.ts";
export { AgentFactoryError, type ClientErrorCode } from "./errors.ts";
export type { EnqueueRequest, Message, WaitOptions } from "./messages.ts";
export type { CustomPushJob, PushJobFromTemplate } from "./push.ts";
export type { RetryOptions } from "./retry.ts";
export type { Keyed, Surroundings, TransportOptions as ClientOptions } from "./transport.ts";
export { verifyWebhook, type VerifyOptions, type WebhookEvent, type WebhookHeaders } from "./webhook.ts";

/**
 * Every method returns what the API answers or throws an {@link AgentFactoryError}. What creates or sends
 * something bears an Idempotency-Key, so that every request may be repeated after a lost connection, a 5xx or a 429, a
 * bounded number of times, and acts once.
 *
 * @throws TypeError for a site URL or a key that cannot work
 */
export function createClient(options: TransportOptions) {
  const transport = createTransport(options);
  return {
    ...messageMethods(transport),
    ...peopleMethods(transport),
    ...pushMethods(transport),
    ...webhookEndpointMethods(transport),
  };
}

export type AgentFactoryClient = ReturnType<typeof createClient>;
