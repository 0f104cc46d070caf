// Keeps the station's page, its scripts and texts for when there is no net. Never data, never alarms: those are either
// live or marked as kept by the page itself.
const KEPT = "tocsin-station-1";
const OURS = (url) => url.origin === location.origin && (url.pathname === "/station" || url.pathname.startsWith("/static/")
  || url.pathname.startsWith("/texts/") || url.pathname.startsWith("/phrases/"));

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith("tocsin-station-") && name !== KEPT) await caches.delete(name);
  await self.clients.claim();
})()));
self.addEventListener("message", (event) => {
  if (event.data?.keep) event.waitUntil(caches.open(KEPT).then((cache) => Promise.allSettled(event.data.keep.map((url) => cache.add(url)))));
});
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !OURS(url)) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT);
    try {
      const answer = await fetch(event.request);
      if (answer.ok && !answer.redirected) await cache.put(event.request, answer.clone());
      return answer;
    } catch (error) {
      const kept = await cache.match(event.request);
      if (kept) return kept;
      throw error;
    }
  })());
});
