import * as z from "zod";
import { badRequest } from "../errors.ts";
import type { Params } from "../params.ts";

const buttonSchema = z.looseObject({
  text: z.string(),
  callback_data: z.string().optional(),
  url: z.string().optional(),
});
const markupSchema = z.union([
  z.looseObject({ inline_keyboard: z.array(z.array(buttonSchema)) }),
  z.looseObject({ keyboard: z.array(z.array(z.union([z.string(), z.looseObject({ text: z.string() })]))) }),
  z.looseObject({ remove_keyboard: z.literal(true) }),
  z.looseObject({ force_reply: z.literal(true) }),
]);

/** Inline keyboard, keyboard, removal or forced reply. */
export type ReplyMarkup = z.infer<typeof markupSchema>;

/** Reads and checks `reply_markup`. */
export function readReplyMarkup(params: Params): ReplyMarkup | undefined {
  const markup = params.json("reply_markup", markupSchema, "can't parse reply keyboard markup JSON object");
  if (markup && "inline_keyboard" in markup) {
    for (const button of (markup.inline_keyboard as z.infer<typeof buttonSchema>[][]).flat())
      checkInlineButton(button);
  }
  return markup;
}

function checkInlineButton(button: z.infer<typeof buttonSchema>): void {
  if (button.text === "") throw badRequest("can't parse inline keyboard button: text can't be empty");
  const { callback_data: data, url } = button;
  if (data !== undefined && (data === "" || Buffer.byteLength(data) > 64))
    throw badRequest("BUTTON_DATA_INVALID");
  if (url !== undefined && !URL.canParse(url))
    throw badRequest(`inline keyboard button URL '${url}' is invalid`);
  const actions = Object.keys(button).filter(
    (key) => key !== "text" && key !== "style" && key !== "icon_custom_emoji_id",
  );
  if (actions.length === 0)
    throw badRequest("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard");
}
