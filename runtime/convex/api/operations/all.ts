import type { Operation } from "../operation.ts";
import { broadcastOperations } from "./broadcasts.ts";
import { messageOperations } from "./messages.ts";
import { peopleOperations } from "./people.ts";
import { pushJobOperations } from "./pushJobs.ts";
import { pushTemplateOperations } from "./pushTemplates.ts";
import { webhookOperations } from "./webhooks.ts";

/** Every operation of `/agent-factory/v1`, in the order of the document. */
export const operations: readonly Operation[] = [
  ...messageOperations,
  ...peopleOperations,
  ...pushTemplateOperations,
  ...pushJobOperations,
  ...broadcastOperations,
  ...webhookOperations,
];
