// The local page of a gateway. It asks each 2 s; without an answer for 6 s it says STALE and greys itself.
import { plot } from "/static/plot.js";
import { DISPLAY } from "/static/units.js";
import { anchor, clockTime, duration, shownUs } from "/static/shown_time.js";

const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const el = (id) => document.getElementById(id);
const say = (key, values = {}) => (texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const ASK_MS = 1500;
const STALE_MS = 4000; // a cut is said within 5 s
let texts = {}, phrases = {}, csrf = "", who = "", anybody = false, answeredAt = 0, last = null, pending = null;

const in_words = (text) => (text ? text[lang] || text.en : "");
// What the gateway says in both languages stands as "English · 中文".
const translated = (english) => {
  const both = /^([^\u4e00-\u9fff]+) · (.*[\u4e00-\u9fff].*)$/s.exec(english);
  return both ? both[lang === "zh" ? 2 : 1] : phrases[english] || english;
};
const viewed = [], signings = [];
function onView(done) { viewed.push(done); if (last) { done(last, anybody); ages(); } }
function onSigned(done) { signings.push(done); done(who); }
const person = () => who;
function make(tag, options = {}, ...children) {
  const { className, text, ...attributes } = options;
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

async function ask() {
  try {
    const response = await fetch("/api/view", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const view = await response.json();
    if (view.answers) { answeredAt = performance.now(); last = view; anchor(view.at_us, view.speed); show(view); }
  } catch { /* the banner below says it */ }
  alive();
}
function alive() {
  const fresh = answeredAt && performance.now() - answeredAt < STALE_MS;
  el("link").textContent = say(fresh ? "local.live" : "local.stale");
  el("link").className = "link " + (fresh ? "live" : "stale");
  document.body.classList.toggle("stale-page", !fresh);
  el("stale").hidden = Boolean(fresh);
  if (!fresh) el("stale").textContent = last ? say("local.stale.long", { time: clockTime(last.at_us) }) : say("local.never");
}

// A list is rebuilt only when it changed, and focus goes back to the same control, or nobody could use the keyboard.
const shown = {};
function fill(id, children, key) {
  if (shown[id] === key) return;
  shown[id] = key;
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : undefined;
  el(id).replaceChildren(...children());
  if (focused) { const again = el(id).querySelector(`[data-key="${CSS.escape(focused)}"]`); if (again) again.focus(); }
}
function action(name, target, label) {
  const button = make("button", { type: "button", text: say(`local.${name}`), "aria-label": `${say(`local.${name}`)}: ${label}` });
  button.dataset.key = `${name}:${target}`;
  button.addEventListener("click", () => act(name, target));
  return button;
}
function show(view) {
  el("site").textContent = `${in_words(view.site)} · ${view.gateway}`;
  document.title = `${view.alarms.length ? `(${view.alarms.length}) ` : ""}${in_words(view.site)}`;
  el("n-alarms").textContent = view.alarms.length || "";
  el("n-lacks").textContent = view.lacks.length || "";
  fill("alarms", () => view.alarms.length ? view.alarms.map(alarm) : [make("li", { className: "empty", text: say("local.alarms.none") })],
    JSON.stringify([view.alarms, who]));
  fill("outputs", () => view.outputs.length ? [...view.outputs.map(output), ...silenceAll(view)]
    : [make("li", { text: say("local.outputs.none") })], JSON.stringify([view.outputs, who]));
  fill("lacks", () => view.lacks.length ? view.lacks.map(lack) : [make("li", { text: say("local.impairments.none") })],
    JSON.stringify(view.lacks));
  fill("state", () => [
    make("li", { text: say("local.devices", { alive: view.devices_alive, expected: view.devices_expected }) }),
    make("li", { className: view.cloud === "down" ? "warn" : "", text: say(`local.cloud.${view.cloud}`) }),
    ...(view.backlog ? [make("li", { text: say("local.waiting", { count: view.backlog }) })] : []),
    ...(view.journal_ok ? [] : [make("li", { className: "warn", text: say("local.journal.bad") })]),
  ], JSON.stringify([view.devices_alive, view.devices_expected, view.cloud, view.backlog, view.journal_ok]));
  fill("values", () => devices(view.points), JSON.stringify(view.points.map((p) => [p.point, p.value, p.quality])));
  el("clock").hidden = view.clock_set !== false;
  for (const done of viewed) done(view, anybody);
  ages();
}
function alarm(one) {
  const card = make("li", { className: `card ${one.severity}` });
  const age = make("time", { className: "age" }); age.dataset.since = one.since_us;
  const title = in_words(one.title);
  card.append(make("div", { className: "line" }, make("span", { className: `tag ${one.severity}`, text: say(`hazard.${one.hazard}`) }),
    make("b", { text: title }), age));
  card.append(make("div", { className: "place", text: [in_words(one.zone), one.subject].filter(Boolean).join(" · ") }));
  const more = [say(`alarm.${one.state}`)];
  if (one.acknowledged_by) more.push(say("local.acknowledged_by", { who: one.acknowledged_by }));
  card.append(make("div", { className: "more", text: more.join(" · ") }));
  const buttons = make("div", { className: "actions" });
  if (!one.acknowledged_by) buttons.append(action("acknowledge", one.id, title));
  buttons.append(action("reset", one.id, title));
  if (anybody) card.append(buttons);
  return card;
}
// An alarm by its title, where it is open; what a person did by hand by name and reason.
function causeOf(cause) {
  const known = last && last.alarms.find((one) => one.id === cause);
  return known ? in_words(known.title) : cause.replace(/^by hand: /, `${say("deed.hand")} · `);
}
function output(one) {
  const row = make("li", { className: one.on ? "on" : "" });
  const words = [say(one.on ? "local.on" : "local.off")];
  if (one.inhibited) words.push(say("deed.inhibited"));
  if (one.on && one.proof) words.push(say(`local.proof.${one.proof}`));
  row.append(make("div", { className: "grow" }, make("b", { text: one.id }), " ", make("small", { text: in_words(one.purpose) })),
    make("span", { className: `tag ${one.on ? "critical" : ""}`, text: words.join(" · ") }));
  if (one.on) {
    const more = make("small", { className: "full", text: [say(one.confirmed ? "deed.confirmed" : "deed.commanded"), say("deed.because", { why: causeOf(one.cause) })].join(" · ") });
    if (one.until_us) more.append(" · ", make("span", { "data-until": one.until_us, "data-words": say("deed.hand.left") }));
    row.append(more);
  }
  if (anybody && one.may_hand) {
    const button = make("button", { type: "button", text: say(`deed.switch.${one.may_hand}`), "aria-label": `${say(`deed.switch.${one.may_hand}`)} ${one.id}` });
    button.dataset.key = `hand:${one.id}`; button.dataset.hand = one.may_hand; button.dataset.output = one.id; button.dataset.trip = one.audible ? "" : "1";
    row.append(button);
  }
  if (anybody && one.on) row.append(action(one.audible ? "silence" : "reset", one.id, one.id));
  return row;
}
function silenceAll(view) {
  if (!anybody || view.outputs.filter((o) => o.on && o.audible).length < 2) return [];
  const button = make("button", { type: "button", text: say("local.silence.all") });
  button.dataset.key = "silence:all";
  button.addEventListener("click", () => act("silence", "all"));
  return [make("li", {}, button)];
}
function lack(one) {
  const why = [one.why && translated(one.why), one.who].filter(Boolean).join(" · ");
  return make("li", {}, make("span", { className: "tag warning", text: say(`impairment.${one.kind}`) }),
    make("div", { className: "grow" }, make("b", { text: one.subject }), " ", make("small", { text: [in_words(one.zone), why].filter(Boolean).join(" · ") })),
    make("small", { text: `${say("local.since")} ${new Date(one.since_us / 1000).toLocaleString(document.documentElement.lang, { hour12: false })}` }));
}
function devices(points) {
  const groups = new Map();
  for (const point of points) groups.set(point.device, [...(groups.get(point.device) || []), point]);
  return [...groups].map(([device, of]) => make("article", { className: "device" },
    make("h3", { text: [in_words(of[0].place) || device, in_words(of[0].zone)].filter(Boolean).join(" · ") }),
    make("ul", {}, ...of.map((point) => make("li", {}, value(point))))));
}
function value(point) {
  const button = make("button", { type: "button", title: point.point });
  button.dataset.key = `plot:${point.point}`;
  const bad = point.value === null || point.value === undefined;
  const unit = point.unit in DISPLAY ? DISPLAY[point.unit] : point.unit;
  const number = typeof point.value === "number" ? Math.round(point.value * 1000) / 1000 : point.value;
  const text = bad ? say(`local.quality.${point.quality}`) : typeof point.value === "boolean" ? say(point.value ? "local.yes" : "local.no") : `${number} ${unit}`;
  button.append(make("span", { text: in_words(point.name) }),
    make("b", { className: bad ? "none" : point.quality === "uncertain" ? "doubt" : "", text }));
  button.addEventListener("click", () => showPlot(point));
  return button;
}
function ages() {
  for (const node of document.querySelectorAll("[data-until]")) {
    const left = Number(node.dataset.until) - shownUs();
    node.textContent = left > 0 ? `${node.dataset.words} ${duration(left, texts)}` : node.dataset.over || say("deed.over");
  }
  for (const node of document.querySelectorAll("[data-since]")) node.textContent = duration(shownUs() - Number(node.dataset.since), texts);
}

async function showPlot(point) {
  const name = [in_words(point.place) || point.device, in_words(point.name)].join(" · ");
  let samples = [];
  try { samples = await (await fetch(`/api/plot?point=${encodeURIComponent(point.point)}`, { cache: "no-store" })).json(); } catch { /* empty */ }
  const known = samples.filter((s) => s.value !== null).length;
  el("plot-box").replaceChildren(known > 1 ? plot({ unit: point.unit, samples }, 0, name, clockTime)
    : make("p", { text: `${name}: ${say("local.plot.none")}` }));
  el("plot").showModal();
}

async function post(path, body) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body), cache: "no-store",
    headers: { "content-type": "application/json", "x-tocsin": "local", "x-tocsin-csrf": csrf } });
  return [response.status, await response.json()];
}
function outcome(text, good) { el("outcome").textContent = text; el("outcome").className = `outcome ${good ? "ok" : "bad"}`; }
const fresh = () => crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(36).slice(2)}`;
async function act(name, target, request = fresh()) { await deed("/api/act", { action: name, target, request }, say(`local.${name}`)); }
// One deed of a named person: asks for the PIN first, repeats under the same id, says what became of it. True: done.
async function deed(path, body, label) {
  const again = () => deed(path, body, label);
  if (!who) { pending = again; openPin(); return false; }
  let done = false;
  try {
    const [status, answer] = await post(path, body);
    if (status === 403 && answer.refusal !== "role") { signed("", ""); outcome(say("local.session_over"), false); pending = again; openPin(); return false; }
    done = !answer.refusal;
    if (done) outcome(say("local.done", { what: `${label} · ${translated(answer.done)}` }), true);
    else outcome(say("local.refused", { why: answer.refusal === "role" ? say("deed.role") : translated(answer.refusal) }), false);
  } catch { outcome(say("act.unknown"), false); }
  await ask();
  return done;
}
// The dialog opens for whoever is signed in; else the PIN is asked for first.
function asSomebody(go) { if (who) go(); else { pending = go; openPin(); } }
function openPin() { el("pin-wrong").textContent = ""; el("pin-pin").value = ""; el("pin").showModal(); el(el("pin-name").value ? "pin-pin" : "pin-name").focus(); }
function signed(name, token) {
  who = name; csrf = token;
  el("who").textContent = who ? say("local.signed_in", { who }) : "";
  el("sign").textContent = say(who ? "local.sign_out" : "local.sign_in");
  el("sign").hidden = !anybody;
  for (const done of signings) done(who);
}
el("pin").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  el("pin-go").disabled = true;
  try {
    const [status, answer] = await post("/api/sign-in", { name: el("pin-name").value, pin: el("pin-pin").value });
    if (status === 200) {
      signed(answer.who, answer.csrf); el("pin").close();
      if (pending) { const go = pending; pending = null; go(); }
    } else {
      el("pin-wrong").textContent = status === 429 ? say("local.pin.locked", { minutes: answer.minutes }) : status === 403 ? say("local.pin.wrong")
        : say("local.refused", { why: answer.refusal });
      el("pin-pin").value = ""; el("pin-pin").focus();
    }
  } catch { el("pin-wrong").textContent = say("act.unknown"); }
  el("pin-go").disabled = false;
});
el("pin-cancel").addEventListener("click", () => { pending = null; el("pin").close(); });
el("plot-close").addEventListener("click", () => el("plot").close());
el("sign").addEventListener("click", async () => {
  if (!who) { openPin(); return; }
  try { await post("/api/sign-out", {}); } catch { /* it ends by itself */ }
  signed("", "");
});
el("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("tocsin_theme", document.documentElement.dataset.theme); } catch { /* private window */ }
});

export { asSomebody, clockTime, deed, duration, el, fill, fresh, in_words, lang, make, onSigned, onView, person, say, shownUs, texts, translated, DISPLAY };
try { const kept = localStorage.getItem("tocsin_theme"); if (kept) document.documentElement.dataset.theme = kept; } catch { /* private window */ }
texts = await (await fetch(`/texts/${lang}.json`)).json();
phrases = await (await fetch(`/phrases/${lang}.json`)).json();
const session = await (await fetch("/api/session", { cache: "no-store" })).json();
anybody = session.anybody; el("nobody").hidden = anybody;
signed(session.who, session.csrf);
await ask();
setInterval(ask, ASK_MS);
setInterval(() => { alive(); ages(); }, 1000);
