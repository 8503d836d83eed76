// The generated protobuf modules are CommonJS whose exports only appear when they run, so a static `import`
// would see an empty namespace. This file is the one place that loads them, with their published types.
import { createRequire } from "node:module";

const load = createRequire(import.meta.url);

export const language = load(
  "@pulumi/pulumi/proto/language_pb",
) as typeof import("@pulumi/pulumi/proto/language_pb.js");
export const languageGrpc = load(
  "@pulumi/pulumi/proto/language_grpc_pb",
) as typeof import("@pulumi/pulumi/proto/language_grpc_pb.js");
export const plugin = load(
  "@pulumi/pulumi/proto/plugin_pb",
) as typeof import("@pulumi/pulumi/proto/plugin_pb.js");
export const provider = load(
  "@pulumi/pulumi/proto/provider_pb",
) as typeof import("@pulumi/pulumi/proto/provider_pb.js");
export const providerGrpc = load(
  "@pulumi/pulumi/proto/provider_grpc_pb",
) as typeof import("@pulumi/pulumi/proto/provider_grpc_pb.js");
export const engine = load(
  "@pulumi/pulumi/proto/engine_pb",
) as typeof import("@pulumi/pulumi/proto/engine_pb.js");
export const engineGrpc = load(
  "@pulumi/pulumi/proto/engine_grpc_pb",
) as typeof import("@pulumi/pulumi/proto/engine_grpc_pb.js");
export const { Empty } = load(
  "google-protobuf/google/protobuf/empty_pb",
) as typeof import("google-protobuf/google/protobuf/empty_pb.js");
export const { Struct } = load(
  "google-protobuf/google/protobuf/struct_pb",
) as typeof import("google-protobuf/google/protobuf/struct_pb.js");
