import type { ProviderFailure } from "../policy/providerErrors.ts";

/** A provider call that did not succeed; `failure` decides what happens next, the message is for people. */
export class ProviderError extends Error {
  override name = "ProviderError";
  readonly failure: ProviderFailure;

  constructor(failure: ProviderFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}
