// Keeps the crew page openable without signal. Only the page and its hashed assets are kept; the API never is:
// tasks come from the page's own store, which says how old they are.

const CACHE = "resik-petugas-1";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (url.pathname.startsWith("/assets/") || url.pathname === "/resik.svg") event.respondWith(kept(event.request));
  else if (url.pathname.startsWith("/petugas/")) event.respondWith(fresh(event.request));
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

/** The page is the same for every crew, so it is kept once, without the secret of the link. */
async function fresh(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put("/petugas/", answer.clone());
    return answer;
  } catch (error) {
    const found = await cache.match("/petugas/");
    if (found) return found;
    throw error;
  }
}
