// My building: alarms in plain words, what to do, whom to call, and a report with a picture. It says itself when it is old.
import { $, announce, begin, language, make, name, newId, say, store, stored, tag } from "./live.js";

const EVERY_MS = 2500, WITHIN_MS = 2400;
const state = { path: "", page: null, heard: 0, stale: false, told: "", request: "", photo: null };
const URGENT = new Set(["fire", "call_point", "gas_high", "co"]);
const advice = (hazard) => ({ call_point: "fire", gas_high: "gas", co: "co", gas: "gas", water: "water" })[hazard] ?? "fire";
const timeOf = (ms) => new Date(ms).toLocaleTimeString(document.documentElement.lang, { hour12: false });

async function fetched(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(WITHIN_MS) });
  if (answer.status === 401) { location.href = "/sign-in"; throw new Error("signed out"); }
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

async function start() {
  await begin();
  for (;;) {
    try { choose(await fetched("/api/building")); break; } catch (error) { console.warn(error); link(false); await new Promise((go) => setTimeout(go, EVERY_MS)); }
  }
  await load();
  setInterval(load, EVERY_MS);
}

function choose(sites) {
  const select = $("site"), saved = stored("tocsin.building");
  if (!sites.length) { $("alarms").replaceChildren(make("p", "empty", say("building.no_site"))); $("report").hidden = true; return; }
  for (const site of sites) { const option = make("option", "", name(site.name)); option.value = site.path; select.append(option); }
  select.value = sites.some((s) => s.path === saved) ? saved : sites[0].path;
  $("choose").hidden = sites.length < 2;
  state.path = select.value;
  select.onchange = () => { state.path = select.value; state.page = null; store("tocsin.building", state.path); load(); };
}

async function load() {
  if (!state.path) return;
  const path = state.path;
  try {
    const page = await fetched(`/api/building/${path}`);
    if (path !== state.path) return;
    const changed = JSON.stringify({ ...page, at_us: 0 }) !== JSON.stringify(state.page ? { ...state.page, at_us: 0 } : null);
    state.page = page; state.heard = Date.now(); link(true);
    if (changed) draw();
  } catch (error) { console.warn(error); link(false); }
}

function link(live) {
  const node = $("link"), banner = $("banner");
  document.body.classList.toggle("stale-page", !live);
  node.className = `link ${live ? "live" : "stale"}`;
  node.textContent = live ? say("building.updated", { time: timeOf(state.heard) }) : say("link.stale");
  banner.hidden = live;
  if (!live) { const words = say("building.stale", { time: state.heard ? timeOf(state.heard) : "—" }); if (banner.textContent !== words) banner.textContent = words; }
  if (live && state.stale) announce(say("building.updated", { time: timeOf(state.heard) }));
  state.stale = !live;
}

function draw() {
  const p = state.page;
  $("where").textContent = [name(p.name), name(p.address)].filter(Boolean).join(" · ");
  const alarms = [...p.alarms].sort((a, b) => (a.drill ?? false) - (b.drill ?? false) || URGENT.has(b.hazard) - URGENT.has(a.hazard) || b.since_us - a.since_us);
  const calm = make("div", "calm", "", make("b", "", say("building.none")), make("span", "", p.impaired ? say("building.impaired", { n: p.impaired }) : say("building.all_well")));
  $("alarms").replaceChildren(...(alarms.length ? alarms.map(near) : [calm]));
  const first = $("contacts").firstElementChild;
  $("contacts").replaceChildren(first, ...p.contacts.map((c) => { const a = make("a", "call", "", make("b", "", c.phone), make("span", "", say(`role.${c.role}`))); a.href = `tel:${c.phone.replaceAll(" ", "")}`; return make("li", "", "", a); }));
  const zone = $("zone"), kept = zone.value;
  zone.replaceChildren(...p.places.map((place) => { const option = make("option", "", [name(place.building), name(place.floor), name(place.name)].filter(Boolean).join(" · ")); option.value = place.zone; return option; }));
  if ([...zone.options].some((o) => o.value === kept)) zone.value = kept;
}

function near(a) {
  const place = [name(a.building), name(a.floor)].filter(Boolean).join(language === "zh" ? "" : ", ");
  const box = make("article", `near${a.drill ? " drill" : URGENT.has(a.hazard) ? "" : " lesser"}`, "", make("h2", "", `${say(`hazard.${a.hazard}`)} · ${place}`));
  if (a.drill) box.prepend(tag(say("building.drill"), "drill"));
  const parts = [say(a.drill ? "building.drill.what" : !URGENT.has(a.hazard) && a.stage === "new" ? "building.stage.told" : `building.stage.${a.stage}`)];
  if (URGENT.has(a.hazard) && !a.drill) parts.unshift(a.verified ? say("building.verified") : say("building.unverified"));
  box.append(make("p", "", parts.join(" ")), make("p", "quiet", say("estate.since", { time: timeOf(a.since_us / 1000) })));
  if (!a.drill) box.append(make("p", "do", "", make("b", "", `${say("building.do")}: `), say(`building.do.${advice(a.hazard)}`)));
  return box;
}

// A picture is made smaller here: a phone's own is too large for a bad line.
async function smaller(file) {
  const bitmap = await createImageBitmap(file), scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas"); canvas.width = Math.round(bitmap.width * scale); canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/jpeg", 0.8));
}

$("report").onsubmit = async (event) => {
  event.preventDefault();
  const out = $("outcome"), who = $("you")?.value.trim() ?? "", send = $("report").querySelector("button");
  const tell = (text, ok) => { out.textContent = text; out.className = `outcome ${ok ? "ok" : "bad"}`; announce(text); };
  if ($("you") && !who) { tell(say("you.needed"), false); $("you").focus(); return; }
  state.request ||= newId();
  send.disabled = true; tell(say("building.report.sending"), true);
  try {
    const answer = await fetch(`/api/building/${state.path}/reports`, { method: "POST", headers: { "Content-Type": "application/json", "X-Tocsin": "board" }, signal: AbortSignal.timeout(15000),
      body: JSON.stringify({ hazard: $("hazard").value, zone: $("zone").value, text: $("text").value, phone: $("phone").value, request: state.request, who }) });
    const result = await answer.json();
    if (!result.done) { state.request = ""; tell(say("building.report.failed", { why: result.refusal ?? "" }), false); return; }
    let words = say("building.report.done"), well = true;
    const file = $("photo").files[0];
    if (file && result.token) try {
      const put = await fetch(`/api/building/reports/${result.token}/photos?who=${encodeURIComponent(who)}`, { method: "POST", headers: { "Content-Type": "image/jpeg", "X-Tocsin": "board" }, body: await smaller(file), signal: AbortSignal.timeout(30000) });
      const kept = await put.json();
      if (!kept.done) { words = say("building.report.photo_failed", { why: kept.refusal ?? "" }); well = false; }
    } catch (error) { words = say("building.report.photo_failed", { why: String(error.message ?? error) }); well = false; }
    state.request = ""; $("report").reset(); tell(words, well); load();
  } catch (error) { console.warn(error); tell(say("building.report.unknown"), false); } finally { send.disabled = false; }
};

await start();
