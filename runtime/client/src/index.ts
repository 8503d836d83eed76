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
export type { Surroundings, TransportOptions as ClientOptions } from "./transport.ts";
export { verifyWebhook, type VerifyOptions, type WebhookEvent, type WebhookHeaders } from "./webhook.ts";

/**
 * Every method returns what the API answers or throws an {@link AgentFactoryError}. Requests that may be carried out
 * twice are repeated after a lost connection or a 5xx, all of them after a 429, a bounded number of times.
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
