/** How Fly says "no room", by what a client has to do next; texts as recorded in public reports. */
export const CAPACITY_SCOPES = [
  "region",
  "regionText",
  "volumeHost",
  "volumeHostText",
  "currentHost",
  "orgQuota",
  "machineLimit",
] as const;
export type CapacityScope = (typeof CAPACITY_SCOPES)[number];

/** Status and body of a capacity refusal. `machineLimit`'s real text is not known. */
export function capacityAnswer(scope: CapacityScope): {
  status: number;
  body: { error: string; status?: string };
} {
  switch (scope) {
    case "region":
      return {
        status: 422,
        body: { error: "could not reserve resource for machine in region", status: "insufficient_capacity" },
      };
    case "regionText":
      return { status: 409, body: { error: "aborted: could not reserve resource for machine: no capacity" } };
    case "volumeHost":
      return {
        status: 422,
        body: { error: "no room on the volume's host", status: "volume_placement_capacity" },
      };
    case "volumeHostText":
      return {
        status: 412,
        body: { error: "insufficient resources to create new machine with existing volume" },
      };
    case "currentHost":
      return { status: 409, body: { error: "aborted: insufficient memory available to fulfill request" } };
    case "orgQuota":
      return {
        status: 403,
        body: {
          error: "organization is using machines over the allowed quota. please consider other regions",
        },
      };
    case "machineLimit":
      return { status: 422, body: { error: "organization has reached its machine limit" } };
  }
}
