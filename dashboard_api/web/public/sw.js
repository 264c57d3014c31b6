// Keeps the crew page openable without signal. Only the page and its hashed assets are kept; the API never is:
// tasks come from the page's own store, which says how old they are.

const CACHE = "resik-petugas-1";
/** The page is the same for every crew, so it is kept once, without the secret of the link. */
const PAGE = "/petugas/";
const ASSET = /\/assets\/[\w.-]+/g;

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keepOpenPage());
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (url.pathname.startsWith("/assets/") || url.pathname === "/resik.svg") event.respondWith(kept(event.request));
  else if (url.pathname.startsWith(PAGE)) event.respondWith(fresh(event));
});

/** Assets carry a hash of their content in the name: the first copy is good for ever. */
async function kept(request) {
  const cache = await caches.open(CACHE);
  const found = await cache.match(request);
  if (found) return found;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}

async function fresh(event) {
  try {
    const answer = await fetch(event.request);
    if (answer.ok) event.waitUntil(keep(answer.clone()));
    return answer;
  } catch (error) {
    const found = await (await caches.open(CACHE)).match(PAGE);
    if (found) return found;
    throw error;
  }
}

/** On the very first visit the page was loaded before this worker existed: fetch it once more, for the next time. */
async function keepOpenPage() {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = windows.map((client) => new URL(client.url)).find((url) => url.pathname.startsWith(PAGE));
  if (!open) return;
  const answer = await fetch(open.pathname);
  if (answer.ok) await keep(answer);
}

/** Keeps a page with every asset that it and its style sheets name, and drops those of earlier versions. */
async function keep(page) {
  const cache = await caches.open(CACHE);
  const wanted = new Set(["/resik.svg"]);
  const html = await page.clone().text();
  for (const path of html.match(ASSET) ?? []) wanted.add(path);
  for (const path of [...wanted].filter((path) => path.endsWith(".css"))) {
    const css = await (await kept(new Request(path))).clone().text();
    for (const font of css.match(ASSET) ?? []) wanted.add(font);
  }
  await Promise.all([...wanted].map((path) => kept(new Request(path))));
  await cache.put(PAGE, page);
  for (const request of await cache.keys()) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/assets/") && !wanted.has(pathname)) await cache.delete(request);
  }
}
