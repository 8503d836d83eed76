import { defineTable } from "convex/server";
import { v } from "convex/values";

/** Tables of the secrets. No row ever holds a plaintext; the master keys are in the deployment's environment. */
export const secretTables = {
  /**
   * One row per version of a secret. Written by importSecret (insert, deactivation) and by re-wrapping
   * (wrappedKey, keyId); deleted by nobody, so that a version number is never used twice.
   */
  secrets: defineTable({
    secretRef: v.string(),
    version: v.number(),
    /** Exactly one version per ref is active. */
    active: v.boolean(),
    /** Master key, by its id in the key ring, that wraps this row's data key. */
    keyId: v.string(),
    /** The data key, AES-256-GCM under the master key: base64 of IV and ciphertext. */
    wrappedKey: v.string(),
    /** The value, AES-256-GCM under the data key: base64 of IV and ciphertext. */
    ciphertext: v.string(),
    createdAt: v.number(),
    /** The version that was active before. */
    rotatedFrom: v.optional(v.id("secrets")),
    metadata: v.optional(v.record(v.string(), v.string())),
  })
    .index("by_ref_version", ["secretRef", "version"])
    .index("by_ref_active", ["secretRef", "active"])
    .index("by_key", ["keyId"]),
};
