import { createHash } from "node:crypto";
import { FunctionError } from "../../engine/errors.ts";
import { Transaction } from "../../engine/transaction.ts";
import type { CallContext } from "../context.ts";
import type { Deployment } from "../deployment.ts";

interface FileArgs {
  readonly storageId: string;
}

const now = Date.now.bind(Date);

function checkDigest(contents: Uint8Array, sha256: string | undefined): void {
  if (sha256 === undefined) return;
  const digest = createHash("sha256").update(contents).digest();
  if (sha256 !== digest.toString("hex") && sha256 !== digest.toString("base64")) {
    throw new FunctionError("The file's contents do not match the given sha256.");
  }
}

/** Syscalls of `ctx.storage`. In an action each is a transaction of its own. */
export function storageSyscalls(deployment: Deployment) {
  const { files, engine } = deployment;
  const read = <T>(context: CallContext, work: (transaction: Transaction) => T): T => {
    context.transaction?.refresh();
    return work(context.transaction ?? new Transaction(engine));
  };
  const write = <T>(context: CallContext, work: (transaction: Transaction) => T): T => {
    if (context.kind === "query") throw new FunctionError("Queries cannot write to file storage.");
    if (context.transaction !== null) return read(context, work);
    const transaction = new Transaction(engine);
    const result = work(transaction);
    transaction.commit();
    return result;
  };
  const store = (
    context: CallContext,
    contents: Uint8Array,
    contentType: string | null,
    sha256?: string,
  ): string => {
    checkDigest(contents, sha256);
    const written = files.write(contents);
    return write(context, (transaction) => {
      if (context.transaction !== null) transaction.meter.spend("fileWriteBytes", written.size);
      return files.record(transaction, { ...written, contentType });
    });
  };
  const load = async (context: CallContext, storageId: string) => {
    const file = read(context, (transaction) => files.find(transaction, storageId));
    if (file === null) return null;
    if (context.transaction !== null) {
      context.transaction.meter.spend("filesRead", 1);
      context.transaction.meter.spend("fileReadBytes", file.size);
    }
    return { file, contents: await files.read(file) };
  };

  const asynchronous = {
    "1.0/storageGetUrl": (context: CallContext, args: FileArgs): string => {
      const file = read(context, (transaction) => files.find(transaction, args.storageId));
      return JSON.stringify(file === null ? null : files.url(file));
    },
    "1.0/storageGetMetadata": (context: CallContext, args: FileArgs): string => {
      const file = read(context, (transaction) => files.find(transaction, args.storageId));
      if (file === null) return "null";
      const { storageId, sha256, size, contentType } = file;
      return JSON.stringify({ storageId, sha256, size, contentType });
    },
    "1.0/storageGenerateUploadUrl": (context: CallContext): string => {
      if (context.kind === "query") throw new FunctionError("Queries cannot generate upload URLs.");
      return JSON.stringify(files.uploadUrl(now()));
    },
    "1.0/storageDelete": (context: CallContext, args: FileArgs): string => {
      write(context, (transaction) => files.delete(transaction, args.storageId));
      return "null";
    },
    "1.0/storageStore": (
      context: CallContext,
      args: { blob: string; contentType: string; sha256?: string },
    ): string => {
      const contentType = args.contentType === "" ? null : args.contentType;
      return JSON.stringify(store(context, Buffer.from(args.blob, "base64"), contentType, args.sha256));
    },
    "1.0/storageGet": async (context: CallContext, args: FileArgs): Promise<string> => {
      const loaded = await load(context, args.storageId);
      if (loaded === null) return "null";
      return JSON.stringify({
        blob: loaded.contents.toString("base64"),
        contentType: loaded.file.contentType,
      });
    },
  };

  // These carry live Blobs instead of JSON.
  const live = {
    "storage/storeBlob": async (context: CallContext, args: Record<string, unknown>): Promise<string> => {
      const blob = args["blob"];
      if (!(blob instanceof Blob)) throw new FunctionError("ctx.storage.store() expects a Blob.");
      const options = args["options"] as { sha256?: string } | undefined;
      const contents = new Uint8Array(await blob.arrayBuffer());
      return store(context, contents, blob.type === "" ? null : blob.type, options?.sha256);
    },
    "storage/getBlob": async (context: CallContext, args: Record<string, unknown>): Promise<Blob | null> => {
      const loaded = await load(context, String(args["storageId"]));
      if (loaded === null) return null;
      return new Blob([new Uint8Array(loaded.contents)], { type: loaded.file.contentType ?? "" });
    },
  };
  return { asynchronous, live };
}
