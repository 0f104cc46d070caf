// One incident, whole: what may be done now; plan, map, water, people, evidence, permit, plan of response, timeline.
// It is fetched when it is chosen and again when its card changes, at most once a second.
import { OPEN, act, ageOf, announce, ask, button, deed, deviceTest, get, has, make, name, options, pathOf, place, say, tag, whenAnswered } from "./live.js";
import { clockTime, shownUs } from "./shown_time.js";
import { distance, estateMap, tooLow } from "./estate.js";
import { floorPlan, valueText } from "./plan.js";
import { plot } from "./plot.js";
import { words, wordsOf } from "./words.js";

// What the page offers in each state; the server decides (laws of safety), the page only proposes.
const ACTIONS = {
  new: ["acknowledge", "confirm", "dispatch", "on_scene", "false_alarm", "close"],
  reopened: ["acknowledge", "confirm", "dispatch", "on_scene", "false_alarm", "close"],
  confirmed: ["acknowledge", "dispatch", "on_scene", "false_alarm", "close"],
  dispatched: ["acknowledge", "on_scene", "resolve", "false_alarm"],
  on_scene: ["resolve", "false_alarm"],
  resolved: ["close", "reopen"],
  false: ["reopen"],
  closed: ["reopen"],
};
const REASONED = new Set(["close", "reopen", "note"]);
const FALSE_CAUSES = ["cooking", "steam", "dust", "insect", "smoking", "works", "weather", "device_fault", "wrong_place", "malicious", "test", "other"];
const SECTIONS = ["plan", "map", "water", "contacts", "steps", "evidence", "permit", "impaired", "units", "told"];
const placesOf = new Map(); // site → place book, for as long as the page is open

export async function places(tenancy) {
  const path = pathOf(tenancy);
  if (!placesOf.has(path)) placesOf.set(path, await get(`/api/places/${path}`));
  return placesOf.get(path);
}

export class IncidentPanel {
  // page: whether it is the whole page. others: () → all open incidents, for merging.
  constructor(section, { page = false, others = () => [] } = {}) {
    whenAnswered((key, outcome) => { if (this.parts && key.startsWith(`${this.id}/`)) { this.say(outcome.text, outcome.done); this.changed(this.id); } });
    Object.assign(this, { section, page, others, id: "", view: null, side: null, book: null, busy: false, again: false, drawn: "", timer: 0 });
  }

  async show(id) {
    if (this.id === id) return;
    Object.assign(this, { id, view: null, side: null, book: null, drawn: "" });
    this.section.replaceChildren(make("p", "empty", say("incidents.loading")));
    await this.load();
  }

  // Its card has changed: look again, soon.
  changed(id) {
    if (id !== this.id) return;
    this.again = true;
    if (!this.busy && !this.timer) this.timer = setTimeout(() => { this.timer = 0; this.load(); }, this.view ? 700 : 0);
  }

  async load() {
    if (this.busy) { this.again = true; return; }
    this.busy = true; this.again = false;
    const id = this.id;
    try {
      const [view, side] = await Promise.all([get(`/api/incidents/${encodeURIComponent(id)}`), get(`/api/incidents/${encodeURIComponent(id)}/side`).catch(() => null)]);
      if (id !== this.id) return;
      if (!view) { this.section.replaceChildren(make("p", "empty", say("incident.gone"))); return; }
      const book = this.book ?? await places(view.tenancy).catch(() => null);
      if (id !== this.id) return;
      Object.assign(this, { view, side, book });
      this.draw();
    } catch (error) {
      console.warn("incident", error);
      if (!this.view) this.section.replaceChildren(make("p", "empty", say("incident.failed")));
      setTimeout(() => { if (id === this.id) this.load(); }, 2000);
    } finally {
      this.busy = false;
      if (this.again) this.changed(this.id);
    }
  }

  draw() {
    const { view, section } = this;
    if (this.drawn !== this.id) this.build();
    this.drawn = this.id;
    const focus = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    section.setAttribute("aria-label", place(view));
    section.classList.toggle("drill", Boolean(view.drill));
    const h = view.handling ?? {}, book = Boolean(this.book);
    // Only what changed is drawn again: a press is never lost because a value came in between.
    const part = (key, sign, nodes) => {
      const now = `${JSON.stringify(sign)}`;
      if (this.signs[key] !== now) { this.signs[key] = now; this.parts[key].replaceChildren(...[nodes()].flat()); }
    };
    part("head", [view.hazard, view.zone, view.severity, view.state, view.verification, view.in_dispatch_queue, h.ends_us], () => heading(view, this.page));
    part("actions", [view.state, view.acknowledged_by, (view.alarms ?? []).length > 1, this.others().filter((i) => this.fits(i)).map((i) => i.id)], () => this.actions());
    part("facts", [view.acknowledged_by, view.gateway_told_us, h.stage, h.deadline_us, h.told, h.undelivered, h.cause, view.zone], () => facts(view));
    floorPlan(this.parts.plan, view, this.book, shownUs());
    const water = JSON.stringify((view.live ?? []).filter((v) => v.point && this.book?.book?.hydrants.some((h_) => h_.point === v.point)).map((v) => [v.point, v.value])) + view.zone + book;
    if (water !== this.water) { this.water = water; estateMap(this.parts.map, view, this.book); }
    part("water", [water, (view.live ?? []).filter((v) => v.quantity === "pressure" || v.quantity === "level")], () => hydrants(view, this.book));
    part("contacts", [view.contacts, h.calls, book], () => this.contacts());
    part("steps", [h.plan, h.steps, h.checked, h.tasks, view.zone, book], () => this.steps());
    part("evidence", [this.side?.evidence, this.side?.photos], () => evidence(view, this.side));
    part("permit", [view.audience, this.side?.permits], () => permits(view, this.side));
    part("impaired", this.side?.impairments, () => impaired(view, this.side));
    part("units", [h.units, h.reports], () => units(view));
    part("told", [this.side?.notices, view.acknowledged_by, view.acknowledged_us], () => told(this.side, this.view));
    part("plots", view.plots, () => plots(view));
    part("alarms", view.alarms, () => alarms(view));
    part("timeline", view.log, () => timeline(view));
    if (focus) section.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }

  // The frame, once an incident: sections stay where they are while their content changes.
  build() {
    const parts = this.parts = {}, block = (key, title, wide = "") => {
      const box = make("section", `part ${wide}`), head = make("h3", "", title); head.id = `s-${key}`; head.tabIndex = -1;
      box.setAttribute("aria-labelledby", head.id); parts[key] = make("div", "body"); box.append(head, parts[key]); return box;
    };
    this.water = ""; this.signs = {};
    parts.head = make("header"); parts.actions = make("div", "actions"); parts.facts = make("div");
    parts.outcome = make("p", "outcome"); parts.outcome.setAttribute("role", "status");
    const jump = make("nav", "jump"); jump.setAttribute("aria-label", say("jump"));
    for (const key of [...SECTIONS, "timeline"]) {
      const link = make("a", "", say(key === "timeline" ? "timeline" : `sec.${key}`)); link.href = `#s-${key}`; link.dataset.jump = key;
      link.onclick = (e) => { e.preventDefault(); const head = this.section.querySelector(`#s-${key}`); head.scrollIntoView({ block: "start" }); head.focus({ preventScroll: true }); };
      jump.append(link);
    }
    const grid = make("div", "parts", "", block("plan", say("sec.plan"), "wide"), block("map", say("sec.map"), "wide"),
      make("div", "flow wide", "", ...["water", "contacts", "steps", "evidence", "permit", "impaired", "units", "told"].map((key) => block(key, say(`sec.${key}`))),
        block("plots", say("readings")), block("alarms", say("alarms")), block("timeline", say("timeline"))));
    this.section.replaceChildren(parts.head, parts.actions, parts.outcome, parts.facts, jump, grid);
  }

  say(text, good) { this.parts.outcome.textContent = text; this.parts.outcome.className = `outcome ${good ? "ok" : "bad"}`; announce(text); }
  async run(going) {
    this.say(say("act.sending"), true);
    const { done, text } = await going;
    this.say(text, done);
    this.changed(this.id);
    return done;
  }

  // --- deeds ------------------------------------------------------------------------------------------------

  actions() {
    const { view } = this, key = (node, name_) => { node.dataset.key = name_; return node; }, made = [];
    for (const action of [...(ACTIONS[view.state] ?? []), "note"]) {
      if (action === "acknowledge" && view.acknowledged_by) continue;
      const label = say(action === "dispatch" && view.drill ? (deviceTest(view) ? "test.dispatch" : "drill.dispatch") : `action.${action}`);
      const node = button(label, () => this.step(action), action === "acknowledge" ? "primary" : "");
      node.dataset.action = action; made.push(key(node, action));
    }
    const more = { verify: () => this.verify(), task: () => this.task() };
    if (this.others().some((i) => this.fits(i))) more.merge = () => this.merge();
    if ((view.alarms ?? []).length > 1) more.split = () => this.split();
    if (OPEN(view)) for (const [what, go] of Object.entries(more)) {
      const node = button(say(`do.${what}`), go); node.dataset.action = `do_${what}`; made.push(key(node, `do_${what}`));
    }
    return made;
  }

  async step(action) {
    const id = this.id, label = say(`action.${action}`);
    if (action === "false_alarm") {
      const given = await ask(label, [{ name: "cause", label: say("do.cause"), kind: "select", options: options("cause", FALSE_CAUSES) },
        { name: "text", label: say("reason.label"), kind: "textarea" }]);
      if (!given) return;
      if (await this.run(act(id, action, `${given.cause}: ${given.text}`))) await this.run(deed(id, { type: "state_cause", cause: given.cause, text: given.text }));
      return;
    }
    let why = "";
    if (REASONED.has(action)) { const given = await ask(label, [{ name: "text", label: say("reason.label"), kind: "textarea" }]); if (!given) return; why = given.text; }
    await this.run(act(id, action, why));
  }

  async verify() {
    const given = await ask(say("do.verify"), [{ name: "by", label: say("do.by"), kind: "select", options: options("verify", ["person", "camera", "second_detector", "flow_switch", "call_point"]) },
      { name: "detail", label: say("do.detail"), kind: "textarea" }]);
    if (given) await this.run(deed(this.id, { type: "verify", ...given }));
  }

  async task() {
    const given = await ask(say("do.task"), [{ name: "title", label: say("do.title"), kind: "text", max: 120 }, { name: "person", label: say("do.person"), kind: "text", max: 80 },
      { name: "minutes", label: say("do.minutes"), kind: "number", value: 10 }, { name: "proof", label: say("do.proof"), kind: "select", options: options("proof", ["none", "photo", "position", "both"]) }]);
    if (given) await this.run(deed(this.id, { type: "give_task", title: { en: given.title, zh: given.title }, person: given.person,
      within_us: Math.max(1, Math.round(Number(given.minutes))) * 60e6, proof: given.proof }));
  }

  fits(other) { return other.id !== this.id && pathOf(other.tenancy) === pathOf(this.view.tenancy) && Boolean(other.drill) === Boolean(this.view.drill) && OPEN(other); }

  async merge() {
    const given = await ask(say("do.merge"), [{ name: "into", label: say("do.into"), kind: "select",
      options: this.others().filter((i) => this.fits(i)).slice(0, 200).map((i) => [i.id, `${say(`hazard.${i.hazard}`)} · ${place(i)} · ${clockTime(i.opened_us)}`]) },
    { name: "text", label: say("reason.label"), kind: "textarea" }]);
    if (given) await this.run(deed(this.id, { type: "merge", into: given.into }, given.text));
  }

  async split() {
    const given = await ask(say("do.split"), [{ name: "alarms", label: say("do.alarms"), kind: "checks",
      options: this.view.alarms.map((a) => [`${a.rule}|${a.subject ?? ""}`, `${name(a.title)} — ${name(a.place) || a.device}`]) },
    { name: "text", label: say("reason.label"), kind: "textarea" }]);
    if (given) await this.run(deed(this.id, { type: "split", alarms: given.alarms }, given.text));
  }

  // --- people -----------------------------------------------------------------------------------------------

  contacts() {
    const { view } = this, list = make("ul", "list people"), seen = new Set();
    for (const c of [...(view.contacts ?? []), ...(this.book?.book?.key_holders ?? [])]) {
      if (seen.has(c.name + c.phone)) continue;
      seen.add(c.name + c.phone);
      const call = make("a", "phone", c.phone); call.href = `tel:${c.phone.replaceAll(" ", "")}`;
      const last = (view.handling?.calls ?? []).filter((r) => r.person === c.name).at(-1);
      const wrote = button(say("call.write"), () => this.call(c)); wrote.dataset.key = `call-${c.name}`;
      list.append(make("li", "", "", make("b", "", c.name), ` ${has(`role.${c.role}`) ? say(`role.${c.role}`) : c.role} `, call, c.note ? ` — ${c.note} ` : " ",
        last ? tag(say(`call.${last.outcome}`), last.outcome === "answered" ? "good" : "") : "", wrote));
    }
    if (!list.children.length) list.append(make("li", "empty", say("contacts.none")));
    const calls = make("ul", "list");
    for (const r of [...(view.handling?.calls ?? [])].reverse()) calls.append(make("li", "", "", make("time", "", clockTime(r.at_us)), ` ${r.who} → ${r.person}: ${say(`call.${r.outcome}`)}${r.text ? ` — ${r.text}` : ""}`));
    return [list, make("h4", "", say("call.record")), calls.children.length ? calls : make("p", "empty", say("call.none"))];
  }

  async call(contact) {
    const given = await ask(say("call.title", { person: contact.name }), [
      { name: "outcome", label: say("call.outcome"), kind: "select", options: options("call", ["answered", "no_answer", "will_call_back", "wrong_number"]) },
      { name: "text", label: say("call.text"), kind: "textarea", optional: true }]);
    if (given) await this.run(deed(this.id, { type: "call_made", person: contact.name, phone: contact.phone, ...given }));
  }

  steps() {
    const { view } = this, h = view.handling, made = [];
    const plans = [[h?.plan, h?.steps ?? []]];
    for (const r of this.book?.book?.response ?? []) if ((!r.hazards?.length || r.hazards.includes(view.hazard)) && (!r.zones?.length || r.zones.includes(view.zone))) plans.push([r.title, r.steps, true]);
    const done = new Map((h?.checked ?? []).map((c) => [c.step, c]));
    for (const [title, steps, here] of plans.filter(([, s]) => s.length)) {
      const list = make("ol", "list steps");
      for (const step of steps) {
        const key = step.en || step.zh, known = done.get(key), box = make("input"); box.type = "checkbox"; box.checked = Boolean(known); box.dataset.key = `step-${key}`;
        box.onchange = async () => { if (!await this.run(deed(this.id, { type: "check_step", step: key, done: box.checked }))) box.checked = !box.checked; };
        list.append(make("li", "", "", make("label", "check", "", box, ` ${name(step)}`), known ? make("small", "", ` ${say("steps.done", { who: known.who, time: clockTime(known.at_us) })}`) : ""));
      }
      made.push(make("h4", "", [name(title) || say("sec.steps"), here ? name(view.site_name) : ""].filter(Boolean).join(" — ")), list);
    }
    if (!made.length) made.push(make("p", "empty", say("steps.none")));
    const tasks = make("ul", "list");
    for (const task of h?.tasks ?? []) tasks.append(this.taskRow(task));
    if (tasks.children.length) made.push(make("h4", "", say("handling")), tasks);
    return made;
  }

  taskRow(task) {
    const late = !task.done_us && task.due_us && shownUs() > task.due_us;
    const item = make("li", late ? "warn" : "", `${name(task.title)} — ${task.person} · ${task.done_us
      ? `${say("task.done")} ${clockTime(task.done_us)} ${task.done_by}: ${task.result}` : task.due_us ? say("task.until", { time: clockTime(task.due_us) }) : ""} `);
    if (!task.done_us && task.due_us && (!task.proof_wanted || task.proof_wanted === "none")) {
      const node = button(say("task.do"), async () => {
        const given = await ask(say("action.task"), [{ name: "text", label: say("reason.label"), kind: "textarea" }]);
        if (given) await this.run(deed(this.id, { type: "do_task", task: task.id, result: given.text }));
      });
      node.dataset.key = `task-${task.id}`; item.append(node);
    }
    return item;
  }
}

// --- parts without deeds --------------------------------------------------------------------------------------

function heading(view, page) {
  const title = make(page ? "h1" : "h2", "", `${say(`hazard.${view.hazard}`)} — ${name(view.zone_name) || view.zone || name(view.site_name)}`);
  const verified = view.verification && view.verification !== "none";
  const made = [title, tag(say(`severity.${view.severity}`), view.severity), tag(say(`state.${view.state}`)), tag(say(verified ? "verified" : "unverified"), verified ? "good" : "")];
  if (view.in_dispatch_queue) made.push(tag(say("queue"), "queue"));
  const until = view.drill && view.handling?.ends_us;
  if (view.drill) made.push(tag(until ? say("drill.until", { time: clockTime(until) }) : say(deviceTest(view) ? "test" : "drill"), "drill"));
  made.push(ageOf(view.opened_us));
  const link = make("a", "button", say(page ? "incident.back" : "incident.open")); link.href = page ? "/board" : `/incidents/${encodeURIComponent(view.id)}`;
  made.push(link);
  return made;
}

function facts(view) {
  const list = make("dl", "facts"), add = (term, value) => { if (value) list.append(make("dt", "", term), make("dd", "", value)); };
  add(say("place"), place(view)); add(say("address"), name(view.address)); add(say("access"), name(view.access_note));
  if (view.acknowledged_by) add(say("acknowledged"), `${say("acknowledged.by", { who: view.acknowledged_by })}, ${clockTime(view.acknowledged_us)} — ${say(view.gateway_told_us ? "gateway.knows" : "gateway.waiting")}`);
  const h = view.handling;
  if (h) {
    add(say("stage"), say(`stage.${h.stage}`) + (h.deadline_us ? ` — ${say("stage.until", { time: clockTime(h.deadline_us) })}` : ""));
    add(say("told"), [h.told ? `${h.told}` : "", h.undelivered ? say("told.not", { n: h.undelivered }) : ""].filter(Boolean).join(" · "));
    if (h.cause && h.cause !== "unstated") add(say("cause"), say(`cause.${h.cause}`));
  }
  return list;
}

function hydrants(view, places_) {
  const book = places_?.book, list = make("ul", "list"), zone = places_?.zones.find((z) => z.id === view.zone);
  const live = new Map((view.live ?? []).map((v) => [v.point, v]));
  const rows = (book?.hydrants ?? []).map((h) => [h, zone ? distance(book, zone.building, h.at) : null]);
  rows.sort((a, b) => (a[1] ?? 1e9) - (b[1] ?? 1e9));
  for (const [h, away] of rows) {
    const v = live.get(h.point), low = tooLow(h, v);
    const item = make("li", "", "", make("b", "", name(h.name)), ` ${[say(`water.${h.kind}`), away === null ? "" : say("water.away", { n: away }), name(h.note)].filter(Boolean).join(" · ")} `);
    const value = make("span", low || (h.point && (v?.value === null || v?.value === undefined)) ? "warn" : h.point ? "reading" : "quiet", h.point ? (v ? valueText(v) : say("plan.notheard")) : say("water.nopoint"));
    item.append(value);
    if (low) item.append(" ", tag(say("water.low"), "critical"));
    if (v?.at_us) item.append(" ", ageOf(v.at_us));
    list.append(item);
  }
  return list.children.length ? list : make("p", "empty", say("water.none"));
}

function evidence(view, side) {
  const made = [];
  if (!side || side.evidence === null) made.push(make("p", "empty", say("evidence.unknown")));
  else if (!side.evidence.length) made.push(make("p", "empty", say("evidence.none")));
  for (const e of side?.evidence ?? []) {
    const figure = make("figure"), words_ = `${e.camera} · ${clockTime(e.at_us)}${e.name ? ` · ${e.name}` : ""}`;
    if (e.clip) { const clip = make("video"); clip.src = e.clip; clip.controls = true; clip.preload = "none"; if (e.snapshot) clip.poster = e.snapshot; clip.setAttribute("aria-label", words_); figure.append(clip); }
    else if (e.snapshot) { const picture = make("img"); picture.src = e.snapshot; picture.alt = words_; picture.loading = "lazy"; figure.append(picture); }
    figure.append(make("figcaption", "", e.clip || e.snapshot ? words_ : `${words_} — ${say("evidence.onsite")}`)); made.push(figure);
  }
  const photos = make("div", "photos");
  for (const p of side?.photos ?? []) {
    const link = make("a"), picture = make("img"); link.href = picture.src = `/photos/${p.sha256}`; link.target = "_blank"; link.rel = "noopener";
    picture.alt = say("photo.by", { who: p.who }); picture.loading = "lazy"; link.append(picture, make("span", "", `${p.who} · ${clockTime(p.taken_us || p.stored_us)}`)); photos.append(link);
  }
  made.push(photos.children.length ? photos : make("p", "quiet", say("photos.none")));
  return made;
}

function permits(view, side) {
  const made = [];
  if (view.audience) made.push(make("p", "warn", say("permit.audience", { id: view.audience.replace(/^permit:/, "") })));
  if (!side || side.permits === null) return [...made, make("p", "empty", say("permit.unknown"))];
  const list = make("ul", "list");
  for (const p of side.permits) list.append(make("li", "", "", tag(say(`permit.${p.state}`), p.state === "working" ? "alarm" : ""),
    ` ${p.id} · ${name(p.zone_name) || p.zone} · ${say(`permit.level.${p.level}`)} · ${say("permit.until", { time: clockTime(p.ends_us) })}${p.watcher ? ` · ${say(p.watched ? "permit.watched" : "permit.unwatched", { who: p.watcher })}` : ""} · `,
    p.heard_us ? ageOf(p.heard_us, "permit.heard") : make("span", "warn", say("permit.unconfirmed"))));
  return [...made, list.children.length ? list : make("p", "empty", say("permit.none"))];
}

function impaired(view, side) {
  const list = make("ul", "list"), mine = new Set((view.alarms ?? []).map((a) => a.zone));
  const rows = [...(side?.impairments ?? [])].sort((a, b) => Number(mine.has(b.impairment.zone)) - Number(mine.has(a.impairment.zone)) || a.impairment.since_us - b.impairment.since_us);
  for (const v of rows) list.append(make("li", "", "", make("span", "warn", say(`impairment.${v.impairment.kind}`)),
    ` · ${name(v.device_name) || v.impairment.subject} · ${name(v.zone_name)} · `, ageOf(v.impairment.since_us), [v.impairment.who, v.impairment.why, v.impairment.compensation].some(Boolean)
      ? ` — ${[v.impairment.who, wordsOf(v.impairment.who, v.impairment.why ?? ""), v.impairment.compensation].filter(Boolean).join(" · ")}` : ""));
  return list.children.length ? list : make("p", "empty", say("impairments.none"));
}

function units(view) {
  const h = view.handling, rows = [...(h?.units ?? []).map((u) => [u.at_us, `${u.unit}: ${say(`unit.${u.move}`)} · ${u.who}`, u.position, ""]),
    ...(h?.reports ?? []).map((r) => [r.at_us, `${r.who}: ${r.text}`, r.position, r.photo])].sort((a, b) => b[0] - a[0]);
  const list = make("ul", "list");
  for (const [at, text, where, photo] of rows) {
    const item = make("li", "", "", make("time", "", clockTime(at)), ` ${text}`);
    if (where) item.append(make("small", "", ` ${where.latitude.toFixed(5)}, ${where.longitude.toFixed(5)}`));
    if (photo) { const link = make("a", "", ` ${say("station.photo")}`); link.href = `/photos/${photo}`; link.target = "_blank"; link.rel = "noopener"; item.append(link); }
    list.append(item);
  }
  return list.children.length ? list : make("p", "empty", say("units.none"));
}

function told(side, view) {
  const list = make("ul", "list");
  for (const n of side?.notices ?? []) {
    // "Delivered" means that a service took it; that somebody has read it shows in an answer only.
    const answered = n.status === "sent" && view.acknowledged_by && view.acknowledged_us >= n.at_us;
    const state = answered ? say("notice.acknowledged", { who: view.acknowledged_by }) : say(`notice.${n.status}`);
    const more = [n.attempts > 1 ? say("notice.tries", { n: n.attempts }) : "", n.reason].filter(Boolean).map((word) => ` — ${word}`).join("");
    list.append(make("li", n.status === "dead" ? "warn" : "", "", make("time", "", clockTime(n.at_us)), ` ${n.endpoint} · ${state}${more}`));
  }
  return list.children.length ? list : make("p", "empty", say("told.none"));
}

function plots(view) {
  const box = make("div", "plots");
  for (const series of view.plots ?? []) box.append(plot(series, view.opened_us, name(series.name), clockTime));
  if (!box.children.length) box.append(make("p", "empty", say("readings.none")));
  return box;
}

function alarms(view) {
  const list = make("ul", "list");
  for (const a of view.alarms ?? []) {
    const item = make("li", "", "", tag(say(`severity.${a.severity}`), a.severity), ` ${name(a.title)} — ${name(a.place) || a.device} · `,
      say(`alarm.${a.state}`), a.latched ? ` (${say("latched")})` : "", " · ", make("time", "", clockTime(a.at_us)));
    if (a.detail) item.append(make("div", "", words(a.detail, a.device)));
    if (a.test) item.append(" ", tag(say("test"), "drill"));
    if (a.shelf) item.append(" ", tag(say(`shelf.${a.shelf}`)));
    if (a.journaled === false) item.append(make("div", "warn", say("not_journaled")));
    if (a.trustworthy === false) item.append(make("div", "warn", say("point.untrusted")));
    list.append(item);
  }
  return list;
}

function timeline(view) {
  const list = make("ol", "list"), devices = (view.alarms ?? []).map((a) => a.device).filter(Boolean);
  for (const entry of [...(view.log ?? [])].reverse()) {
    const key = `log.${entry.what}`;
    list.append(make("li", "", "", make("time", "", clockTime(entry.at_us)), ` ${has(key) ? say(key) : entry.what}`, entry.who ? ` · ${entry.who}` : "", entry.detail ? ` — ${entry.who ? entry.detail : words(entry.detail, devices.find((id) => entry.detail.startsWith(`${id} `)))}` : ""));
  }
  return list;
}
