/**
 * Files that a person sent: fetched into `inbox/` of the conversation's folder and named in the prompt. Pictures
 * are shown to a model that can see, too.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { HydrationBundle } from "../../../convex/validators.ts";
import { ensureRealDir } from "../snapshot/realDir.ts";
import type { TurnPicture } from "../agent/runTurn.ts";
import { safeFileName } from "./names.ts";
import { pictureType } from "./pictures.ts";

/** What a bot may download (Telegram's getFile). */
const FILE_BYTES_MAX = 20 * 1024 * 1024;
const FILES_MAX = 10;
const FETCH_TIMEOUT_MS = 60_000;
const INBOX = "inbox";
/** One picture; OpenClaw moves a larger one into a store of its own, where it does not belong to a conversation. */
const PICTURE_BYTES_MAX = 2_000_000;
/** Pictures of one message: they travel in one frame of at most 25 MiB, a third larger than they are. */
const PICTURES_BYTES_MAX = 12_000_000;

type IncomingFile = HydrationBundle["attachments"][number];
const extensions: Record<IncomingFile["kind"], string> = {
  photo: ".jpg",
  voice: ".ogg",
  audio: ".mp3",
  video: ".mp4",
  document: ".bin",
};

export interface Received {
  /**
   * For the prompt, one per attachment. One that cannot be had is named with the reason: the agent can say so,
   * which is better than a message that fails for ever.
   */
  lines: string[];
  /** What a model can be shown. */
  pictures: TurnPicture[];
}

/** Downloads the message's attachments. */
export async function receiveAttachments(
  folder: string,
  bundle: HydrationBundle,
  signal: AbortSignal,
): Promise<Received> {
  const lines: string[] = [];
  const pictures: TurnPicture[] = [];
  let picturesBytes = 0;
  for (const [index, file] of bundle.attachments.slice(0, FILES_MAX).entries()) {
    const fallback = `${file.kind}${extensions[file.kind]}`;
    // The message's id in front keeps two files of the same name apart, and a retried turn on the same one.
    const name = `${bundle.messageId.slice(-8)}-${index + 1}-${safeFileName(file.fileName, fallback)}`;
    try {
      const content = await download(await sourceOf(file, bundle, signal), signal);
      await ensureRealDir(join(folder, INBOX));
      await rm(join(folder, INBOX, name), { force: true, recursive: true });
      await writeFile(join(folder, INBOX, name), content, { mode: 0o600, flag: "wx" });
      const mimeType = pictureType(content);
      lines.push(
        `[${file.kind} attached: ${INBOX}/${name}, ${mimeType ?? file.mimeType ?? "type unknown"}, ${content.length} bytes]`,
      );
      const shown =
        content.length <= PICTURE_BYTES_MAX && picturesBytes + content.length <= PICTURES_BYTES_MAX;
      if (mimeType === null || !shown) continue;
      pictures.push({ fileName: name, mimeType, content });
      picturesBytes += content.length;
    } catch (error) {
      signal.throwIfAborted();
      const reason = error instanceof AttachmentError ? error.message : "it could not be downloaded";
      lines.push(`[${file.kind} attached, but not available: ${reason}]`);
    }
  }
  if (bundle.attachments.length > FILES_MAX)
    lines.push(`[${bundle.attachments.length - FILES_MAX} more attachments were left out]`);
  return { lines, pictures };
}

class AttachmentError extends Error {
  override name = "AttachmentError";
}

const getFileSchema = z.object({
  ok: z.boolean(),
  result: z.object({ file_path: z.string() }).optional(),
  description: z.string().optional(),
});
/** What Telegram says of a file beyond its limit; updates do not always carry a size. */
const TOO_BIG = /file is too big/i;

/** The URL to fetch. It contains the bot's token for a file of Telegram, so it must never reach a log. */
async function sourceOf(file: IncomingFile, bundle: HydrationBundle, signal: AbortSignal): Promise<string> {
  if ((file.sizeBytes ?? 0) > FILE_BYTES_MAX) throw new AttachmentError("it is larger than 20 MB");
  if (file.url !== null) return file.url;
  if (file.telegramFileId === undefined || bundle.telegramBotToken === null)
    throw new AttachmentError("it has no source");
  const api = bundle.telegramApiUrl.replace(/\/+$/, "");
  const query = new URLSearchParams({ file_id: file.telegramFileId });
  const response = await fetch(`${api}/bot${bundle.telegramBotToken}/getFile?${query}`, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]),
  });
  const parsed = getFileSchema.safeParse(await response.json());
  const path = parsed.success ? parsed.data.result?.file_path : undefined;
  if (parsed.success && TOO_BIG.test(parsed.data.description ?? ""))
    throw new AttachmentError("it is larger than 20 MB");
  if (path === undefined) throw new AttachmentError("Telegram no longer has it");
  return `${api}/file/bot${bundle.telegramBotToken}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

async function download(url: string, signal: AbortSignal): Promise<Buffer> {
  const response = await fetch(url, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]),
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new AttachmentError(`its download answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > FILE_BYTES_MAX) throw new AttachmentError("it is larger than 20 MB");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
