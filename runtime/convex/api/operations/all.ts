import type { Operation } from "../operation.ts";
import { messageOperations } from "./messages.ts";
import { peopleOperations } from "./people.ts";
import { pushOperations } from "./push.ts";
import { webhookOperations } from "./webhooks.ts";

/** Every operation of `/agent-factory/v1`, in the order of the document. */
export const operations: readonly Operation[] = [
  ...messageOperations,
  ...peopleOperations,
  ...pushOperations,
  ...webhookOperations,
];
