/** The Pulumi program without an engine: every registration is recorded with its options, outputs are given. */
import * as pulumi from "@pulumi/pulumi";
import closures from "@pulumi/pulumi/runtime/closure/serializeClosure.js";
import { getMonitor } from "@pulumi/pulumi/runtime/settings.js";

/** What the program asked the engine for. */
export interface Registered {
  /** Last part of the type, for example FlyApp or Command. */
  type: string;
  name: string;
  parent: string | null;
  protect: boolean;
  retainOnDelete: boolean;
  deleteBeforeReplace: boolean;
  /** Name of what it goes with; null: it is deleted by itself. */
  deletedWith: string | null;
  /** Names of what it waits for, by option or by an input. */
  dependsOn: string[];
  secretOutputs: string[];
  inputs: Record<string, unknown>;
  /** Paths of inputs that are marked secret. */
  secretInputs: string[];
}

/** Getters of the engine's request that are read here. */
interface RegisterRequest {
  getType(): string;
  getName(): string;
  getParent(): string;
  getProtect(): boolean;
  getRetainondelete(): boolean;
  getDeletebeforereplace(): boolean;
  getDeletedwith(): string;
  getDependenciesList(): string[];
  getAdditionalsecretoutputsList(): string[];
  getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
}

const nameOf = (urn: string): string => urn.slice(urn.lastIndexOf("::") + 2);
/** How the engine's protocol marks a secret. */
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";
const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";

/** Values without their marks, and the paths that were marked. */
function unwrap(value: unknown, path: string, secret: string[]): unknown {
  if (Array.isArray(value)) return value.map((item, index) => unwrap(item, `${path}[${index}]`, secret));
  if (value === null || typeof value !== "object") return value;
  const marked = value as Record<string, unknown>;
  if (marked[SIGNATURE_KEY] === SECRET_SIGNATURE) {
    secret.push(path);
    return unwrap(marked["value"], path, secret);
  }
  return Object.fromEntries(
    Object.entries(marked).map(([key, child]) => [
      key,
      unwrap(child, path === "" ? key : `${path}.${key}`, secret),
    ]),
  );
}

/** Providers' code is not run here: turning it into text for the engine would take most of a test's time. */
function skipSerialization(): void {
  closures.serializeFunction = async () => ({ text: "", exportName: "handler", containsSecrets: false });
}

/**
 * Starts a fresh engine.
 * @param outputsOf what a resource's provider would add to its inputs; not asked in a preview.
 */
export async function startEngine(options: {
  preview: boolean;
  outputsOf: (type: string, name: string, inputs: Record<string, unknown>) => Record<string, unknown>;
}): Promise<Map<string, Registered>> {
  const registered = new Map<string, Registered>();
  skipSerialization();
  const shortType = (type: string): string => type.slice(type.lastIndexOf(":") + 1);
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => ({
        id: options.preview ? undefined : `${name}-id`,
        state: options.preview ? inputs : { ...inputs, ...options.outputsOf(shortType(type), name, inputs) },
      }),
      call: () => ({}),
    },
    "agent-factory",
    "staging",
    options.preview,
  );
  const monitor = getMonitor() as unknown as {
    registerResource: (request: RegisterRequest, callback: unknown) => Promise<void>;
  };
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = async (request, callback) => {
    const secretInputs: string[] = [];
    const inputs = unwrap(request.getObject()?.toJavaScript() ?? {}, "", secretInputs);
    const { __provider, ...rest } = inputs as Record<string, unknown>;
    registered.set(request.getName(), {
      type: shortType(request.getType()),
      name: request.getName(),
      parent: request.getParent() === "" ? null : nameOf(request.getParent()),
      protect: request.getProtect(),
      retainOnDelete: request.getRetainondelete(),
      deleteBeforeReplace: request.getDeletebeforereplace(),
      deletedWith: request.getDeletedwith() === "" ? null : nameOf(request.getDeletedwith()),
      dependsOn: request.getDependenciesList().map(nameOf).sort(),
      secretOutputs: request.getAdditionalsecretoutputsList().sort(),
      inputs: rest,
      secretInputs: secretInputs.filter((path) => !path.startsWith("__provider")).sort(),
    });
    await register(request, callback);
  };
  return registered;
}

/** Everything that has to stand before `name` is made. */
export function before(registered: ReadonlyMap<string, Registered>, name: string): Set<string> {
  const found = new Set<string>();
  const open = [name];
  for (let current = open.pop(); current !== undefined; current = open.pop()) {
    for (const next of registered.get(current)?.dependsOn ?? []) {
      if (found.has(next)) continue;
      found.add(next);
      open.push(next);
    }
  }
  return found;
}

/** The value of an output, whether it is known and whether it is secret. */
export async function outputOf<T>(
  output: pulumi.Output<T>,
): Promise<{ value: T | undefined; known: boolean; secret: boolean }> {
  const inner = output as unknown as {
    promise(withUnknowns?: boolean): Promise<T>;
    isKnown: Promise<boolean>;
    isSecret: Promise<boolean>;
  };
  const known = await inner.isKnown;
  return { value: known ? await inner.promise() : undefined, known, secret: await inner.isSecret };
}
