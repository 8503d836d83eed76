/** The files and other things in a Telegram message: what is handed to the agent, and the words for what has none. */
import * as z from "zod";
import type { Attachment } from "../validators.ts";

const fileSchema = z.object({
  file_id: z.string().min(1),
  file_size: z.number().optional(),
  file_name: z.string().optional(),
  mime_type: z.string().optional(),
  duration: z.number().optional(),
});
const photoSizeSchema = z.object({
  file_id: z.string().min(1),
  file_size: z.number().optional(),
  width: z.number(),
  height: z.number(),
});
/** The fields of a message that hold something other than text. */
export const mediaSchema = z.object({
  photo: z.array(photoSizeSchema).optional(),
  voice: fileSchema.optional(),
  audio: fileSchema.extend({ title: z.string().optional(), performer: z.string().optional() }).optional(),
  video: fileSchema.optional(),
  video_note: fileSchema.optional(),
  animation: fileSchema.optional(),
  document: fileSchema.optional(),
  sticker: z.object({ emoji: z.string().optional() }).optional(),
  location: z.object({ latitude: z.number(), longitude: z.number() }).optional(),
  venue: z.object({ title: z.string(), address: z.string().optional() }).optional(),
  contact: z.object({ first_name: z.string(), phone_number: z.string().optional() }).optional(),
  poll: z
    .object({ question: z.string(), options: z.array(z.object({ text: z.string() })).optional() })
    .optional(),
  dice: z.object({ emoji: z.string(), value: z.number() }).optional(),
});
type Media = z.output<typeof mediaSchema>;

/** Files of a message. Of a photo's sizes the largest; a GIF also comes as a document, which is the same file. */
export function attachmentsOf(message: Media): Attachment[] {
  const attachments: Attachment[] = [];
  const photo = message.photo?.reduce((best, size) =>
    size.width * size.height > best.width * best.height ? size : best,
  );
  if (photo !== undefined) {
    attachments.push({
      kind: "photo",
      telegramFileId: photo.file_id,
      mimeType: "image/jpeg",
      ...(photo.file_size === undefined ? {} : { sizeBytes: photo.file_size }),
    });
  }
  if (message.voice) attachments.push(fileAttachment("voice", message.voice));
  if (message.audio) attachments.push(fileAttachment("audio", message.audio));
  if (message.video) attachments.push(fileAttachment("video", message.video));
  if (message.video_note) attachments.push(fileAttachment("video", message.video_note));
  if (message.animation) attachments.push(fileAttachment("video", message.animation));
  else if (message.document) attachments.push(fileAttachment("document", message.document));
  return attachments;
}

function fileAttachment(kind: Attachment["kind"], file: z.output<typeof fileSchema>): Attachment {
  return {
    kind,
    telegramFileId: file.file_id,
    ...(file.file_name === undefined ? {} : { fileName: file.file_name }),
    ...(file.mime_type === undefined ? {} : { mimeType: file.mime_type }),
    ...(file.file_size === undefined ? {} : { sizeBytes: file.file_size }),
  };
}

/** Words for a message without any: what the agent reads in place of text. null when there is nothing to describe. */
export function describeMedia(message: Media): string | null {
  const seconds = (file: { duration?: number | undefined }): string =>
    file.duration === undefined ? "" : `, ${file.duration} s`;
  if (message.photo && message.photo.length > 0) return "[photo]";
  if (message.voice) return `[voice message${seconds(message.voice)}]`;
  if (message.audio) {
    const title = [message.audio.performer, message.audio.title].filter(Boolean).join(" – ");
    return `[audio${title === "" ? "" : `: ${title}`}${seconds(message.audio)}]`;
  }
  if (message.video) return `[video${seconds(message.video)}]`;
  if (message.video_note) return `[video message${seconds(message.video_note)}]`;
  if (message.animation) return "[animation]";
  if (message.document) {
    return message.document.file_name === undefined
      ? "[document]"
      : `[document: ${message.document.file_name}]`;
  }
  if (message.sticker)
    return message.sticker.emoji === undefined ? "[sticker]" : `[sticker ${message.sticker.emoji}]`;
  if (message.venue)
    return `[venue: ${[message.venue.title, message.venue.address].filter(Boolean).join(", ")}]`;
  if (message.location) return `[location: ${message.location.latitude}, ${message.location.longitude}]`;
  if (message.contact) {
    return `[contact: ${[message.contact.first_name, message.contact.phone_number].filter(Boolean).join(", ")}]`;
  }
  if (message.poll) {
    const options = (message.poll.options ?? []).map((option) => option.text).join(" / ");
    return `[poll: ${message.poll.question}${options === "" ? "" : ` (${options})`}]`;
  }
  if (message.dice) return `[dice ${message.dice.emoji}: ${message.dice.value}]`;
  return null;
}
