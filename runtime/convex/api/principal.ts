/** What the rooms behind the API are told of who asks. They know nothing of keys. */
import type { Principal } from "./authorize.ts";

/** Who it was, for the audit log. */
export const actorOf = (principal: Principal): string => `api:${principal.keyId}`;

/** Everything is of the key's company. */
export const companyOf = (principal: Principal) => ({ companyId: principal.companyId });

export const acting = (principal: Principal) => ({ ...companyOf(principal), actor: actorOf(principal) });
