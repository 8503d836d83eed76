/** Who a message is of, as a consumer app knows people. */
import type { Doc } from "../_generated/dataModel.js";

/** The company's own id of the person; of whom no company has brought, the channel's id. */
export const userIdOf = ({ consumerUserId, payload }: Doc<"messageQueue">): string =>
  consumerUserId ?? payload.providerUserId;
