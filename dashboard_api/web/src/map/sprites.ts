// Bins, air stations, crews and landmarks, drawn on a canvas. Pure drawing: a context goes in, nothing comes out.
//
// Colour and shape both carry the state, so that the map still reads without colour vision and in glare:
// gauge height (fill), "!" (full), crown (overflow), hatch (stale), hatch and slash (silent),
// dashes and "?" (never heard), white disc with a glyph (a fault of lid, bin or sensor).

import type { AirCategory, BinStyle, Fault } from "./level";
import type { Palette } from "./palette";

/** Edge of a bin sprite [CSS px]; the disc sits in the middle. */
export const BIN_PX = 44;
const R = 11;
const RING_R = 15.5;

type Ctx = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

export function drawBin(ctx: Ctx, style: BinStyle, p: Palette): void {
  const c = BIN_PX / 2;
  const colour = p.look[style.look];
  ctx.save();
  ctx.translate(c, c);
  ctx.lineCap = "round";
  ctx.lineJoin = "round";

  if (style.look === "overflow") drawCrown(ctx, colour, p);
  disc(ctx, R + 2.2, p.halo);
  if (style.ring > 0) drawRing(ctx, style.ring, p);

  switch (style.look) {
    case "stale":
    case "silent":
      disc(ctx, R, p.cup);
      hatch(ctx, colour);
      outline(ctx, colour, 1.8);
      if (style.look === "silent") slash(ctx, colour, p);
      break;
    case "unknown":
      disc(ctx, R, p.cup);
      ctx.setLineDash([3, 3.9]);
      outline(ctx, colour, 1.8);
      ctx.setLineDash([]);
      glyph(ctx, "?", colour, 14);
      break;
    case "fault":
      disc(ctx, R, "#ffffff");
      outline(ctx, "#22303a", 2);
      drawFault(ctx, style.fault ?? "sensor-fault");
      break;
    default:
      disc(ctx, R, p.cup);
      gauge(ctx, style.look === "overflow" ? 100 : style.bucketPct, colour);
      outline(ctx, colour, style.look === "empty" || style.look === "half" ? 1.8 : 2.4);
      if (style.look === "full") bang(ctx);
      if (style.look === "overflow") chevron(ctx);
  }
  ctx.restore();
}

function disc(ctx: Ctx, radius: number, fill: string): void {
  ctx.beginPath();
  ctx.arc(0, 0, radius, 0, Math.PI * 2);
  ctx.fillStyle = fill;
  ctx.fill();
}

function outline(ctx: Ctx, stroke: string, width: number): void {
  ctx.beginPath();
  ctx.arc(0, 0, R - width / 2, 0, Math.PI * 2);
  ctx.strokeStyle = stroke;
  ctx.lineWidth = width;
  ctx.stroke();
}

function gauge(ctx: Ctx, pct: number, fill: string): void {
  if (pct <= 0) return;
  ctx.save();
  ctx.beginPath();
  ctx.arc(0, 0, R - 0.5, 0, Math.PI * 2);
  ctx.clip();
  ctx.fillStyle = fill;
  const height = (2 * R * pct) / 100;
  ctx.fillRect(-R, R - height, 2 * R, height);
  ctx.restore();
}

function drawRing(ctx: Ctx, sixths: number, p: Palette): void {
  const start = -Math.PI / 2;
  ctx.beginPath();
  ctx.arc(0, 0, RING_R, start, start + (sixths * Math.PI) / 3);
  ctx.strokeStyle = p.halo;
  ctx.lineWidth = 4.6;
  ctx.stroke();
  ctx.beginPath();
  ctx.arc(0, 0, RING_R, start, start + (sixths * Math.PI) / 3);
  ctx.strokeStyle = sixths >= 5 ? p.look.full : p.ink2;
  ctx.lineWidth = 2.6;
  ctx.stroke();
}

function drawCrown(ctx: Ctx, colour: string, p: Palette): void {
  const bumps: [number, number, number][] = [
    [-6.5, -10.5, 4],
    [0, -13, 4.6],
    [6.5, -10.5, 4],
  ];
  for (const [x, y, r] of bumps) {
    ctx.beginPath();
    ctx.arc(x, y, r + 1.8, 0, Math.PI * 2);
    ctx.fillStyle = p.halo;
    ctx.fill();
  }
  for (const [x, y, r] of bumps) {
    ctx.beginPath();
    ctx.arc(x, y, r, 0, Math.PI * 2);
    ctx.fillStyle = colour;
    ctx.fill();
  }
}

function hatch(ctx: Ctx, stroke: string): void {
  ctx.save();
  ctx.beginPath();
  ctx.arc(0, 0, R - 1, 0, Math.PI * 2);
  ctx.clip();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.3;
  for (let x = -2 * R; x <= 2 * R; x += 4.2) {
    ctx.beginPath();
    ctx.moveTo(x - R, R);
    ctx.lineTo(x + R, -R);
    ctx.stroke();
  }
  ctx.restore();
}

function slash(ctx: Ctx, stroke: string, p: Palette): void {
  for (const [colour, width] of [[p.halo, 5.6], [stroke, 2.4]] as const) {
    ctx.beginPath();
    ctx.moveTo(-R, -R);
    ctx.lineTo(R, R);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  }
}

function glyph(ctx: Ctx, text: string, fill: string, size: number): void {
  ctx.font = `700 ${size}px "Resik Sans", sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = fill;
  ctx.fillText(text, 0, 1);
}

function bang(ctx: Ctx): void {
  ctx.strokeStyle = "#ffffff";
  ctx.fillStyle = "#ffffff";
  ctx.lineWidth = 2.8;
  ctx.beginPath();
  ctx.moveTo(0, -4.6);
  ctx.lineTo(0, 1.2);
  ctx.stroke();
  ctx.beginPath();
  ctx.arc(0, 5.4, 1.7, 0, Math.PI * 2);
  ctx.fill();
}

function chevron(ctx: Ctx): void {
  ctx.strokeStyle = "#ffffff";
  ctx.lineWidth = 2.6;
  ctx.beginPath();
  for (const y of [-1.5, 4]) {
    ctx.moveTo(-4.2, y + 1.8);
    ctx.lineTo(0, y - 2.4);
    ctx.lineTo(4.2, y + 1.8);
  }
  ctx.stroke();
}

function drawFault(ctx: Ctx, fault: Fault): void {
  ctx.strokeStyle = "#22303a";
  ctx.fillStyle = "#22303a";
  ctx.lineWidth = 2;
  ctx.beginPath();
  switch (fault) {
    case "obstructed": // something in front of the beam
      ctx.moveTo(-5, -3.5);
      ctx.lineTo(5, -3.5);
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(0, 2.6, 3.2, 0, Math.PI * 2);
      ctx.fill();
      break;
    case "lid-open": // box with a raised lid
      ctx.rect(-4, -0.5, 8, 6);
      ctx.moveTo(-4.5, -2.6);
      ctx.lineTo(4, -6.2);
      ctx.stroke();
      break;
    case "tilted": // box on its edge
      ctx.rotate(0.5);
      ctx.rect(-3.6, -4.4, 7.2, 8.8);
      ctx.moveTo(-5, -4.4);
      ctx.lineTo(5, -4.4);
      ctx.stroke();
      break;
    case "water": // drop
      ctx.moveTo(0, -6.4);
      ctx.bezierCurveTo(2.2, -3, 4.6, -0.6, 4.6, 2);
      ctx.arc(0, 2, 4.6, 0, Math.PI);
      ctx.bezierCurveTo(-4.6, -0.6, -2.2, -3, 0, -6.4);
      ctx.fill();
      break;
    case "no-echo": // beam that does not return
      ctx.moveTo(-4.6, -4.6);
      ctx.lineTo(0, 0);
      ctx.moveTo(-1.5, 4.8);
      ctx.lineTo(4.8, -1.5);
      ctx.stroke();
      break;
    default: // cross: the sensor itself
      ctx.moveTo(-4, -4);
      ctx.lineTo(4, 4);
      ctx.moveTo(4, -4);
      ctx.lineTo(-4, 4);
      ctx.stroke();
  }
}

/** Width and height of a word sprite [CSS px]. */
export interface WordSize {
  width: number;
  height: number;
}

const WORD_FONT = '600 13px "Resik Sans", sans-serif';
const NOTE_FONT = '400 12px "Resik Sans", sans-serif';
const PAD_PX = 7;
const GAP_PX = 5;

/** Edge of the mark of an air station and of a crew [CSS px]. */
export const MARK_PX = 24;

const SWATCH_PX = 10;

export interface Word {
  word: string;
  /** Smaller words behind it; may be empty. */
  note: string;
  /** Colour of a small square before the word. */
  swatch: string | null;
  fill: string;
  ink: string;
  noteInk: string;
}

export function measureWord(ctx: Ctx, word: string, note: string, hasSwatch: boolean): WordSize {
  ctx.font = WORD_FONT;
  let width = ctx.measureText(word).width;
  if (note) {
    // Under the word, not beside it: between bins there is more height than width
    ctx.font = NOTE_FONT;
    width = Math.max(width, ctx.measureText(note).width);
  }
  if (hasSwatch) width += SWATCH_PX + GAP_PX;
  return { width: Math.ceil(width) + 2 * PAD_PX, height: note ? 36 : 22 };
}

export function drawWord(ctx: Ctx, size: WordSize, { word, note, swatch, fill, ink, noteInk }: Word): void {
  ctx.beginPath();
  ctx.roundRect(0.5, 0.5, size.width - 1, size.height - 1, 7);
  ctx.fillStyle = fill;
  ctx.fill();
  let x = PAD_PX;
  if (swatch !== null) {
    ctx.beginPath();
    ctx.roundRect(x, (22 - SWATCH_PX) / 2, SWATCH_PX, SWATCH_PX, 2.5);
    ctx.fillStyle = swatch;
    ctx.fill();
    x += SWATCH_PX + GAP_PX;
  }
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.font = WORD_FONT;
  ctx.fillStyle = ink;
  ctx.fillText(word, x, 15.5);
  if (!note) return;
  ctx.font = NOTE_FONT;
  ctx.fillStyle = noteInk;
  ctx.fillText(note, x, 29.5);
}

/** Air station: a square in the colour of the regulation. A square, so that it is never taken for a bin. */
export function drawAir(ctx: Ctx, category: AirCategory, p: Palette): void {
  const at = (MARK_PX - 17) / 2;
  ctx.beginPath();
  ctx.roundRect(at - 2, at - 2, 21, 21, 6);
  ctx.fillStyle = p.halo;
  ctx.fill();
  ctx.beginPath();
  ctx.roundRect(at, at, 17, 17, 4.5);
  const isClass = category !== "unknown" && category !== "pending";
  ctx.fillStyle = isClass ? p.air[category] : p.cup;
  ctx.fill();
  ctx.save();
  ctx.clip();
  if (category === "unknown") {
    ctx.strokeStyle = p.air.unknown;
    ctx.lineWidth = 1.3;
    for (let x = -MARK_PX; x < MARK_PX; x += 4.2) {
      ctx.beginPath();
      ctx.moveTo(x, MARK_PX);
      ctx.lineTo(x + MARK_PX, 0);
      ctx.stroke();
    }
  }
  ctx.restore();
  ctx.beginPath();
  ctx.roundRect(at + 0.75, at + 0.75, 15.5, 15.5, 4);
  ctx.strokeStyle = isClass ? p.ink : p.air.unknown;
  ctx.globalAlpha = isClass ? 0.35 : 1;
  ctx.lineWidth = 1.5;
  ctx.stroke();
  ctx.globalAlpha = 1;
  if (category === "unknown") return;
  // Two strokes of wind.
  ctx.strokeStyle = p.airInk[category];
  ctx.lineWidth = 1.8;
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(7.5, 10.2);
  ctx.bezierCurveTo(10, 8, 11.5, 12.4, 16.5, 9.6);
  ctx.moveTo(7.5, 14.6);
  ctx.bezierCurveTo(10, 12.4, 11.5, 16.8, 16.5, 14);
  ctx.stroke();
}

/** Crew member: a dark disc with a small figure; the name stands beside it. */
export function drawCrew(ctx: Ctx, p: Palette): void {
  const c = MARK_PX / 2;
  ctx.beginPath();
  ctx.arc(c, c, 11.5, 0, Math.PI * 2);
  ctx.fillStyle = p.halo;
  ctx.fill();
  ctx.beginPath();
  ctx.arc(c, c, 9.8, 0, Math.PI * 2);
  ctx.fillStyle = p.accent;
  ctx.fill();
  ctx.fillStyle = p.paper;
  ctx.beginPath();
  ctx.arc(c, c - 3, 2.7, 0, Math.PI * 2);
  ctx.fill();
  ctx.beginPath();
  ctx.arc(c, c + 6, 5, Math.PI, 0);
  ctx.fill();
}

export type Landmark = "mosque" | "tower" | "tugu" | "toilet" | "gate" | "terminal" | "playground" | "depot" | "tps" | "tomb";

/** Edge of a landmark sprite [CSS px]. */
export const LANDMARK_PX = 22;

/** Small line drawings of what people orient themselves by. */
export function drawLandmark(ctx: Ctx, kind: Landmark, p: Palette): void {
  ctx.save();
  ctx.translate(LANDMARK_PX / 2, LANDMARK_PX / 2);
  ctx.lineCap = "round";
  ctx.lineJoin = "round";
  for (const [stroke, width] of [[p.halo, 4.2], [p.ink2, 1.5]] as const) {
    ctx.strokeStyle = stroke;
    ctx.lineWidth = width;
    ctx.beginPath();
    trace(ctx, kind);
    ctx.stroke();
  }
  ctx.restore();
}

function trace(ctx: Ctx, kind: Landmark): void {
  switch (kind) {
    case "mosque":
      ctx.moveTo(-6, 7);
      ctx.lineTo(-6, 1);
      ctx.bezierCurveTo(-6, -4, -1.5, -4, 0, -7.5);
      ctx.bezierCurveTo(1.5, -4, 6, -4, 6, 1);
      ctx.lineTo(6, 7);
      ctx.closePath();
      break;
    case "tower":
      ctx.rect(-4.5, -8, 9, 5.5);
      ctx.moveTo(-3, -2.5);
      ctx.lineTo(-4.5, 8);
      ctx.moveTo(3, -2.5);
      ctx.lineTo(4.5, 8);
      ctx.moveTo(-3.6, 3);
      ctx.lineTo(3.6, 3);
      break;
    case "tugu":
      ctx.moveTo(-4.5, 8);
      ctx.lineTo(4.5, 8);
      ctx.moveTo(-2.2, 8);
      ctx.lineTo(-1.2, -5);
      ctx.lineTo(0, -8);
      ctx.lineTo(1.2, -5);
      ctx.lineTo(2.2, 8);
      break;
    case "toilet":
      ctx.moveTo(-3.6, -6.5);
      ctx.arc(-3.6, -5.2, 1.3, -Math.PI / 2, Math.PI * 1.5);
      ctx.moveTo(-3.6, -2);
      ctx.lineTo(-3.6, 6.5);
      ctx.moveTo(4.9, -5.2);
      ctx.arc(3.6, -5.2, 1.3, 0, Math.PI * 2);
      ctx.moveTo(3.6, -2);
      ctx.lineTo(1.2, 3);
      ctx.lineTo(6, 3);
      ctx.closePath();
      break;
    case "gate":
      ctx.moveTo(-6, 7);
      ctx.lineTo(-6, -5);
      ctx.lineTo(6, -5);
      ctx.lineTo(6, 7);
      ctx.moveTo(-8, -5);
      ctx.lineTo(8, -5);
      break;
    case "terminal":
      ctx.roundRect(-7, -5, 14, 9, 2);
      ctx.moveTo(-7, 0);
      ctx.lineTo(7, 0);
      ctx.moveTo(-2.6, 6);
      ctx.arc(-4, 6, 1.4, 0, Math.PI * 2);
      ctx.moveTo(5.4, 6);
      ctx.arc(4, 6, 1.4, 0, Math.PI * 2);
      break;
    case "playground":
      ctx.moveTo(-7, 7);
      ctx.lineTo(-3, -7);
      ctx.lineTo(3, -7);
      ctx.lineTo(7, 7);
      ctx.moveTo(0, -7);
      ctx.lineTo(0, 2);
      ctx.moveTo(-2.5, 2);
      ctx.lineTo(2.5, 2);
      break;
    case "depot":
      ctx.moveTo(-7, -1);
      ctx.lineTo(0, -7);
      ctx.lineTo(7, -1);
      ctx.moveTo(-5.5, -2);
      ctx.lineTo(-5.5, 7);
      ctx.lineTo(5.5, 7);
      ctx.lineTo(5.5, -2);
      break;
    case "tps":
      ctx.moveTo(-6.5, -4);
      ctx.lineTo(-4.5, 6);
      ctx.lineTo(4.5, 6);
      ctx.lineTo(6.5, -4);
      ctx.closePath();
      ctx.moveTo(-2, -1);
      ctx.lineTo(-1.4, 3);
      ctx.moveTo(2, -1);
      ctx.lineTo(1.4, 3);
      break;
    case "tomb":
      ctx.moveTo(-5, 7);
      ctx.lineTo(-5, -2);
      ctx.arc(0, -2, 5, Math.PI, 0);
      ctx.lineTo(5, 7);
      ctx.closePath();
      break;
  }
}
