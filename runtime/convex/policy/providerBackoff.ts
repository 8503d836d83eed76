import type { ProviderFailureKind } from "./providerErrors.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** Regions without room are left alone for this long, ms. */
export const REGION_BLOCK_MS = 5 * MINUTE;

/**
 * How long nothing is made or started after a failure, ms; 0: go on at once. Failures that only people can mend
 * wait long, because every retry would fail the same way; all are bounded, so that a mended cause is noticed.
 *
 * @param failures failures in a row, this one included.
 */
export function backoffMs(kind: ProviderFailureKind, failures: number, retryAfterMs: number | null): number {
  const growing = (base: number, max: number): number =>
    Math.min(max, base * 2 ** Math.min(16, Math.max(0, failures - 1)));
  switch (kind) {
    case "auth":
    case "not_owned":
    case "quota":
    case "rejected":
      return growing(30 * SECOND, 5 * MINUTE);
    case "no_capacity":
      return growing(5 * SECOND, 2 * MINUTE);
    case "rate_limited":
      return Math.max(retryAfterMs ?? 0, growing(SECOND, 30 * SECOND));
    case "secrets_pending":
    case "busy":
    case "unreachable":
    case "unknown":
      return growing(SECOND, 30 * SECOND);
    case "not_found":
    case "name_taken":
      return 0;
  }
}

/** Failures that an operator should know of at once, and what each asks of them. */
export function advice(kind: ProviderFailureKind): string | null {
  switch (kind) {
    case "auth":
      return "The Fly token is refused or expired. Run `pulumi up` to renew it.";
    case "not_owned":
      return "This deployment does not own the Fly app. Give the stack its own agent-factory:fly.appName and run `pulumi up`.";
    case "quota":
      return "The Fly organization has reached its machine quota. Lower scaling.maxWorkers or ask Fly to raise the quota.";
    case "no_capacity":
      return "No region has room. Add regions to provider.regions or choose a smaller guest.";
    case "rejected":
      return "Fly refuses the machine as configured. Check image, guest and volume, then run `pulumi up`.";
    case "secrets_pending":
      return "Fly has not spread the app's secrets yet. It resolves by itself; if not, check provider.minSecretsVersion.";
    default:
      return null;
  }
}
