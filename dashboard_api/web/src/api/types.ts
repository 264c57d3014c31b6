// Shapes of the HTTP API, as the server documents them in /api/openapi.json.
// Times are unix milliseconds of square time and end in `_ms`.

export type Level = "empty" | "half" | "filling" | "full" | "overflow" | "unknown";
export type SensorState = "ok" | "obstructed" | "lid-open" | "tilted" | "water" | "no-echo" | "sensor-fault" | "stuck";

export interface ClockState {
  now_ms: number;
  speed: number;
  simulated: boolean;
}

export interface BinState {
  asset_id: string;
  device_id: string | null;
  ts_ms: number | null;
  fill_pct: number | null;
  level: Level;
  state: SensorState | string | null;
  silent: boolean;
  stale: boolean;
  battery_mv: number | null;
  temp_c: number | null;
  quality: number | null;
  flags: number | null;
  fill_rate_pct_h: number | null;
  full_at_ms: number | null;
  full_at_p10_ms: number | null;
  full_at_p90_ms: number | null;
  emptied_at_ms: number | null;
}

export interface AirState {
  asset_id: string;
  device_id: string | null;
  ts_ms: number | null;
  pm25_ugm3: number | null;
  pm10_ugm3: number | null;
  rh_pct: number | null;
  temp_c: number | null;
  mean_24h_pm25_ugm3: number | null;
  ispu: number | null;
  ispu_category: string | null;
  silent: boolean;
  stale: boolean;
  indicative: boolean;
}

export type IncidentRule = "full" | "overflow" | "soon-full" | "silent" | "bad-air" | "fault" | "gateway-silent";

export interface Incident {
  id: number;
  asset_id: string;
  rule: IncidentRule | string;
  severity: string;
  state: "open" | "acked" | "closed";
  opened_ms: number;
  acked_ms: number | null;
  acked_by: string | null;
  closed_ms: number | null;
  detail: Record<string, unknown> | null;
}

export type TaskState = "open" | "assigned" | "accepted" | "claimed" | "verified" | "unverified" | "cancelled";

export interface Task {
  id: number;
  incident_id: number | null;
  asset_id: string;
  kind: string;
  state: TaskState;
  crew_id: string | null;
  created_ms: number;
  assigned_ms: number | null;
  accepted_ms: number | null;
  claimed_ms: number | null;
  closed_ms: number | null;
  due_ms: number | null;
  waiting_reason: string | null;
  fill_before_pct: number | null;
  fill_after_pct: number | null;
}

export interface Crew {
  id: string;
  name: string;
  shift: string;
  on_shift: boolean;
  lon: number | null;
  lat: number | null;
  position_ms: number | null;
  open_tasks: number;
}

export interface ServiceHealth {
  service: string;
  ok: boolean;
  reason: string | null;
  age_s: number | null;
}

export interface Health {
  ok: boolean;
  services: ServiceHealth[];
}

export interface SquareState {
  event_id: number;
  clock: ClockState;
  bins: BinState[];
  air: AirState[];
  incidents: Incident[];
  tasks: Task[];
  crews: Crew[];
  health: Health;
}

export interface PlanProperties {
  role: string;
  id?: string;
  name_id?: string;
  name_en?: string;
  zone?: string;
  [key: string]: unknown;
}

export interface PlanFeature {
  type: "Feature";
  id?: string | number;
  geometry: { type: string; coordinates: unknown };
  properties: PlanProperties;
}

export interface Plan {
  type: "FeatureCollection";
  features: PlanFeature[];
}

export interface Shift {
  id: string;
  name_id: string;
  name_en: string;
  start: string;
  end: string;
}

export interface Site {
  id: string;
  name_id: string;
  name_en: string;
  timezone: string;
  centre: [number, number];
  plan: Plan;
  rules: Record<string, number>;
  crews: { id: string; name: string; shift: string }[];
  shifts: Shift[];
  tiles_url: string | null;
  tiles_attribution: string | null;
}

export interface History {
  asset_id: string;
  ts_ms: number[];
  columns: Record<string, (number | null)[]>;
}

export interface CrewTask extends Task {
  fill_now_pct: number | null;
  asset: { name_id: string; name_en: string; lon: number; lat: number; zone: string | null };
}

export interface CrewPage {
  crew: Crew;
  tasks: CrewTask[];
  clock: ClockState;
  shift: Shift | null;
  site: { id: string; name_id: string; name_en: string };
}

export interface ApiErrorBody {
  error: { code: string; message_id: string; message_en: string; where?: string | null; state?: string };
}
