import { describe, expect, it } from "vitest";
import crew from "../src/crew/CrewPage.svelte?raw";
import { asText } from "../src/map/base";
import base from "../src/styles/base.css?raw";

/** Custom properties of the first and of the dark block of a file, as `name: #rrggbb`. */
function tokens(source: string): { light: Map<string, string>; dark: Map<string, string> } {
  const [light, dark] = source.split("prefers-color-scheme: dark") as [string, string];
  const read = (text: string): Map<string, string> => new Map([...text.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1] as string, m[2] as string]));
  return { light: read(light), dark: new Map([...read(light), ...read(dark)]) };
}

/** Relative luminance, WCAG 2.2. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const TEXTS = ["ink", "ink-2", "calm-ink", "ochre-ink", "vermilion-ink", "violet-ink", "grey-ink", "accent"];
const GROUNDS = ["ground", "paper", "paper-2"];

describe("contrast", () => {
  it("computes the known ratio of black on white", () => {
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 5);
  });

  it.each(["light", "dark"] as const)("of every text on every surface of the office is at least 4.5, %s", (theme) => {
    const t = tokens(base)[theme];
    for (const text of TEXTS) for (const ground of GROUNDS) expect(contrast(t.get(text) as string, t.get(ground) as string), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t.get("accent-ink") as string, t.get("accent") as string)).toBeGreaterThanOrEqual(4.5);
  });

  it.each(["light", "dark"] as const)("of every text on the crew page is at least 7, %s", (theme) => {
    const t = new Map([...tokens(base)[theme], ...tokens(crew)[theme]]);
    for (const text of ["ink", "ink-2", "calm-ink", "vermilion-ink", "ochre-ink", "accent"])
      for (const ground of ["ground", "paper"]) expect(contrast(t.get(text) as string, t.get(ground) as string), `${text} on ${ground}`).toBeGreaterThanOrEqual(7);
    expect(contrast(t.get("accent-ink") as string, t.get("accent") as string)).toBeGreaterThanOrEqual(7);
    expect(contrast("#1c1400", t.get("strip-unsent") as string)).toBeGreaterThanOrEqual(7);
  });
});

describe("the attribution of street tiles", () => {
  it("is text, never markup", () => {
    expect(asText(`© Tiles <img src=x onerror="alert(1)">`)).not.toMatch(/[<>"]/);
  });
});
