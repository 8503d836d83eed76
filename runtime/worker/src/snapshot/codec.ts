/** How a blob travels: zstd where that makes it smaller. The encoding is recorded beside the blob. */
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

export type BlobEncoding = "zstd" | "identity";

export async function encodeBlob(content: Buffer): Promise<{ encoding: BlobEncoding; body: Buffer }> {
  const compressed = await compress(content);
  return compressed.length < content.length
    ? { encoding: "zstd", body: compressed }
    : { encoding: "identity", body: content };
}

/** @throws when the blob would become larger than `sizeBytes`, or is not what its encoding says. */
export async function decodeBlob(body: Buffer, encoding: BlobEncoding, sizeBytes: number): Promise<Buffer> {
  if (encoding === "identity") return body;
  // One byte more than promised is enough to know that it is not the promised file.
  return await decompress(body, { maxOutputLength: Math.max(sizeBytes, 1) });
}
