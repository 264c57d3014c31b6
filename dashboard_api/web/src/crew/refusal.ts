// Why something that was said did not count, in words.

import type { Dictionary } from "../i18n/id";
import type { Refusal } from "./queue";

export function refusalText({ reason, state, messageId, messageEn }: Refusal, t: Dictionary): string {
  const said = t.lang === "en" ? messageEn : messageId;
  if (reason === "gone") return t.petugas.gone;
  if (reason === "refused") return `${t.petugas.refused} ${said}`.trim();
  const word = state === null ? undefined : t.petugas.conflictState[state];
  return word === undefined ? said || t.petugas.conflictOther : t.petugas.conflict(word);
}
