// Colours of the drawn map. The same tones as the style sheet, as literals, since a canvas reads no CSS variables.

import type { AirCategory, Look } from "./level";

export type Theme = "light" | "dark";

export interface Palette {
  ground: string;
  paper: string;
  ink: string;
  ink2: string;
  halo: string;
  accent: string;
  road: string;
  roadEdge: string;
  granite: string;
  graniteEdge: string;
  grass: string;
  grassEdge: string;
  path: string;
  building: string;
  buildingEdge: string;
  mosque: string;
  mosqueEdge: string;
  umbrella: string;
  umbrellaEdge: string;
  tree: string;
  vendor: string;
  playground: string;
  landmark: string;
  tugu: string;
  zoneEdge: string;
  cup: string;
  look: Record<Look, string>;
  air: Record<AirCategory, string>;
  airInk: Record<AirCategory, string>;
}

const LIGHT: Palette = {
  ground: "#f1ede4",
  paper: "#fdfcf9",
  ink: "#22303a",
  ink2: "#5d676d",
  halo: "#f6f2ea",
  accent: "#14505c",
  road: "#fffdf9",
  roadEdge: "#ded6c7",
  granite: "#e6dfd3",
  graniteEdge: "#d3c9b9",
  grass: "#dde4cf",
  grassEdge: "#c9d4b6",
  path: "#f3ece0",
  building: "#ded5c6",
  buildingEdge: "#c4b8a4",
  mosque: "#d3d9cf",
  mosqueEdge: "#a9b7a6",
  umbrella: "#ffffff",
  umbrellaEdge: "#c8bda9",
  tree: "#c6d3b2",
  vendor: "#ead9bd",
  playground: "#ecdccb",
  landmark: "#d6cdbd",
  tugu: "#cfc4b1",
  zoneEdge: "#b9ad98",
  cup: "#fffefb",
  look: {
    empty: "#2c8791",
    half: "#2c8791",
    filling: "#d5961a",
    full: "#d2432a",
    overflow: "#6b3fa3",
    stale: "#868c92",
    silent: "#868c92",
    unknown: "#868c92",
    fault: "#22303a",
  },
  air: {
    baik: "#2f9e44",
    sedang: "#2b6cd4",
    "tidak-sehat": "#f0c419",
    "sangat-tidak-sehat": "#d8322a",
    berbahaya: "#1c1c1c",
    pending: "#868c92",
    unknown: "#868c92",
  },
  airInk: { baik: "#fff", sedang: "#fff", "tidak-sehat": "#2b2300", "sangat-tidak-sehat": "#fff", berbahaya: "#fff", pending: "#5d676d", unknown: "#fff" },
};

const DARK: Palette = {
  ground: "#161b25",
  paper: "#1f2632",
  ink: "#e9edf2",
  ink2: "#9aa6b4",
  halo: "#161b25",
  accent: "#7fc4cd",
  road: "#252c39",
  roadEdge: "#1c222d",
  granite: "#262d3a",
  graniteEdge: "#353d4c",
  grass: "#1b2927",
  grassEdge: "#27393a",
  path: "#2b3341",
  building: "#2c3443",
  buildingEdge: "#3f495a",
  mosque: "#2d3b40",
  mosqueEdge: "#4b6064",
  umbrella: "#3d4657",
  umbrellaEdge: "#5a6578",
  tree: "#24372f",
  vendor: "#383326",
  playground: "#35302f",
  landmark: "#353d4c",
  tugu: "#434c5d",
  zoneEdge: "#475164",
  cup: "#10151d",
  look: {
    empty: "#4aa6b0",
    half: "#4aa6b0",
    filling: "#e3aa3a",
    full: "#ea6248",
    overflow: "#a67fe0",
    stale: "#828b96",
    silent: "#828b96",
    unknown: "#828b96",
    fault: "#e9edf2",
  },
  air: { ...LIGHT.air, baik: "#3fa856", sedang: "#4a86e8", berbahaya: "#0a0a0a" },
  airInk: { ...LIGHT.airInk, pending: "#a9b4c1" },
};

export const palette = (theme: Theme): Palette => (theme === "dark" ? DARK : LIGHT);
