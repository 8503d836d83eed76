/** A turn that went wrong for a reason of its own. */
export class TurnFailed extends Error {
  override name = "TurnFailed";
  /** In our own words: the message may quote a provider. */
  readonly summary: string;
  constructor(message: string, summary = message) {
    super(message);
    this.summary = summary;
  }
}
