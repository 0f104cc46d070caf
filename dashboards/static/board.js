// The brigade's board: a queue by severity and age, one incident beside it, what does not protect. Made for 5,000 open
// incidents: cards only, drawn at most four times a second, so many at once and no more.
import { $, LIFE_SAFETY, OPEN, RANK, ageOf, announce, ask, begin, button, deviceTest, drillBanner, follow, language, make, name, newId, patch, pathOf, place, post, say, siteDeed, store, stored, tag, texts, urgent } from "./live.js";
import { attendTick, setUpAttention } from "./attention.js";
import { keepAwake } from "./awake.js";
import { alarmSound } from "./sound.js";
import { IncidentPanel, places } from "./incident.js";
import { dutiesOpen, impairedCount, rowsOf } from "./side.js";

const LISTS = ["impairments", "gateways", "gaps", "proofs", "duties"];
const DRAWN_AT_ONCE = 100, DRAW_EVERY_MS = 250;
const wall = new URLSearchParams(location.search).has("wall");
const state = { incidents: new Map(), lists: {}, chosen: "", shown: DRAWN_AT_ONCE, drawTimer: 0, drawnAt: 0, last: "" };
const panel = new IncidentPanel($("detail"), { others: () => [...state.incidents.values()] });
const filter = { severity: "", hazard: "", find: "" };

function take(board) {
  state.incidents = new Map(board.incidents.map((i) => [i.id, i]));
  for (const kind of LISTS) state.lists[kind] = board[kind] ?? [];
  drawSide(); drawIncidents();
  if (state.chosen) panel.changed(state.chosen);
}

function incident(view) {
  const before = state.incidents.get(view.id);
  if (OPEN(view) || view.id === state.chosen) state.incidents.set(view.id, view); else state.incidents.delete(view.id);
  if (!before && OPEN(view)) announce(`${view.drill ? `${say(deviceTest(view) ? "test" : "drill")}: ` : ""}${say(`hazard.${view.hazard}`)}: ${place(view)}`);
  panel.changed(view.id);
  // A new one is drawn at once; a flood of changes four times a second.
  if (!before || performance.now() - state.drawnAt > DRAW_EVERY_MS) drawIncidents();
  else if (!state.drawTimer) state.drawTimer = setTimeout(drawIncidents, DRAW_EVERY_MS);
}

// --- the queue ------------------------------------------------------------------------------------------------

const weight = (i) => (i.drill ? 0 : 1000) + (i.in_dispatch_queue ? 100 : 0) + RANK[i.severity] * 10 + (urgent(i) ? 5 : 0);
const passes = (i) => urgent(i) || ((!filter.severity || RANK[i.severity] >= RANK[filter.severity]) && (!filter.hazard || i.hazard === filter.hazard)
  && (!filter.find || `${place(i)} ${i.id}`.toLowerCase().includes(filter.find)));

function drawIncidents() {
  clearTimeout(state.drawTimer); state.drawTimer = 0; state.drawnAt = performance.now();
  const open = [...state.incidents.values()].filter(OPEN), shown = open.filter(passes);
  shown.sort((a, b) => weight(b) - weight(a) || a.opened_us - b.opened_us);
  $("count").textContent = open.length ? `(${open.length})` : "";
  document.title = `${open.length ? `(${open.length}) ` : ""}${say("board.title")} · ${say("app")}`;
  const limit = wall ? 24 : state.shown, rest = shown.length - limit;
  const items = shown.slice(0, limit).map((i) => ({ key: i.id, sign: `${JSON.stringify(i)}${i.id === state.chosen}`, make: () => card(i) }));
  if (!shown.length) items.push({ key: "", sign: "none", make: () => make("li", "empty", say("incidents.none")) });
  if (rest > 0) items.push({ key: "more", sign: `${rest}`, make: () => (wall ? make("li", "empty", say("handover.more", { n: rest }))
    : make("li", "", "", button(say("more", { n: Math.min(rest, DRAWN_AT_ONCE) }), () => { state.shown += DRAWN_AT_ONCE; drawIncidents(); }))) });
  patch($("incidents"), items);
  const hidden = open.length - shown.length;
  $("filter-said").textContent = hidden ? `${say("filter.hidden", { n: hidden })} ${say("filter.kept")}` : "";
  drillBanner(open);
  alarmSound(open.some(urgent));
}

function card(i) {
  const one = make("button", `card ${i.severity}${i.acknowledged_by ? "" : " open-new"}${i.drill ? " drill" : ""}`); one.type = "button"; one.dataset.incident = i.id;
  one.setAttribute("aria-current", String(i.id === state.chosen));
  const verified = i.verification && i.verification !== "none", alarms = i.alarms ?? [];
  const line = make("span", "line", "", ...(i.drill && !deviceTest(i) ? [tag(say("drill"), "drill")] : []), tag(say(`severity.${i.severity}`), i.severity), tag(say(`hazard.${i.hazard}`)), tag(say(verified ? "verified" : "unverified"), verified ? "good" : ""));
  if (i.in_dispatch_queue) line.append(tag(say("queue"), "queue"));
  if (alarms.some((a) => a.test)) line.append(tag(say("test"), "drill"));
  line.append(ageOf(i.opened_us));
  const places_ = [...new Set(alarms.map((a) => name(a.place)))].filter(Boolean);
  const moved = (i.handling?.units ?? []).at(-1);
  one.append(line, make("span", "place", place(i)), make("span", "more", [say(`state.${i.state}`), places_.slice(0, 4).join(", ") + (places_.length > 4 ? " …" : ""),
    i.acknowledged_by ? say("acknowledged.by", { who: i.acknowledged_by }) : "", moved ? `${moved.unit}: ${say(`unit.${moved.move}`)}` : ""].filter(Boolean).join(" · ")));
  if (wall) { one.onclick = () => { location.href = `/incidents/${encodeURIComponent(i.id)}`; }; } else one.onclick = () => choose(i.id);
  return make("li", "", "", one);
}

function choose(id) {
  state.chosen = id;
  for (const node of document.querySelectorAll("[data-incident]")) node.setAttribute("aria-current", String(node.dataset.incident === id));
  panel.show(id);
  if (matchMedia("(max-width: 46rem)").matches) $("detail").scrollIntoView({ block: "start" });
}

// --- the side -------------------------------------------------------------------------------------------------

function drawSide() {
  const focused = document.activeElement?.dataset?.duty;
  for (const kind of LISTS) $(kind).replaceChildren(...rowsOf(kind, state.lists[kind] ?? [], { say, name, t: texts, answerDuty }));
  if (focused) document.querySelector(`[data-duty="${CSS.escape(focused)}"]`)?.focus();
  const waiting = dutiesOpen(state.lists.duties ?? []), impaired = state.lists.impairments ?? [];
  $("duty-count").textContent = waiting ? `(${waiting})` : "";
  $("impairment-count").textContent = impaired.length ? `(${impairedCount(impaired)})` : "";
}

function listed(kind, list) {
  if (kind === "duties" && dutiesOpen(list) > dutiesOpen(state.lists.duties ?? [])) announce(say("duty.came"));
  state.lists[kind] = list;
  drawSide();
}

async function answerDuty(view) {
  const { text, done } = await post(`/api/duties/${encodeURIComponent(view.check.id)}/answer`, {}, `duty/${view.check.id}`);
  announce(text);
  const known = state.lists.duties.find((d) => d.check.id === view.check.id);
  if (known && !done) { known.refused = text.replace(/^.*?[:：] ?/, ""); drawSide(); }
}

// --- tools ----------------------------------------------------------------------------------------------------

async function startDrill() {
  const sites = [...new Map((state.lists.gateways ?? []).map((g) => [pathOf(g.tenancy), g])).values()];
  const books = (await Promise.all(sites.map((g) => places(g.tenancy).catch(() => null)))).filter(Boolean);
  const zones = books.flatMap((b) => b.zones.map((z) => [`${pathOf(b.tenancy)}|${z.id}`, [name(b.name), name(z.building_name), name(z.name)].filter(Boolean).join(" · ")]));
  const given = await ask(say("drill.start"), [{ name: "zone", label: say("drill.zone"), kind: "select", options: zones },
    { name: "hazard", label: say("filter.hazard"), kind: "select", options: [...LIFE_SAFETY].map((h) => [h, say(`hazard.${h}`)]) },
    { name: "text", label: say("drill.what"), kind: "textarea" },
    { name: "minutes", label: say("drill.minutes"), kind: "number", value: 60 }]);
  if (!given) return;
  const [path, zone] = given.zone.split("|");
  const { text } = await siteDeed(path, "reports", { deed: { type: "start_drill", hazard: given.hazard, zone, text: given.text, for_s: Math.round(60 * Number(given.minutes)) }, nonce: newId() });
  $("filter-said").textContent = text; announce(text);
}

function setUpTools() {
  $("drill-start").onclick = startDrill;
  for (const key of ["severity", "hazard", "find"]) {
    const input = $(`filter-${key}`); input.value = filter[key] = stored(`tocsin.filter.${key}`) ?? "";
    input.oninput = () => { filter[key] = input.value.trim().toLowerCase(); store(`tocsin.filter.${key}`, filter[key]); state.shown = DRAWN_AT_ONCE; drawIncidents(); };
  }
  if (wall) { document.body.classList.add("wall"); document.documentElement.dataset.theme = "wall"; keepAwake(true); }
  document.documentElement.lang ||= language;
}

await begin();
setUpTools();
setUpAttention();
await follow({ board: take, incident, fresh: (id) => panel.changed(id), list: listed, tick: attendTick });
