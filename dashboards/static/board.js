// The brigade's board: one snapshot, then changes. What cannot be trusted is shown as stale, never as current.
import { anchor, clockTime, duration, shownUs } from "./shown_time.js";
import { alarmSound, soundOn, switchSound } from "./sound.js";
import { detail } from "./incident.js";
import { setPhrases } from "./words.js";
import { dutiesOpen, impairedCount, rowsOf } from "./side.js";

const STALE_AFTER_MS = 4000; // heartbeats come every 2 s; a cut is said within 5 s
const LIFE_SAFETY = new Set(["fire", "call_point", "gas_high", "co"]);
const RANK = { critical: 3, alarm: 2, warning: 1, notice: 0 };
const LISTS = ["impairments", "gateways", "gaps", "proofs", "duties"];
const OPEN = (i) => !["closed", "false"].includes(i.state);
const $ = (id) => document.getElementById(id);
const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const state = { t: {}, incidents: new Map(), impairments: [], gateways: [], gaps: [], proofs: [], duties: [], chosen: "",
  revision: 0, source: null, heard: 0, asked: 0, link: "", lostAt: 0 };

const name = (text) => (text ? text[language] || text.en || text.zh || "" : "");
const say = (key, values = {}) => Object.entries(values).reduce(
  (text, [k, v]) => text.replaceAll(`{${k}}`, v), state.t[key] ?? key);

async function start() {
  const [texts, phrases] = await Promise.all(["texts", "phrases"].map(async (kind) =>
    (await fetch(`/${kind}/${language}.json`)).json()));
  state.t = texts;
  setPhrases(phrases);
  setUpTools();
  setInterval(tick, 250);
  await connect();
}

// --- connection ---------------------------------------------------------------------------------------------

async function connect() {
  try {
    const answer = await fetch("/api/board", { cache: "no-store" });
    if (answer.status === 401) { location.href = "/sign-in"; return; }
    if (!answer.ok) throw new Error(`board answered ${answer.status}`);
    take(await answer.json());
    listen();
  } catch (error) {
    console.warn("board: no snapshot", error);
    setTimeout(connect, 1000);
  }
}

function take({ at_us, speed, board }) {
  anchor(at_us, speed);
  state.revision = board.revision;
  state.incidents = new Map(board.incidents.map((i) => [i.id, i]));
  for (const kind of LISTS) state[kind] = board[kind] ?? [];
  state.asked = performance.now();
  drawAll();
}

function listen() {
  state.source?.close();
  const source = new EventSource(`/api/board/events?after=${state.revision}`);
  state.source = source;
  // Only a heartbeat says that what is shown is current: the server gives snapshots and lists from its store also when
  // the workers behind it are dead.
  source.addEventListener("heartbeat", (e) => {
    const h = JSON.parse(e.data); anchor(h.at_us, h.speed); state.heard = performance.now();
  });
  source.addEventListener("incident", (e) => { reached(e); incident(JSON.parse(e.data)); });
  for (const kind of LISTS) {
    source.addEventListener(kind, (e) => { reached(e); newDuties(kind, JSON.parse(e.data)); drawSide(); });
  }
  source.addEventListener("resync", () => { source.close(); connect(); });
  // EventSource retries a broken stream by itself, but not one that was refused.
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000); };
}

function reached(event) {
  if (event.lastEventId) state.revision = Number(event.lastEventId);
}

function tick() {
  const at = performance.now(), silentMs = at - (state.heard || state.asked);
  const current = silentMs < STALE_AFTER_MS;
  const link = state.heard && current ? "live" : !state.asked || (!state.heard && current) ? "connecting" : "stale";
  if (link !== state.link) {
    state.link = link;
    document.body.classList.toggle("stale-page", link === "stale");
    $("link").className = `link ${link}`;
    $("link").textContent = say(`link.${link}`);
    const banner = $("banner");
    banner.hidden = link !== "stale";
    if (link === "stale") {
      state.lostAt = Date.now() - silentMs;
      banner.textContent = say("link.stale.long",
        { time: new Date(state.lostAt).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
    } else if (link === "live" && state.lostAt) { announce(say("link.back")); state.lostAt = 0; }
  }
  // A stalled stream can stay "open" for minutes: after 15 s of silence ask anew.
  if (state.source && at - Math.max(state.heard, state.asked) > 15000) { state.source.close(); state.source = null; connect(); }
  const button = $("sound");
  button.setAttribute("aria-pressed", String(soundOn()));
  button.textContent = say(soundOn() ? "sound.on" : "sound.off");
  if (link === "live") for (const node of document.querySelectorAll("[data-since]")) {
    const text = `${duration(shownUs() - Number(node.dataset.since), state.t)}`;
    const whole = node.dataset.say ? say(node.dataset.say, { age: text }) : text;
    if (node.textContent !== whole) node.textContent = whole;
  }
  for (const node of document.querySelectorAll("[data-until]")) {
    const left = Number(node.dataset.until) - shownUs();
    const text = left > 0 ? say("duty.left", { left: duration(left, state.t) }) : say("duty.over");
    if (node.textContent !== text) node.textContent = text;
  }
}

// --- incidents ----------------------------------------------------------------------------------------------

function incident(view) {
  const before = state.incidents.get(view.id);
  if (OPEN(view) || view.id === state.chosen) state.incidents.set(view.id, view);
  else state.incidents.delete(view.id);
  if (!before && OPEN(view)) announce(`${say(`hazard.${view.hazard}`)}: ${place(view)}`);
  drawIncidents();
  if (view.id === state.chosen) drawDetail();
}

const place = (i) => [name(i.site_name), name(i.building), name(i.floor), name(i.zone_name)].filter(Boolean).join(" · ");

function ordered() {
  return [...state.incidents.values()].filter(OPEN).sort((a, b) =>
    Number(b.in_dispatch_queue ?? false) - Number(a.in_dispatch_queue ?? false)
    || RANK[b.severity] - RANK[a.severity] || a.opened_us - b.opened_us);
}

function drawIncidents() {
  const list = $("incidents"), open = ordered();
  $("count").textContent = open.length ? `(${open.length})` : "";
  document.title = `${open.length ? `(${open.length}) ` : ""}${say("board.title")} · ${say("app")}`;
  const focused = document.activeElement?.dataset?.incident;
  list.replaceChildren(...(open.length ? open.map(card) : [empty("incidents.none")]));
  if (focused) list.querySelector(`[data-incident="${focused}"]`)?.focus();
  alarmSound(open.some((i) => LIFE_SAFETY.has(i.hazard) && !i.acknowledged_by));
}

function empty(key) {
  const item = document.createElement("li"); item.className = "empty"; item.textContent = say(key); return item;
}

function tag(text, kind = "") {
  const node = document.createElement("span"); node.className = `tag ${kind}`; node.textContent = text; return node;
}

function card(i) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button"; button.dataset.incident = i.id;
  button.className = `card ${i.severity}${i.acknowledged_by ? "" : " open-new"}`;
  button.setAttribute("aria-current", String(i.id === state.chosen));
  const line = document.createElement("span"); line.className = "line";
  line.append(tag(say(`severity.${i.severity}`), i.severity), tag(say(`hazard.${i.hazard}`)),
    i.verification && i.verification !== "none" ? tag(say("verified"), "good") : tag(say("unverified")));
  if (i.in_dispatch_queue) line.append(tag(say("queue"), "queue"));
  if (i.drill) line.append(tag(say("drill"), "drill"));
  if ((i.alarms ?? []).some((a) => a.test)) line.append(tag(say("test"), "drill"));
  const age = document.createElement("span"); age.className = "age"; age.dataset.since = i.opened_us;
  age.textContent = duration(shownUs() - i.opened_us, state.t); line.append(age);
  const where = document.createElement("span"); where.className = "place"; where.textContent = place(i);
  const more = document.createElement("span"); more.className = "more";
  more.textContent = [say(`state.${i.state}`), (i.alarms ?? []).map((a) => name(a.place)).filter((v, k, all) => all.indexOf(v) === k).join(", "),
    i.acknowledged_by ? say("acknowledged.by", { who: i.acknowledged_by }) : ""].filter(Boolean).join(" · ");
  button.append(line, where, more);
  button.onclick = () => choose(i.id);
  item.append(button);
  return item;
}

function choose(id) {
  state.chosen = id;
  drawIncidents(); drawDetail();
}

function drawDetail() {
  const view = state.incidents.get(state.chosen), section = $("detail");
  if (!view) return;
  const focus = document.activeElement?.dataset?.action;
  const said = section.querySelector(".outcome");
  detail(section, view, { say, name, place, tag, act });
  if (said) section.querySelector(".outcome")?.replaceWith(said);
  if (focus) section.querySelector(`[data-action="${focus}"]`)?.focus();
}

// --- actions ------------------------------------------------------------------------------------------------

const pending = new Map(); // incident+action → request id, kept until the server answers: pressing again counts once

async function act(view, action, needsReason, deedOf = null) {
  const outcome = document.querySelector("#detail .outcome");
  const show = (text, good) => { outcome.textContent = text; outcome.className = `outcome ${good ? "ok" : "bad"}`; };
  const who = $("you")?.value.trim() ?? "";
  if ($("you") && !who) { show(say("you.needed"), false); $("you").focus(); return; }
  let why = "";
  if (needsReason) { why = await askReason(say(`action.${action}`)); if (why === null) return; }
  const key = `${view.id}/${deedOf ? JSON.stringify(deedOf(why)) : action}/${why}`;
  const request = pending.get(key) ?? crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  pending.set(key, request);
  show(say("act.sending"), true);
  try {
    const what = deedOf ? { deed: deedOf(why) } : { action };
    const answer = await fetch(`/api/incidents/${encodeURIComponent(view.id)}/${deedOf ? "deeds" : "actions"}`, {
      method: "POST", headers: { "Content-Type": "application/json", "X-Tocsin": "board" },
      body: JSON.stringify({ ...what, request, why, who }), signal: AbortSignal.timeout(10000),
    });
    if (answer.status === 401) { location.href = "/sign-in"; return; }
    const result = await answer.json();
    if (answer.status < 500) pending.delete(key);
    if (result.done) show(say("act.done"), true);
    else show(say("act.refused", { why: result.refusal ?? "" }), false);
  } catch (error) {
    console.warn("board: action unanswered", error);
    show(say("act.unknown"), false);
  }
}

function askReason(title) {
  const dialog = $("reason"), field = $("reason-text");
  $("reason-action").textContent = title; field.value = ""; dialog.returnValue = "cancel";
  dialog.showModal(); field.focus();
  return new Promise((resolve) => dialog.addEventListener("close", () =>
    resolve(dialog.returnValue === "ok" && field.value.trim() ? field.value.trim() : null), { once: true }));
}

// --- the rest -----------------------------------------------------------------------------------------------

function drawSide() {
  const focused = document.activeElement?.dataset?.duty;
  for (const kind of LISTS) {
    $(kind).replaceChildren(...rowsOf(kind, state[kind], { say, name, t: state.t, answerDuty }));
  }
  if (focused) document.querySelector(`[data-duty="${CSS.escape(focused)}"]`)?.focus();
  const waiting = dutiesOpen(state.duties);
  $("duty-count").textContent = waiting ? `(${waiting})` : "";
  $("impairment-count").textContent = state.impairments.length ? `(${impairedCount(state.impairments)})` : "";
}

function newDuties(kind, list) {
  if (kind === "duties" && dutiesOpen(list) > dutiesOpen(state.duties)) announce(say("duty.came"));
  state[kind] = list;
}

async function answerDuty(view) {
  const key = `duty/${view.check.id}`, request = pending.get(key) ?? crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  pending.set(key, request);
  try {
    const answer = await fetch(`/api/duties/${encodeURIComponent(view.check.id)}/answer`, {
      method: "POST", headers: { "Content-Type": "application/json", "X-Tocsin": "board" },
      body: JSON.stringify({ request }), signal: AbortSignal.timeout(10000),
    });
    if (answer.status === 401) { location.href = "/sign-in"; return; }
    const result = await answer.json();
    if (answer.status < 500) pending.delete(key);
    sayDuty(view, result.done ? say("act.done") : say("act.refused", { why: result.refusal ?? "" }));
  } catch (error) {
    console.warn("board: duty check unanswered", error);
    sayDuty(view, say("act.unknown"));
  }
}

function sayDuty(view, text) {
  announce(text);
  const known = state.duties.find((d) => d.check.id === view.check.id);
  if (known && text !== say("act.done")) { known.refused = text.replace(/^.*?[:：] ?/, ""); drawSide(); }
}

function drawAll() { drawIncidents(); drawDetail(); drawSide(); }

function announce(text) { $("said").textContent = text; }

function setUpTools() {
  const you = $("you");
  if (you) { you.value = localStorage.getItem("tocsin.you") ?? ""; you.oninput = () => localStorage.setItem("tocsin.you", you.value); }
  $("sound").onclick = () => switchSound();
  const root = document.documentElement, saved = localStorage.getItem("tocsin.theme");
  if (saved) root.dataset.theme = saved;
  $("theme").onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark"; localStorage.setItem("tocsin.theme", root.dataset.theme);
  };
}

start();
export { clockTime };
