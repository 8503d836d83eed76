/** A small, real subset of Fly's regions: code, name, geography, coordinates. */
export interface Region {
  code: string;
  name: string;
  geo: string;
  latitude: number;
  longitude: number;
}

const row = (code: string, name: string, geo: string, latitude: number, longitude: number): Region => ({
  code,
  name,
  geo,
  latitude,
  longitude,
});

export const REGIONS: readonly Region[] = [
  row("ams", "Amsterdam, Netherlands", "europe", 52.37, 4.9),
  row("arn", "Stockholm, Sweden", "europe", 59.65, 17.92),
  row("cdg", "Paris, France", "europe", 48.86, 2.35),
  row("dfw", "Dallas, Texas (US)", "north_america", 32.78, -96.8),
  row("ewr", "Secaucus, NJ (US)", "north_america", 40.79, -74.06),
  row("fra", "Frankfurt, Germany", "europe", 50.17, 8.68),
  row("gru", "Sao Paulo, Brazil", "south_america", -23.55, -46.63),
  row("iad", "Ashburn, Virginia (US)", "north_america", 39.02, -77.54),
  row("jnb", "Johannesburg, South Africa", "africa", -26.2, 28.04),
  row("lax", "Los Angeles, California (US)", "north_america", 33.94, -118.41),
  row("lhr", "London, United Kingdom", "europe", 51.52, -0.08),
  row("nrt", "Tokyo, Japan", "asia_pacific", 35.62, 139.78),
  row("ord", "Chicago, Illinois (US)", "north_america", 41.98, -87.9),
  row("sin", "Singapore, Singapore", "asia_pacific", 1.3, 103.8),
  row("sjc", "San Jose, California (US)", "north_america", 37.35, -121.96),
  row("syd", "Sydney, Australia", "asia_pacific", -33.87, 151.21),
  row("yyz", "Toronto, Canada", "north_america", 43.64, -79.42),
];

export const isRegion = (code: string): boolean => REGIONS.some((region) => region.code === code);
