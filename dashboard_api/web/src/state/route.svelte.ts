// What is shown, kept in the query string: every view is a link that can be shared.

import { language } from "../i18n/index.svelte";

export type View = "map" | "list";

class Route {
  asset = $state<string | null>(null);
  view = $state<View>("map");

  constructor() {
    this.#read();
    addEventListener("popstate", () => this.#read());
  }

  #read(): void {
    const query = new URLSearchParams(location.search);
    this.asset = query.get("asset");
    this.view = query.get("view") === "list" ? "list" : "map";
    const lang = query.get("lang");
    if (lang === "en" || lang === "id") language.set(lang);
  }

  /** A new selection or view is a step that the back button undoes; anything else replaces. */
  #write(isStep: boolean): void {
    const query = new URLSearchParams();
    if (this.view === "list") query.set("view", "list");
    if (this.asset) query.set("asset", this.asset);
    if (language.lang === "en") query.set("lang", "en");
    const text = query.toString();
    const url = location.pathname + (text ? `?${text}` : "");
    if (isStep) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  select(asset: string | null): void {
    if (asset === this.asset) return;
    this.asset = asset;
    this.#write(true);
  }

  show(view: View): void {
    if (view === this.view) return;
    this.view = view;
    this.#write(true);
  }

  switchLanguage(): void {
    language.toggle();
    this.#write(false);
  }
}

export const route = new Route();
