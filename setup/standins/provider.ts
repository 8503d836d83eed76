import type {
  CheckRequest,
  CreateRequest,
  DeleteRequest,
  DiffRequest,
  InvokeRequest,
  ReadRequest,
  UpdateRequest,
} from "@pulumi/pulumi/proto/provider_pb.js";

import { plugin, provider as messages, providerGrpc, Empty } from "./proto.ts";
import { serve, unary } from "./server.ts";
import { changedKeys, fromStruct, toStruct, type Properties } from "./values.ts";

/** What an operation knows about its resource besides the properties. */
export interface Operation {
  readonly urn: string;
  /** Only plan: change nothing, mark what is not known yet. */
  readonly preview: boolean;
  /** The resource's custom timeout; undefined when it has none. */
  readonly timeoutMs: number | undefined;
}

/** What a provider knows about an existing resource. */
export interface Existing {
  readonly id: string;
  readonly state: Properties;
}

/** One resource type. Properties are as on the wire (secrets marked); errors fail the resource with their text. */
export interface ResourceType {
  /** Names of all inputs; another name is refused by `check`. */
  readonly inputs: readonly string[];
  readonly required: readonly string[];
  /** Inputs whose change replaces the resource; the others update it. */
  readonly replaceOn: readonly string[];
  /** Further rules: one text per broken rule. */
  validate?(inputs: Properties): { property: string; reason: string }[];
  create(inputs: Properties, operation: Operation): Promise<Existing>;
  update?(olds: Properties, news: Properties, operation: Operation): Promise<Properties>;
  delete?(state: Properties, operation: Operation): Promise<void>;
  /** Rebuilds the state from an id alone (`pulumi import`). */
  importById?(id: string): { inputs: Properties; state: Properties; id: string };
}

/** A provider: its resource types and functions by token. */
export interface Provider {
  readonly name: string;
  readonly version: string;
  readonly resources: Readonly<Record<string, ResourceType>>;
  readonly functions: Readonly<Record<string, (args: Properties) => Promise<Properties>>>;
  /** Ends what is running; later operations are refused. */
  cancel(): Promise<void>;
}

/** Serves a provider to the engine until it goes away. */
export function serveProvider(provider: Provider): Promise<void> {
  return serve(providerGrpc.ResourceProviderService, handlersOf(provider), () => provider.cancel());
}

function handlersOf(provider: Provider) {
  const typeOf = (urn: string): ResourceType => resourceType(provider, urn);
  return {
    configure: unary(() =>
      new messages.ConfigureResponse()
        .setAcceptsecrets(true)
        .setSupportspreview(true)
        .setAcceptresources(false)
        .setAcceptoutputs(false),
    ),
    getPluginInfo: unary(() => new plugin.PluginInfo().setVersion(provider.version)),
    getSchema: unary(() => new messages.GetSchemaResponse().setSchema(schemaOf(provider))),
    check: unary((request: CheckRequest) => {
      const inputs = fromStruct(request.getNews());
      const failures = checkInputs(typeOf(request.getUrn()), inputs).map(({ property, reason }) =>
        new messages.CheckFailure().setProperty(property).setReason(reason),
      );
      return new messages.CheckResponse().setInputs(toStruct(inputs)).setFailuresList(failures);
    }),
    diff: unary((request: DiffRequest) => {
      const olds = fromStruct(request.getOldInputs() ?? request.getOlds());
      return diffResponse(typeOf(request.getUrn()), olds, fromStruct(request.getNews()));
    }),
    create: unary(async (request: CreateRequest) => {
      const type = typeOf(request.getUrn());
      const { id, state } = await type.create(fromStruct(request.getProperties()), operationOf(request));
      return new messages.CreateResponse().setId(id).setProperties(toStruct(state));
    }),
    read: unary((request: ReadRequest) => readResponse(typeOf(request.getUrn()), request)),
    update: unary(async (request: UpdateRequest) => {
      const type = typeOf(request.getUrn());
      if (type.update === undefined) throw new Error(`${request.getUrn()} cannot be updated in place`);
      const [olds, news] = [fromStruct(request.getOlds()), fromStruct(request.getNews())];
      const state = await type.update(olds, news, operationOf(request));
      return new messages.UpdateResponse().setProperties(toStruct(state));
    }),
    delete: unary(async (request: DeleteRequest) => {
      await typeOf(request.getUrn()).delete?.(fromStruct(request.getProperties()), operationOf(request));
      return new Empty();
    }),
    invoke: unary(async (request: InvokeRequest) => {
      const call = provider.functions[request.getTok()];
      if (call === undefined) throw new Error(unserved(provider, request.getTok()));
      return new messages.InvokeResponse().setReturn(toStruct(await call(fromStruct(request.getArgs()))));
    }),
    cancel: unary(async () => {
      await provider.cancel();
      return new Empty();
    }),
  };
}

/** Refuses names that the type does not have and values that it needs. */
export function checkInputs(type: ResourceType, inputs: Properties): { property: string; reason: string }[] {
  const unexpected = Object.keys(inputs).filter((name) => !type.inputs.includes(name));
  const missing = type.required.filter((name) => inputs[name] === undefined || inputs[name] === null);
  return [
    ...unexpected.map((property) => ({
      property,
      reason: `unknown property; it takes ${type.inputs.join(", ")}`,
    })),
    ...missing.map((property) => ({ property, reason: "missing required property" })),
    ...(type.validate?.(inputs) ?? []),
  ];
}

function diffResponse(type: ResourceType, olds: Properties, news: Properties) {
  const { PropertyDiff, DiffResponse } = messages;
  const changed = changedKeys(olds, news);
  const replaces = changed.filter((key) => type.replaceOn.includes(key));
  const response = new DiffResponse()
    .setChanges(changed.length > 0 ? DiffResponse.DiffChanges.DIFF_SOME : DiffResponse.DiffChanges.DIFF_NONE)
    .setDiffsList(changed)
    .setReplacesList(replaces)
    .setHasdetaileddiff(true);
  const { Kind } = PropertyDiff;
  for (const key of changed) {
    const replace = replaces.includes(key);
    const [added, removed] = [olds[key] === undefined, news[key] === undefined];
    const kind = added
      ? replace
        ? Kind.ADD_REPLACE
        : Kind.ADD
      : removed
        ? replace
          ? Kind.DELETE_REPLACE
          : Kind.DELETE
        : replace
          ? Kind.UPDATE_REPLACE
          : Kind.UPDATE;
    response.getDetaileddiffMap().set(key, new PropertyDiff().setKind(kind).setInputdiff(true));
  }
  return response;
}

function readResponse(type: ResourceType, request: ReadRequest) {
  const state = fromStruct(request.getProperties());
  const response = new messages.ReadResponse();
  if (Object.keys(state).length > 0) {
    // Nothing outside can drift: a refresh keeps what is recorded.
    return response.setId(request.getId()).setProperties(toStruct(state)).setInputs(request.getInputs());
  }
  if (type.importById === undefined) throw new Error(`${request.getUrn()} cannot be imported`);
  const imported = type.importById(request.getId());
  return response
    .setId(imported.id)
    .setProperties(toStruct(imported.state))
    .setInputs(toStruct(imported.inputs));
}

function operationOf(request: CreateRequest | UpdateRequest | DeleteRequest): Operation {
  const seconds = request.getTimeout();
  return {
    urn: request.getUrn(),
    preview: "getPreview" in request && request.getPreview(),
    timeoutMs: seconds > 0 ? seconds * 1_000 : undefined,
  };
}

/** urn:pulumi:<stack>::<project>::<parent types>$<type>::<name> → its resource type. */
function resourceType(provider: Provider, urn: string): ResourceType {
  const token = urn.split("::")[2]?.split("$").at(-1) ?? "";
  const type = provider.resources[token];
  if (type === undefined) throw new Error(unserved(provider, token));
  return type;
}

function unserved(provider: Provider, token: string): string {
  const served = [...Object.keys(provider.resources), ...Object.keys(provider.functions)].join(", ");
  return `The stand-in for Pulumi's ${provider.name} plugin does not serve '${token}' (it serves ${served}). Install the real plugin: pulumi plugin install resource ${provider.name}`;
}

/** The smallest schema the engine accepts: names only, since no code is generated from it. */
function schemaOf(provider: Provider): string {
  const resources = Object.fromEntries(
    Object.entries(provider.resources).map(([token, type]) => [
      token,
      {
        inputProperties: Object.fromEntries(type.inputs.map((name) => [name, { $ref: "pulumi.json#/Any" }])),
        requiredInputs: type.required,
      },
    ]),
  );
  return JSON.stringify({ name: provider.name, version: provider.version, resources });
}
