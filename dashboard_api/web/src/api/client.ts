// The only place that calls fetch. Every failure becomes an ApiError that says whether trying again can help.

import type { ApiErrorBody, History, Incident, Site, SquareState } from "./types";

const TIMEOUT_MS = 12_000;

export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number, // 0 = no answer at all
    readonly code: string,
    readonly messageId: string,
    readonly messageEn: string,
    readonly body: unknown = null,
  ) {
    super(`${status} ${code}`);
  }

  /** True when the same request may succeed later: no network, or the server is in trouble. */
  get isRetryable(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

function isErrorBody(body: unknown): body is ApiErrorBody {
  return typeof body === "object" && body !== null && "error" in body && typeof body.error === "object" && body.error !== null;
}

export async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      headers: { Accept: "application/json", ...init.headers },
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(0, "no-network", "Tidak ada jawaban dari server.", "No answer from the server.");
  }
  let body: unknown = null;
  try {
    body = await response.json();
  } catch {
    if (response.ok) throw new ApiError(502, "bad-json", "Jawaban server tidak terbaca.", "The server's answer could not be read.");
  }
  if (!response.ok) {
    const said = isErrorBody(body) ? body.error : null;
    throw new ApiError(
      response.status,
      said?.code ?? `http-${response.status}`,
      said?.message_id ?? "Server menolak permintaan ini.",
      said?.message_en ?? "The server refused this request.",
      body,
    );
  }
  return body as T;
}

export const fetchSite = (): Promise<Site> => request("/api/v1/site");
export const fetchState = (): Promise<SquareState> => request("/api/v1/state");

export function fetchHistory(asset: string, fields: string[], startMs: number, endMs: number, everyS: number): Promise<History> {
  const query = new URLSearchParams({
    asset,
    fields: fields.join(","),
    start_ms: String(Math.floor(startMs)),
    end_ms: String(Math.ceil(endMs)),
    every_s: String(everyS),
  });
  return request(`/api/v1/history?${query}`);
}

export function acknowledge(incidentId: number, who: string): Promise<Incident> {
  return request(`/api/v1/incidents/${encodeURIComponent(incidentId)}/ack`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ who }),
  });
}
