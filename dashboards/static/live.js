// What every live page shares: texts, the stream of changes, the word on whether it can be believed, and clicks that
// count once. What cannot be trusted is shown as stale, never as current.
import { anchor, duration, shownUs } from "./shown_time.js";
import { SharedStream } from "./shared_stream.js";
import { setPhrases } from "./words.js";

const STALE_AFTER_MS = 4000; // heartbeats come every 1–2 s; a cut is said within 5 s
const STREAM_LISTS = ["impairments", "gateways", "gaps", "proofs", "duties"];
export const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
export const $ = (id) => document.getElementById(id);
export const texts = {};
export const name = (text) => (text ? text[language] || text.en || text.zh || "" : "");
export const say = (key, values = {}) => Object.entries(values).reduce(
  (text, [k, v]) => text.replaceAll(`{${k}}`, v), texts[key] ?? key);
export const has = (key) => key in texts;
export const OPEN = (i) => !["closed", "false"].includes(i.state);
export const LIFE_SAFETY = new Set(["fire", "call_point", "gas_high", "co"]);
export const RANK = { critical: 3, alarm: 2, warning: 1, notice: 0 };
export const place = (i) => [name(i.site_name), name(i.building), name(i.floor), name(i.zone_name)].filter(Boolean).join(" · ");
export const pathOf = (tenancy) => [tenancy.city, tenancy.district, tenancy.street, tenancy.site].join("/");
export const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

export function make(kind, className = "", text = "", ...children) {
  const node = document.createElement(kind);
  if (className) node.className = className;
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}
export function button(text, onclick, className = "") {
  const node = make("button", className, text); node.type = "button"; node.onclick = onclick; return node;
}
export function tag(text, kind = "") { return make("span", `tag ${kind}`, text); }
export function ageOf(us, sayKey = "") {
  const node = make("time", "age", duration(shownUs() - us, texts));
  node.dataset.since = us;
  if (sayKey) { node.dataset.say = sayKey; node.textContent = say(sayKey, { age: node.textContent }); }
  return node;
}
export function announce(text) { const node = $("said"); if (node) node.textContent = text; }

export async function begin() {
  const [words, phrases] = await Promise.all(["texts", "phrases"].map(async (kind) =>
    (await fetch(`/${kind}/${language}.json`)).json()));
  Object.assign(texts, words);
  setPhrases(phrases);
  const root = document.documentElement, saved = stored("tocsin.theme");
  if (saved) root.dataset.theme = saved;
  if ($("theme")) $("theme").onclick = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark"; store("tocsin.theme", root.dataset.theme);
  };
  const you = $("you");
  if (you) { you.value = stored("tocsin.you") ?? ""; you.oninput = () => store("tocsin.you", you.value); }
}
export function stored(key) { try { return localStorage.getItem(key); } catch { return null; } }
export function store(key, value) { try { localStorage.setItem(key, value); return true; } catch { return false; } }

// Whoever is signed out leaves no alarms on a shared phone; what waits to be sent stays.
function forget() { try { localStorage.removeItem("tocsin.station.alarms"); } catch { /* no store, nothing kept */ } }

// --- the stream ---------------------------------------------------------------------------------------------

// on: { board(board), incident(card), fresh(id), list(kind, list), tick(link) }; each may be left out.
export function follow(on) {
  const s = { revision: 0, source: null, heard: 0, asked: 0, link: "", lostAt: 0, again: 0 };
  const later = () => { clearTimeout(s.again); s.again = setTimeout(connect, 1000); };

  async function connect() {
    try {
      const answer = await fetch("/api/board", { cache: "no-store", signal: AbortSignal.timeout(15000) });
      if (answer.status === 401) { forget(); location.href = "/sign-in"; return; }
      if (!answer.ok) throw new Error(`board answered ${answer.status}`);
      const { at_us, speed, board } = await answer.json();
      anchor(at_us, speed);
      s.revision = board.revision; s.asked = performance.now();
      on.board?.(board);
      listen();
    } catch (error) { console.warn("no snapshot", error); later(); }
  }
  function listen() {
    s.source?.close();
    const source = s.source = new SharedStream("board", () => `/api/board/events?after=${s.revision}`,
      ["heartbeat", "incident", "fresh", "resync", ...STREAM_LISTS], () => s.revision);
    // What another tab's stream brings may be older than this tab's snapshot; or the server counts anew. Nothing older is
    // drawn over what is newer, and nothing is left out: the page asks for all again.
    const reached = (e) => {
      if (Number(e.lastEventId) < s.revision) { later(); return false; }
      s.revision = Number(e.lastEventId);
      return true;
    };
    // Only a heartbeat says that what is shown is current: the server gives snapshots and lists from its store also
    // when the workers behind it are dead.
    source.addEventListener("heartbeat", (e) => { const h = JSON.parse(e.data); anchor(h.at_us, h.speed); s.heard = performance.now(); });
    source.addEventListener("incident", (e) => { if (reached(e)) on.incident?.(JSON.parse(e.data)); });
    source.addEventListener("fresh", (e) => { if (reached(e)) on.fresh?.(JSON.parse(e.data).id); });
    for (const kind of STREAM_LISTS) source.addEventListener(kind, (e) => { if (reached(e)) on.list?.(kind, JSON.parse(e.data)); });
    source.addEventListener("resync", () => { source.close(); connect(); });
    // EventSource retries a broken stream by itself, but not one that was refused.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) later(); };
  }
  function tick() {
    const at = performance.now(), silentMs = at - (s.heard || s.asked), current = silentMs < STALE_AFTER_MS;
    const link = s.heard && current ? "live" : !s.asked || (!s.heard && current) ? "connecting" : "stale";
    if (link !== s.link) {
      s.link = link;
      document.body.classList.toggle("stale-page", link === "stale");
      $("link").className = `link ${link}`; $("link").textContent = say(`link.${link}`);
      const banner = $("banner"); banner.hidden = link !== "stale";
      if (link === "stale") {
        s.lostAt = Date.now() - silentMs;
        banner.textContent = say("link.stale.long",
          { time: new Date(s.lostAt).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
      } else if (link === "live" && s.lostAt) { announce(say("link.back")); s.lostAt = 0; }
    }
    // A stalled stream can stay "open" for minutes: after 15 s of silence ask anew.
    if (s.source && at - Math.max(s.heard, s.asked) > 15000) { s.source.close(); s.source = null; connect(); }
    // Ages stand still while nothing is heard: they would pretend to knowledge.
    if (link === "live") for (const node of document.querySelectorAll("[data-since]")) {
      const text = duration(shownUs() - Number(node.dataset.since), texts);
      const whole = node.dataset.say ? say(node.dataset.say, { age: text }) : text;
      if (node.textContent !== whole) node.textContent = whole;
    }
    for (const node of document.querySelectorAll("[data-until]")) {
      const left = Number(node.dataset.until) - shownUs();
      const text = left > 0 ? say(node.dataset.left ?? "duty.left", { left: duration(left, texts) }) : say(node.dataset.over ?? "duty.over");
      if (node.textContent !== text) { node.textContent = text; node.classList.toggle("bad", left <= 0); }
    }
    on.tick?.(link);
  }
  setInterval(tick, 250);
  tick();
  return connect();
}

// --- clicks -------------------------------------------------------------------------------------------------

const pending = new Map(); // what was clicked → its request id, kept until the server answers: again counts once

export function who() { return $("you")?.value.trim() ?? ""; }
export function nameMissing() { if ($("you") && !who()) { $("you").focus(); return true; } return false; }

// → { done, text }: what to say. key: what the click means; the same key before an answer is the same click.
export async function post(url, body, key) {
  if (nameMissing()) return { done: false, text: say("you.needed") };
  const request = pending.get(key) ?? newId();
  pending.set(key, request);
  try {
    const answer = await fetch(url, {
      method: "POST", headers: { "Content-Type": "application/json", "X-Tocsin": "board" },
      body: JSON.stringify({ ...body, request, who: who() }), signal: AbortSignal.timeout(10000),
    });
    if (answer.status === 401) { location.href = "/sign-in"; return { done: false, text: "" }; }
    const result = await answer.json();
    if (answer.status < 500) pending.delete(key);
    const done = result.done ?? answer.ok;
    return { done, result, text: done ? say("act.done") : say("act.refused", { why: result.refusal ?? "" }) };
  } catch (error) {
    console.warn("unanswered", url, error);
    if (!unanswered.has(key)) unanswered.set(key, { url, body, until: performance.now() + AGAIN_FOR_MS });
    return { done: false, unknown: true, text: say("act.unknown") };
  }
}

// A click without an answer is not lost: the same click goes again by itself until there is one, and its end is said.
const unanswered = new Map(), AGAIN_MS = 2000, AGAIN_FOR_MS = 600000;
let answered = () => {};
export function whenAnswered(tell) { answered = tell; }
async function againAll() {
  for (const [key, click] of [...unanswered]) {
    if (performance.now() > click.until) { unanswered.delete(key); continue; }
    const outcome = await post(click.url, click.body, key);
    if (outcome.unknown) break;
    unanswered.delete(key); announce(outcome.text); answered(key, outcome);
  }
  setTimeout(againAll, AGAIN_MS);
}
setTimeout(againAll, AGAIN_MS);
export const act = (incident, action, why = "") =>
  post(`/api/incidents/${encodeURIComponent(incident)}/actions`, { action, why }, `${incident}/${action}/${why}`);
export const deed = (incident, what, why = "") =>
  post(`/api/incidents/${encodeURIComponent(incident)}/deeds`, { deed: what, why }, `${incident}/${JSON.stringify(what)}`);
export const siteDeed = (path, route, body) => post(`/api/sites/${path}/${route}`, body, `${path}/${route}/${JSON.stringify(body)}`);
export async function get(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (answer.status === 401) { location.href = "/sign-in"; throw new Error("signed out"); }
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

// --- one dialog for all questions ---------------------------------------------------------------------------

// fields: { name, label, kind: "textarea" | "text" | "number" | "select" | "checks", options: [[value, words]],
// value, optional }. → values by name, or null when cancelled.
export function ask(title, fields) {
  const dialog = make("dialog"); dialog.id = "reason"; dialog.setAttribute("aria-labelledby", "reason-head");
  const form = make("form"); form.method = "dialog";
  const head = make("h2", "", title); head.id = "reason-head";
  form.append(head);
  const inputs = {};
  for (const field of fields) {
    const id = `reason-${field.name}`, label = make("label", "", field.label); label.htmlFor = id;
    let input;
    if (field.kind === "checks") {
      input = make("fieldset"); input.append(make("legend", "", field.label));
      for (const [value, words] of field.options) {
        const box = make("input"); box.type = "checkbox"; box.value = value;
        input.append(make("label", "check", "", box, ` ${words}`));
      }
    } else {
      input = make(field.kind === "textarea" ? "textarea" : field.kind === "select" ? "select" : "input");
      if (field.kind === "textarea") input.rows = 3;
      if (field.kind === "number") { input.type = "number"; input.min = 1; }
      if (field.kind === "select") for (const [value, words] of field.options) {
        const option = make("option", "", words); option.value = value; input.append(option);
      }
      if (field.kind !== "select") input.maxLength = field.max ?? 500;
      if (field.value !== undefined) input.value = field.value;
      input.required = !field.optional; input.id = id;
      form.append(label);
    }
    inputs[field.name] = input; form.append(input);
  }
  const ok = make("button", "primary", say("reason.ok")), cancel = make("button", "", say("reason.cancel"));
  ok.value = "ok"; cancel.value = "cancel"; cancel.formNoValidate = true;
  form.append(make("p", "buttons", "", ok, cancel)); dialog.append(form); document.body.append(dialog);
  dialog.showModal();
  (form.querySelector("textarea, input, select") ?? ok).focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    const done = dialog.returnValue === "ok";
    const values = Object.fromEntries(fields.map((f) => [f.name, f.kind === "checks"
      ? [...inputs[f.name].querySelectorAll(":checked")].map((box) => box.value) : inputs[f.name].value.trim()]));
    dialog.remove();
    resolve(done && fields.every((f) => f.optional || values[f.name].length) ? values : null);
  }, { once: true }));
}
export const options = (prefix, values) => values.map((value) => [value, say(`${prefix}.${value}`)]);

// Drills are said on every page; nothing real is ever behind one.
export function drillBanner(incidents) {
  const drills = incidents.filter((i) => i.drill && OPEN(i)), exercises = drills.filter((i) => !deviceTest(i));
  $("drill").hidden = !drills.length;
  // A detector that somebody tests is no exercise of the brigade: each is called what it is.
  const told = [["drill.banner", exercises], ["test.banner", drills.filter(deviceTest)]].filter(([, list]) => list.length);
  $("drill").textContent = told.map(([key, list]) => say(key, { place: list.slice(0, 3).map(place).join("; ") })).join(" ");
}
export const deviceTest = (i) => Boolean(i.drill && i.alarms?.length && i.alarms.every((a) => a.test));
export const urgent = (i) => LIFE_SAFETY.has(i.hazard) && !i.acknowledged_by && !i.drill && OPEN(i);

// A list drawn again keeps every node that did not change, in its place: a press is never lost because something else
// came in between. items: [{ key, sign, make }]; sign is equal as long as the node would look the same.
export function patch(list, items) {
  const known = list.drawn ?? new Map(), next = new Map();
  items.forEach((item, at) => {
    const kept = known.get(item.key), node = kept && kept.sign === item.sign ? kept.node : item.make();
    if (kept && kept.node !== node && kept.node.isConnected) {
      const key = kept.node.contains(document.activeElement) ? document.activeElement.dataset.key ?? "" : null;
      kept.node.replaceWith(node);
      if (key !== null) ((key && node.querySelector(`[data-key="${CSS.escape(key)}"]`)) || node.querySelector("button"))?.focus({ preventScroll: true });
    }
    next.set(item.key, { sign: item.sign, node });
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
  while (list.children.length > items.length) list.lastElementChild.remove();
  list.drawn = next;
}
