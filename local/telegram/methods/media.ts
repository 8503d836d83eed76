import { requireWritableChat } from "../accounts.ts";
import { ApiError, badRequest } from "../errors.ts";
import { type MediaKind, reuseFile, storeMedia, UPLOAD_LIMIT_BYTES } from "../files.ts";
import type { Message } from "../wire.ts";
import type { Call, Method } from "./call.ts";
import { sendToChat } from "./outgoing.ts";
import { readCaption } from "./text.ts";

const PHOTO_LIMIT_BYTES = 10 * 1024 * 1024;

/** sendPhoto, sendDocument, sendAudio, sendVoice, sendVideo: an uploaded file or the id of one sent before. */
export function sendMedia(kind: MediaKind): Method {
  return (call: Call): Message => {
    const { core, bot, params } = call;
    const caption = readCaption(params);
    const chat = requireWritableChat(core, bot, params.text("chat_id") ?? "");
    return sendToChat(call, chat, { ...readMedia(call, kind), ...caption });
  };
}

function readMedia(call: Call, kind: MediaKind): Partial<Message> {
  const { core, bot, params } = call;
  const reference = params.text(kind) ?? "";
  const upload = params.upload(
    reference.startsWith("attach://") ? reference.slice("attach://".length) : kind,
  );
  if (!upload) {
    if (reference === "") throw badRequest(`there is no ${kind} in the request`);
    if (/^https?:/i.test(reference)) {
      throw badRequest("failed to get HTTP URL content (this server fetches no URLs; upload the file)");
    }
    const file = reuseFile(core, bot.id, reference);
    return kind === "photo" ? { photo: [file] } : { [kind]: file };
  }
  if (upload.bytes.byteLength === 0) throw badRequest("file must be non-empty");
  if (upload.bytes.byteLength > UPLOAD_LIMIT_BYTES) throw new ApiError(413, "Request Entity Too Large");
  if (kind === "photo" && upload.bytes.byteLength > PHOTO_LIMIT_BYTES) throw badRequest("file is too big");
  const duration = params.integer("duration");
  return storeMedia(core, bot.id, kind, upload, {
    width: params.integer("width"),
    height: params.integer("height"),
    duration,
  });
}
