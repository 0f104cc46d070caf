// Where it burns in the whole district: every site by what it needs, the burning building lit, and the same as a list.
// Leaflet draws; alarms come by the board's own stream, so nothing here is fresher or staler than the board.
import { $, LIFE_SAFETY, OPEN, RANK, ageOf, announce, begin, button, drillBanner, follow, make, name, pathOf, patch, place, say, tag } from "./live.js";

/* global L */
const NEAR = 15, CLOSE = 16.5, BOOKS_MAX = 60, LISTED = 6, METRES = 111320;
const state = { sites: [], incidents: new Map(), gateways: [], impairments: [], books: new Map(), marks: new Map(), drawTimer: 0 };
let map, estates;

// --- the ground -------------------------------------------------------------------------------------------------

function ground(view) {
  map = L.map("map", { zoomControl: false, maxZoom: 20, minZoom: 3, attributionControl: Boolean(view.tiles), zoomSnap: .5, fadeAnimation: false, zoomAnimation: false, markerZoomAnimation: false });
  map.attributionControl?.setPrefix(false);
  for (const [pane, order] of [["base", 250], ["names", 260], ["estates", 350]]) map.createPane(pane).style.zIndex = order;
  for (const feature of view.base) drawBase(feature);
  estates = L.layerGroup().addTo(map);
  const tools = L.control({ position: "topright" });
  tools.onAdd = () => {
    const box = make("div", "map-tools", "", button("+", () => map.zoomIn()), button("−", () => map.zoomOut()), button(say("map.whole"), whole));
    box.children[0].setAttribute("aria-label", say("map.zoom_in")); box.children[1].setAttribute("aria-label", say("map.zoom_out"));
    L.DomEvent.disableClickPropagation(box); return box;
  };
  tools.addTo(map); L.control.scale({ imperial: false }).addTo(map);
  if (view.tiles) pictures(view.tiles);
  map.on("moveend", near);
  whole();
}
function pictures(tiles) {
  const layer = L.tileLayer(tiles.url, { maxNativeZoom: tiles.zoom_max, maxZoom: 20, referrerPolicy: "no-referrer" });
  const credit = make("span"); credit.textContent = tiles.attribution; // text of the operator's file, never markup
  map.attributionControl.addAttribution(credit.innerHTML);
  layer.on("tileerror", () => { $("ground-said").textContent = say("map.no_tiles"); });
  layer.on("tileload", () => { $("ground-said").textContent = ""; });
  layer.addTo(map);
}
function drawBase(feature) {
  const how = { pane: "base", interactive: false, className: `base ${feature.shape} ${feature.kind}` };
  if (feature.shape === "line") for (const part of feature.parts) L.polyline(part, how).addTo(map);
  else if (feature.shape === "area") L.polygon(feature.parts, how).addTo(map);
  const text = name(feature.name), at = middle(feature.shape, feature.parts[0]);
  if (text) L.marker(at, { pane: "names", interactive: false, keyboard: false, icon: L.divIcon({ className: `base-name ${feature.kind}`, html: make("span", "", text), iconSize: null }) }).addTo(map);
}
function middle(shape, part) {
  const half = Math.floor(part.length / 2), [a, b] = shape === "line" ? [part[half - 1], part[half]] : [part[0], part[0]];
  if (shape !== "area") return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const ring = part.slice(0, -1);
  return [0, 1].map((k) => ring.reduce((sum, p) => sum + p[k], 0) / ring.length);
}
function whole() {
  const places = state.sites.filter((s) => s.at).map((s) => s.at);
  if (places.length > 1) map.fitBounds(places, { padding: [50, 50], maxZoom: 16 });
  else map.setView(places[0] ?? [35, 105], places.length ? 17 : 4);
}

// --- estates, seen from near ------------------------------------------------------------------------------------

async function near() {
  $("map").classList.toggle("close", map.getZoom() >= CLOSE);
  if (map.getZoom() < NEAR) { estates.clearLayers(); state.drawn = ""; return; }
  const seen = state.sites.filter((s) => s.origin && map.getBounds().pad(.2).contains(s.origin)).slice(0, BOOKS_MAX);
  await Promise.all(seen.map(book));
  drawEstates(seen);
}
async function book(site) {
  if (state.books.has(site.path)) return;
  if (state.books.size >= BOOKS_MAX) state.books.delete(state.books.keys().next().value);
  state.books.set(site.path, null);
  const answer = await fetch(`/api/places/${site.path}`, { cache: "no-store" }).catch(() => null);
  if (answer?.ok) state.books.set(site.path, await answer.json()); else state.books.delete(site.path);
}
function drawEstates(seen) {
  const burning = burningBuildings(), sign = JSON.stringify([seen.map((s) => [s.path, Boolean(state.books.get(s.path))]), [...burning].sort()]);
  if (state.drawn === sign) return;
  state.drawn = sign; estates.clearLayers();
  for (const site of seen) {
    const known = state.books.get(site.path)?.book;
    if (!known?.map) continue;
    const [lat, lon] = site.origin, k = METRES * Math.cos(lat * Math.PI / 180), to = ([east, north]) => [lat + north / METRES, lon + east / k];
    const order = ["outside", "green", "water", "square", "lane", "building"];
    for (const area of [...known.map.areas].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))) {
      const lit = area.building && burning.has(`${site.path}/${area.building}`);
      L.polygon(area.outline.map(to), { pane: "estates", interactive: false, className: `area ${area.kind}${lit ? " lit" : ""}` }).addTo(estates);
    }
    for (const h of known.hydrants) spot(to(h.at), "hydrant", "H", name(h.name));
    for (const a of known.access) spot(to(a.at), "way", "↑", `${say("map.way_in")}: ${name(a.name)}`);
  }
}
function spot(at, kind, letter, words) {
  const icon = L.divIcon({ className: `spot ${kind}`, html: make("span", "", letter), iconSize: [20, 20] });
  L.marker(at, { icon, keyboard: false, title: words, alt: words }).addTo(estates);
}
function burningBuildings() {
  const found = new Set();
  for (const i of state.incidents.values()) {
    const path = pathOf(i.tenancy), building = state.sites.find((s) => s.path === path)?.zones?.[i.zone];
    if (OPEN(i) && !i.drill && LIFE_SAFETY.has(i.hazard) && building) found.add(`${path}/${building}`);
  }
  return found;
}

// --- the sites --------------------------------------------------------------------------------------------------

function needs(site) {
  const open = [...state.incidents.values()].filter((i) => OPEN(i) && pathOf(i.tenancy) === site.path)
    .sort((a, b) => (b.drill ? 0 : 10) - (a.drill ? 0 : 10) + RANK[b.severity] - RANK[a.severity] || a.opened_us - b.opened_us);
  const real = open.filter((i) => !i.drill);
  return { site, open, worst: real.length ? real[0].severity : "", drill: open.length > real.length,
    silent: state.gateways.some((g) => pathOf(g.tenancy) === site.path && g.silent),
    lacks: state.impairments.filter((v) => pathOf(v.tenancy) === site.path).length };
}
const look = (n) => n.worst || (n.silent || n.lacks ? "impaired" : "quiet-site");
const words = (n) => [name(n.site.name), n.open.length ? say("map.open", { n: n.open.length }) : "", n.open.length ? place(n.open[0]) : "",
  n.worst ? say(`severity.${n.worst}`) : "", n.silent ? say("map.lost") : "", n.lacks ? say("map.impairments", { n: n.lacks }) : ""].filter(Boolean).join(" · ");

function draw() {
  clearTimeout(state.drawTimer); state.drawTimer = 0;
  if (!map) return;
  const all = state.sites.map(needs).sort((a, b) => (RANK[b.worst] ?? -1) - (RANK[a.worst] ?? -1) || Number(b.silent) - Number(a.silent) || b.lacks - a.lacks || name(a.site.name).localeCompare(name(b.site.name)));
  for (const n of all) mark(n);
  const open = all.reduce((sum, n) => sum + n.open.length, 0);
  $("count").textContent = `(${state.sites.length})`;
  document.title = `${open ? `(${open}) ` : ""}${say("map.title")} · ${say("app")}`;
  const items = all.map((n) => ({ key: n.site.path, sign: JSON.stringify([n.open.map((i) => [i.id, i.state, i.severity, i.acknowledged_by]), n.silent, n.lacks]), make: () => row(n) }));
  patch($("sites"), items.length ? items : [{ key: "", sign: "none", make: () => make("li", "empty", say("incidents.none")) }]);
  drillBanner([...state.incidents.values()]);
  if (map.getZoom() >= NEAR) near();
}
function mark(n) {
  if (!n.site.at) return;
  const sign = `${look(n)}|${n.open.length}|${words(n)}`, known = state.marks.get(n.site.path);
  if (known?.sign === sign) return;
  const face = make("span", "face", n.open.length ? String(n.open.length) : "");
  const icon = L.divIcon({ className: `site ${look(n)}${n.drill ? " drill" : ""}`, html: make("span", "", "", face, make("span", "site-name", name(n.site.name))), iconSize: [34, 34] });
  const one = known?.one ?? L.marker(n.site.at, { icon, riseOnHover: true }).addTo(map);
  if (known) one.setIcon(icon);
  one.setZIndexOffset(1000 * ((RANK[n.worst] ?? -1) + 1));
  const node = one.getElement(); node.setAttribute("aria-label", words(n)); node.title = words(n);
  one.off("click keypress").on("click", () => find(n.site.path)).on("keypress", (e) => { if (e.originalEvent.key === "Enter") find(n.site.path); });
  state.marks.set(n.site.path, { one, sign });
}
function find(path) {
  const line = document.querySelector(`[data-site="${CSS.escape(path)}"]`);
  line?.scrollIntoView({ block: "nearest" }); line?.querySelector("a, button")?.focus({ preventScroll: true });
}
function row(n) {
  const head = make("p", "site-line", "", make("b", "", name(n.site.name)), n.worst ? tag(say(`severity.${n.worst}`), n.worst) : "", n.silent ? tag(say("map.lost"), "critical") : "", n.lacks ? tag(say("map.impairments", { n: n.lacks })) : "");
  const list = make("ul", "plain");
  for (const i of n.open.slice(0, LISTED)) {
    const link = make("a", "", `${i.drill ? `${say("drill")}: ` : ""}${say(`hazard.${i.hazard}`)} — ${[name(i.building), name(i.floor), name(i.zone_name)].filter(Boolean).join(" · ")}`);
    link.href = `/incidents/${encodeURIComponent(i.id)}`;
    list.append(make("li", "", "", link, " ", ageOf(i.opened_us)));
  }
  if (n.open.length > LISTED) list.append(make("li", "", say("map.more", { n: n.open.length - LISTED })));
  const there = n.site.at ? button(say("map.show"), () => { map.setView(n.site.at, 17); }) : make("span", "quiet", say("map.nowhere"));
  if (n.site.at) there.setAttribute("aria-label", `${say("map.show")}: ${name(n.site.name)}`);
  const line = make("li", `record ${n.worst}`, "", head, make("span", "quiet", name(n.site.address)), list, make("p", "buttons", "", there));
  line.dataset.site = n.site.path;
  return line;
}
function soon() { if (!state.drawTimer) state.drawTimer = setTimeout(draw, 250); } // a flood of changes four times a second

async function fetchMap() {
  for (;;) {
    const answer = await fetch("/api/map", { cache: "no-store", signal: AbortSignal.timeout(15000) }).catch(() => null);
    if (answer?.status === 401) { location.href = "/sign-in"; return null; }
    if (answer?.ok) return answer.json();
    $("ground-said").textContent = say("map.no_answer");
    await new Promise((again) => setTimeout(again, 3000));
  }
}

await begin();
const view = await fetchMap();
$("ground-said").textContent = "";
state.sites = view.sites;
if (view.left_out) { $("left-out").hidden = false; $("left-out").textContent = say("map.left_out", { n: view.left_out }); }
ground(view);
await follow({
  board(board) { state.incidents = new Map(board.incidents.map((i) => [i.id, i])); state.gateways = board.gateways ?? []; state.impairments = board.impairments ?? []; draw(); },
  incident(card) {
    if (!state.incidents.has(card.id) && OPEN(card)) announce(`${card.drill ? `${say("drill")}: ` : ""}${say(`hazard.${card.hazard}`)}: ${place(card)}`);
    if (OPEN(card)) state.incidents.set(card.id, card); else state.incidents.delete(card.id);
    soon();
  },
  list(kind, list) { if (kind in state) { state[kind] = list; soon(); } },
});
