// Numbers as people write them here: decimal comma in Indonesian.

export function decimal(value: number, digits: number, lang: string): string {
  const text = value.toFixed(digits);
  return lang === "en" ? text : text.replace(".", ",");
}

export const whole = (value: number): string => String(Math.round(value));

/** "30", "1.5" for a speed factor, without a trailing ".0". */
export const factor = (value: number, lang: string): string => decimal(value, Number.isInteger(value) ? 0 : 1, lang);
