import { mount } from "svelte";
import CrewPage from "./CrewPage.svelte";

const target = document.getElementById("app");
const token = decodeURIComponent(/^\/petugas\/([^/]+)\/?$/.exec(location.pathname)?.[1] ?? "");
if (target) {
  target.replaceChildren();
  mount(CrewPage, { target, props: { token } });
}

// The page opens without signal too. Service workers need a secure origin; elsewhere the queue alone bridges a dead zone.
if ("serviceWorker" in navigator && isSecureContext) {
  navigator.serviceWorker.register("/sw.js", { scope: "/petugas/" }).catch(() => undefined);
}
