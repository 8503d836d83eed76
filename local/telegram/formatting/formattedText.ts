import type { MessageEntity } from "../wire.ts";

/** A text and what is formatted in it. */
export interface FormattedText {
  text: string;
  entities: MessageEntity[];
}
