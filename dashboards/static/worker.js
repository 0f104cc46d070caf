// What the browser keeps so that the pages can be installed: the one page that says there is no contact, and its looks.
// Nothing with data is ever kept: an alarm from a cache would look live. Programs' calls and streams pass untouched.
const KEPT = "tocsin-frame-2";
const FRAME = ["/offline", "/static/tokens.css", "/static/board.css", "/static/account.css", "/static/bell.svg", "/static/offline.js"];

self.addEventListener("install", (event) => event.waitUntil((async () => {
  const cache = await caches.open(KEPT);
  await Promise.all(FRAME.map((path) => cache.add(new Request(path, { cache: "reload" }))));
  await self.skipWaiting();
})()));

self.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith("tocsin-frame-") && name !== KEPT) await caches.delete(name);
  await self.clients.claim();
})()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate") {
    event.respondWith(fetch(event.request).catch(async () => (await caches.match("/offline")) ?? Response.error()));
  } else if (FRAME.includes(url.pathname) && url.pathname.startsWith("/static/")) {
    event.respondWith(fetch(event.request).catch(async () => (await caches.match(url.pathname)) ?? Response.error()));
  }
});
