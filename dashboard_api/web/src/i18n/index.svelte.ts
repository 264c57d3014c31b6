// The language of the page. Indonesian unless the link or an earlier visit says English.

import { en } from "./en";
import { type Dictionary, id } from "./id";

export type Lang = "id" | "en";
const KEY = "resik.lang";

function initial(): Lang {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked === "en" || asked === "id") return asked;
  try {
    return localStorage.getItem(KEY) === "en" ? "en" : "id";
  } catch {
    return "id"; // storage can be forbidden
  }
}

class Language {
  lang = $state<Lang>(initial());
  readonly t: Dictionary = $derived(this.lang === "en" ? en : id);

  set(lang: Lang): void {
    this.lang = lang;
    document.documentElement.lang = lang;
    try {
      localStorage.setItem(KEY, lang);
    } catch {
      // the choice then lasts for this page only
    }
  }

  toggle(): void {
    this.set(this.lang === "id" ? "en" : "id");
  }

  /** The name of a thing in the current language, or its id when the plan has no name. */
  name(named: { name_id?: string; name_en?: string } | null | undefined, fallback: string): string {
    const own = this.lang === "en" ? named?.name_en : named?.name_id;
    return own || named?.name_id || named?.name_en || fallback;
  }
}

export const language = new Language();
document.documentElement.lang = language.lang;
