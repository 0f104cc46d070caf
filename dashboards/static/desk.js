// The monitoring centre's desk: one queue of work, the most urgent first, driven by the keyboard.
import { $, LIFE_SAFETY, OPEN, RANK, act, ageOf, announce, ask, begin, drillBanner, follow, get, make, name, nameMissing, patch, pathOf, place, post, say, tag, texts, urgent } from "./live.js";
import { attendTick, setUpAttention } from "./attention.js";
import { duration, shownUs } from "./shown_time.js";
import { IncidentPanel, places } from "./incident.js";
import { alarmSound } from "./sound.js";

const ROWS_MAX = 120, FAILED_EVERY_MS = 10000;
// Which kind of work goes first; within a kind, by severity, then the oldest.
const WEIGHT = { dispatch: 6, answer: 5, duty: 4, verify: 3, selfcheck: 3, call: 2, task: 1, notice: 0 };
const due = (w) => (w.kind === "answer" ? w.since : w.until ?? w.since);
const state = { incidents: new Map(), duties: [], failed: [], drawTimer: 0, loaded: false, opened: "" };
const panel = new IncidentPanel($("detail"), { others: () => [...state.incidents.values()] });

// Until when somebody may still answer before it stands in the dispatch queue (law 1); known once its site is.
const limits = new Map(), SITES_MAX = 200;
function clock(i) {
  const path = pathOf(i.tenancy);
  if (!limits.has(path) && limits.size < SITES_MAX) {
    limits.set(path, 0);
    places(i.tenancy).then((book) => { limits.set(path, book?.unanswered_limit_s ?? 0); later(); }, () => limits.delete(path));
  }
  return limits.get(path) ? { until: i.opened_us + limits.get(path) * 1e6, left: "desk.limit" } : {};
}

function work() {
  const found = [], add = (kind, i, more = {}) => found.push({ kind, incident: i, key: `${kind}-${i?.id ?? more.id}`, since: i?.opened_us ?? 0, rank: i ? RANK[i.severity] : 2, ...more });
  for (const i of state.incidents.values()) {
    if (!OPEN(i) || i.drill) continue;
    const h = i.handling, verified = i.verification && i.verification !== "none", waiting = ["new", "reopened"].includes(i.state);
    if (i.in_dispatch_queue) add("dispatch", i);
    if (urgent(i)) add("answer", i, i.in_dispatch_queue ? {} : clock(i));
    else if (LIFE_SAFETY.has(i.hazard) && !verified && waiting) add("verify", i);
    if (h?.stage === "self_check" && h.deadline_us && waiting) add("selfcheck", i, { until: h.deadline_us });
    const last = (h?.calls ?? []).at(-1);
    if (LIFE_SAFETY.has(i.hazard) && ["new", "reopened", "confirmed", "dispatched"].includes(i.state) && (!last || ["will_call_back", "no_answer"].includes(last.outcome))) {
      add("call", i, { said: last ? `${last.person}: ${say(`call.${last.outcome}`)}` : "" });
    }
    for (const t of h?.tasks ?? []) if (!t.done_us && t.due_us && t.due_us < shownUs()) add("task", i, { key: `task-${t.id}`, said: `${name(t.title)} — ${t.person}`, since: t.due_us });
  }
  for (const d of state.duties) if (!d.check.state || d.check.state === "asked") add("duty", null, { id: d.check.id, duty: d, until: d.check.due_us, since: d.check.asked_us,
    where: [name(d.site_name), name(d.device_name)].filter(Boolean).join(" · "), said: say("duty.asker", { asker: d.check.asker }) });
  for (const n of state.failed) add("notice", null, { id: n.id, notice: n, since: n.at_us, where: n.endpoint, said: n.reason ?? "" });
  return found.sort((a, b) => WEIGHT[b.kind] - WEIGHT[a.kind] || b.rank - a.rank || due(a) - due(b));
}

function draw() {
  clearTimeout(state.drawTimer); state.drawTimer = 0;
  if (!state.loaded) return;
  const rows = work(), list = $("queue"), nodes = () => [...list.querySelectorAll("[data-work]")], at = document.activeElement?.dataset?.work;
  const index = at ? nodes().findIndex((n) => n.dataset.work === at) : -1;
  $("count").textContent = rows.length ? `(${rows.length})` : "";
  document.title = `${rows.length ? `(${rows.length}) ` : ""}${say("desk.title")} · ${say("app")}`;
  const items = rows.slice(0, ROWS_MAX).map((w) => ({ key: w.key, sign: JSON.stringify([w, w.incident?.id === state.opened]), make: () => row(w) }));
  if (!rows.length) items.push({ key: "", sign: "none", make: () => make("li", "empty", say("desk.none")) });
  if (rows.length > ROWS_MAX) items.push({ key: "more", sign: `${rows.length}`, make: () => make("li", "empty", say("handover.more", { n: rows.length - ROWS_MAX })) });
  patch(list, items);
  // What was done goes from the list; whoever works by keyboard goes on with what stands there now.
  if (index >= 0 && document.activeElement === document.body) (nodes().find((n) => n.dataset.work === at) ?? nodes()[Math.min(index, nodes().length - 1)])?.focus({ preventScroll: true });
  drillBanner([...state.incidents.values()]);
  alarmSound([...state.incidents.values()].some(urgent));
}
const later = () => { state.drawTimer ||= setTimeout(draw, 250); };

function row(w) {
  const i = w.incident, one = make("button", `card ${i?.severity ?? (w.kind === "duty" ? "alarm" : "notice")}`); one.type = "button"; one.dataset.work = w.key;
  one.setAttribute("aria-current", String(Boolean(i) && i.id === state.opened));
  const line = make("span", "line", "", make("span", "what", say(`desk.${w.kind}`)));
  if (i) line.append(tag(say(`severity.${i.severity}`), i.severity), tag(say(`hazard.${i.hazard}`)));
  if (w.until) { const clock = make("span", "clock", say(w.left ?? "desk.clock", { left: duration(Math.max(0, w.until - shownUs()), texts) })); clock.dataset.until = w.until; clock.dataset.left = w.left ?? "desk.clock"; clock.dataset.over = "desk.over"; line.append(clock); }
  else if (w.since) line.append(ageOf(w.since));
  one.append(line, make("span", "place", i ? place(i) : w.where), ...(w.said ? [make("span", "more", w.said)] : []));
  one.onclick = () => go(w);
  one.onkeydown = (e) => keys(e, w, one);
  return make("li", "", "", one);
}

function keys(e, w, node) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const nodes = [...document.querySelectorAll("[data-work]")], at = nodes.indexOf(node), to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: nodes.length - 1 }[e.key];
  if (to !== undefined) { e.preventDefault(); nodes[Math.max(0, Math.min(nodes.length - 1, to))]?.focus(); return; }
  const deed = { a: answer, v: verify, d: dispatch, c: call }[e.key.toLowerCase()];
  if (deed && w.incident) { e.preventDefault(); deed(w.incident); }
}

async function go(w) {
  if (w.kind === "duty") return told(await post(`/api/duties/${encodeURIComponent(w.duty.check.id)}/answer`, {}, `duty/${w.duty.check.id}`));
  if (w.kind === "notice") { await told(await post(`/api/notices/${encodeURIComponent(w.notice.id)}/again`, {}, `again/${w.notice.id}`)); return failed(); }
  return open(w.incident);
}
async function open(i) {
  state.opened = i.id;
  for (const node of document.querySelectorAll("[data-work]")) node.setAttribute("aria-current", String(node.dataset.work.endsWith(i.id)));
  await panel.show(i.id);
}
function told({ text, done }) { const node = $("outcome"); node.textContent = text; node.className = `outcome ${done ? "ok" : "bad"}`; announce(text); }
async function answer(i) { told(await act(i.id, "acknowledge")); }
async function dispatch(i) { if (nameMissing()) { told({ text: say("you.needed") }); return; } if (await ask(`${say("desk.dispatch")}: ${place(i)}`, [])) told(await act(i.id, "dispatch")); }
async function verify(i) { await open(i); await panel.verify(); }
async function call(i) { await open(i); $("detail").querySelector("[data-jump=contacts]")?.click(); $("detail").querySelector("[data-key^=call-]")?.focus(); }
async function failed() { try { state.failed = await get("/api/notices/failed") ?? []; later(); } catch (error) { console.warn("notices", error); } }

await begin();
setUpAttention();
setInterval(failed, FAILED_EVERY_MS);
setInterval(later, 5000); // tasks run out by time alone
failed();
await follow({
  board(board) { state.loaded = true; state.incidents = new Map(board.incidents.map((i) => [i.id, i])); state.duties = board.duties ?? []; draw(); if (state.opened) panel.changed(state.opened); },
  incident(card) { if (OPEN(card)) state.incidents.set(card.id, card); else state.incidents.delete(card.id); panel.changed(card.id); later(); },
  list(kind, list) { if (kind === "duties") { if (list.length > state.duties.length) announce(say("duty.came")); state.duties = list; later(); } },
  fresh: (id) => panel.changed(id),
  tick: attendTick,
});
