import * as z from "zod";
import { FlyError, parseInput } from "../errors.ts";
import { type Route, ok } from "../http/route.ts";
import { guestSchema } from "../machines/configSchema.ts";
import { REGIONS } from "./regions.ts";

/** A made-up but constant room per region: the emulator's capacity comes from injected faults, not from here. */
const MACHINES_PER_REGION = 50;

const placementBody = z.object({
  org_slug: z.string(),
  region: z.string().optional(),
  compute: guestSchema.optional(),
  count: z.number().int().min(0).optional(),
  volume_name: z.string().optional(),
  volume_size_bytes: z.number().int().optional(),
  weights: z.record(z.string(), z.number().int()).optional(),
});

/** Aliases the placement API accepts beside region codes. */
const GEO: Record<string, string> = {
  eu: "europe",
  na: "north_america",
  us: "north_america",
  sa: "south_america",
  apac: "asia_pacific",
};

function matching(list: string | undefined): string[] {
  if (list === undefined || list === "" || list === "any") return REGIONS.map((region) => region.code);
  const wanted = list.split(",").map((part) => part.trim());
  return REGIONS.filter((region) =>
    wanted.some((part) => part === region.code || GEO[part] === region.geo),
  ).map((region) => region.code);
}

export function platformRoutes(defaultRegion: string): Route[] {
  return [
    {
      operation: "Platform_regions_get",
      method: "GET",
      path: "/v1/platform/regions",
      access: "token",
      handle: () =>
        ok({
          nearest: defaultRegion,
          regions: REGIONS.map((region) => ({
            code: region.code,
            name: region.name,
            geo_region: region.geo,
            latitude: region.latitude,
            longitude: region.longitude,
            gateway_available: true,
            requires_paid_plan: false,
            deprecated: false,
          })),
        }),
    },
    {
      operation: "Platform_placements_post",
      method: "POST",
      path: "/v1/platform/placements",
      access: "token",
      handle: (call) => {
        const body = parseInput(placementBody, call.body);
        if (body.org_slug !== call.principal.org)
          throw new FlyError(403, "token does not cover that organization");
        const count = body.count === undefined || body.count === 0 ? MACHINES_PER_REGION : body.count;
        return ok({
          regions: matching(body.region).map((region) => ({
            region,
            count: Math.min(count, MACHINES_PER_REGION),
            concurrency: MACHINES_PER_REGION,
          })),
        });
      },
    },
  ];
}
