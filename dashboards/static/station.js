// The micro fire station's phone: receive, acknowledge, arrive, report with a photo. Works on when the net does not.
import { $, LIFE_SAFETY, OPEN, RANK, ageOf, announce, begin, button, deviceTest, drillBanner, follow, make, name, patch, place, say, store, stored, tag } from "./live.js";
import { clockTime, shownUs } from "./shown_time.js";
import { attendTick, setUpAttention } from "./attention.js";
import { Outbox } from "./outbox.js";
import { alarmSound, soundOn } from "./sound.js";

const PHOTO_SIDE = 1600, PHOTO_BYTES_MAX = 1.5e6, KEPT_MAX = 40;
const state = { incidents: new Map(), kept: 0, form: "", seen: new Set(), live: false };
const outbox = new Outbox(() => { drawQueue(); });
const unit = () => $("unit").value.trim();
const nowUs = () => Math.round(state.live ? shownUs() : Date.now() * 1000);
const who = () => $("you")?.value.trim() || stored("tocsin.you") || unit();

// --- what waits -------------------------------------------------------------------------------------------------

function drawQueue() {
  const waits = outbox.entries.filter((e) => !e.refused), refused = outbox.entries.filter((e) => e.refused), line = $("queue");
  line.textContent = [waits.length ? say("station.waiting", { n: waits.length }) : say("station.sent"), outbox.offline && waits.length ? say("station.offline") : ""].filter(Boolean).join(" ");
  line.classList.toggle("waits", waits.length > 0);
  $("waiting").replaceChildren(...waits.map((e) => make("li", "quiet", `${clockTime(e.at_us)} · ${words(e)} · ${e.place}`)),
    ...refused.map((e) => make("li", "warn", `${say("station.refused", { what: `${words(e)}, ${clockTime(e.at_us)}`, why: e.refused })} `, button(say("station.drop"), () => outbox.drop(e)))));
}
const words = (e) => (e.deed.type === "unit_says" ? say(`station.${e.deed.move}`) : e.deed.type === "do_task" ? say("station.taskdone") : say("station.report")) + (e.photo ? ` + ${say("station.photo")}` : "");

async function keep(i, deed, photo = null) {
  if (!unit()) { $("unit").focus(); announce(say("station.unit")); return false; }
  const done = await outbox.add({ incident: i.id, place: place(i), deed, photo, who: who(), at_us: nowUs() });
  if (!done) { announce(say("station.full")); $("queue").textContent = say("station.full"); }
  draw();
  return done;
}

// --- alarms -----------------------------------------------------------------------------------------------------

const moveOf = (i) => {
  const waiting = outbox.entries.filter((e) => e.incident === i.id && e.deed.type === "unit_says" && !e.refused).at(-1);
  return waiting?.deed.move ?? (i.handling?.units ?? []).filter((u) => u.unit === unit()).at(-1)?.move ?? "";
};
const mine = () => [...state.incidents.values()].filter((i) => OPEN(i) && (LIFE_SAFETY.has(i.hazard) || (i.handling?.tasks ?? []).some((t) => !t.done_us)))
  .sort((a, b) => Number(a.drill ?? false) - Number(b.drill ?? false) || RANK[b.severity] - RANK[a.severity] || b.opened_us - a.opened_us);
const calls = (i) => LIFE_SAFETY.has(i.hazard) && !i.drill && !moveOf(i) && ["new", "reopened", "confirmed", "dispatched"].includes(i.state);

function draw() {
  const list = mine(), active = document.activeElement;
  drillBanner(list);
  for (const i of list) if (calls(i) && !state.seen.has(i.id)) { state.seen.add(i.id); announce(`${say(`hazard.${i.hazard}`)}: ${place(i)}`); if (soundOn()) navigator.vibrate?.([400, 200, 400, 200, 400]); }
  alarmSound(list.some(calls));
  // A form that somebody writes in stays as it is, and so does all that did not change.
  if (state.form && active?.closest("form.report")) return;
  const items = list.map((i) => ({ key: i.id, sign: JSON.stringify([i, moveOf(i), state.form]), make: () => card(i) }));
  patch($("alarms"), items.length ? items : [{ key: "", sign: "none", make: () => make("li", "empty", say("station.none")) }]);
  drawQueue();
}

function card(i) {
  const one = make("li", `card ${i.severity}${calls(i) ? " open-new" : ""}${i.drill ? " drill" : ""}`), move = moveOf(i), acts = make("p", "buttons");
  one.append(make("span", "line", "", ...(i.drill ? [tag(say(deviceTest(i) ? "test" : "drill"), "drill")] : []), tag(say(`severity.${i.severity}`), i.severity), tag(say(`state.${i.state}`)), ...(move ? [tag(say(`unit.${move}`), "good")] : []), ageOf(i.opened_us)),
    make("h2", "", `${say(`hazard.${i.hazard}`)} — ${name(i.zone_name) || i.zone}`), make("p", "", place(i)), make("p", "quiet", [name(i.address), name(i.access_note)].filter(Boolean).join(" · ")));
  const say_ = (key, moved, primary) => { const node = button(say(`station.${key}`), () => moves(i, moved), primary ? "primary" : ""); node.dataset.key = `${key}-${i.id}`; acts.append(node); };
  if (!move || move === "left") say_("coming", "coming", true);
  if (move === "coming") say_("arrived", "arrived", true);
  if (move === "arrived") say_("left", "left", false);
  const report = button(say("station.report"), () => { state.form = state.form === i.id ? "" : i.id; draw(); }); report.dataset.key = `report-${i.id}`; report.setAttribute("aria-expanded", String(state.form === i.id));
  const plan = make("a", "button", say("station.plan")); plan.href = `/incidents/${encodeURIComponent(i.id)}`;
  acts.append(report, plan); one.append(acts);
  for (const t of (i.handling?.tasks ?? []).filter((task) => !task.done_us && task.due_us)) {
    const node = button(say("station.taskdone"), () => { state.form = `${i.id}|${t.id}`; draw(); }); node.dataset.key = `task-${t.id}`;
    one.append(make("p", shownUs() > t.due_us ? "bad" : "", `${name(t.title)} — ${t.person} · ${say("task.until", { time: clockTime(t.due_us) })} `, node));
    if (state.form === `${i.id}|${t.id}`) one.append(form(i, t));
  }
  if (state.form === i.id) one.append(form(i, null));
  return one;
}

async function moves(i, move) {
  const said_us = nowUs(); // when it was pressed, however long the phone looks for its position
  const position = move === "arrived" ? await here() : null;
  await keep(i, { type: "unit_says", unit: unit(), move, said_us, ...(position ? { position } : {}) });
}

function form(i, task) {
  const one = make("form", "report"), text = make("textarea"), photo = make("input"), said = make("p", "outcome");
  text.rows = 3; text.maxLength = 500; text.id = "report-text"; photo.type = "file"; photo.accept = "image/*"; photo.setAttribute("capture", "environment"); photo.id = "report-photo"; said.setAttribute("role", "status");
  const label = (id, words_) => { const node = make("label", "", words_); node.htmlFor = id; return node; };
  const send = make("button", "primary", say("station.send"));
  one.append(label("report-text", say(task ? "action.task" : "station.text")), text, label("report-photo", say("station.photo")), photo, send, said);
  one.onsubmit = async (e) => {
    e.preventDefault(); send.disabled = true;
    try {
      const picture = photo.files[0] ? await smaller(photo.files[0]) : null;
      const position = await here();
      if (!text.value.trim() && !picture) { said.textContent = say("station.text"); return; }
      const at = { ...(position ? { position } : {}) };
      const deed = task ? { type: "do_task", task: task.id, result: text.value.trim() || say("station.photo"), proof: at } : { type: "report_scene", text: text.value.trim(), said_us: nowUs(), ...at };
      state.form = "";
      if (!await keep(i, deed, picture)) { state.form = task ? `${i.id}|${task.id}` : i.id; said.textContent = say("station.full"); } else $("queue").focus?.();
      document.activeElement?.blur?.(); draw();
    } catch (error) { said.className = "outcome bad"; said.textContent = error.message; } finally { send.disabled = false; }
  };
  return one;
}

// The picture as a smaller JPEG; drawing it anew leaves everything but the picture behind.
async function smaller(file) {
  const picture = await createImageBitmap(file);
  for (const [side, quality] of [[PHOTO_SIDE, 0.8], [1200, 0.7], [900, 0.6]]) {
    const scale = Math.min(1, side / Math.max(picture.width, picture.height)), canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale)); canvas.height = Math.max(1, Math.round(picture.height * scale));
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
    if (blob && blob.size <= PHOTO_BYTES_MAX) return blob;
  }
  throw new Error(say("station.large"));
}

function here() {
  return new Promise((resolve) => {
    if (!navigator.geolocation) { resolve(null); return; }
    navigator.geolocation.getCurrentPosition((p) => resolve({ latitude: p.coords.latitude, longitude: p.coords.longitude, datum: "WGS-84" }),
      (error) => { announce(say("station.noposition", { why: error.message })); resolve(null); }, { enableHighAccuracy: true, timeout: 6000, maximumAge: 30000 });
  });
}

// --- data: live, or what this phone kept ------------------------------------------------------------------------

function kept() {
  const cards = mine().slice(0, KEPT_MAX);
  store("tocsin.station.alarms", JSON.stringify({ at: Date.now(), cards }));
}
function fromPhone() {
  try {
    const { at, cards } = JSON.parse(stored("tocsin.station.alarms") ?? "null") ?? {};
    if (!cards || state.live) return;
    state.incidents = new Map(cards.map((i) => [i.id, i]));
    $("queue").dataset.kept = at; draw();
    $("alarms").drawn = new Map();
    const note = make("li", "quiet", say("station.kept", { time: new Date(at).toLocaleTimeString(document.documentElement.lang, { hour12: false }) })); $("alarms").prepend(note);
  } catch (error) { console.warn("station: nothing kept", error); }
}

await begin();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/station-worker.js", { scope: "/station" })
  .then(() => navigator.serviceWorker.ready)
  // The page, its scripts and texts came before this worker did, and all are here by now: hand it what it needs.
  .then((ready) => ready.active?.postMessage({ keep: ["/station", ...performance.getEntriesByType("resource").map((e) => new URL(e.name)).filter((u) => /^[/](static|texts|phrases)[/]/.test(u.pathname)).map((u) => u.pathname)] })).catch((error) => console.warn("station: no worker", error));
setUpAttention();
$("unit").value = stored("tocsin.unit") ?? "";
$("unit").oninput = () => { store("tocsin.unit", $("unit").value); draw(); };
await outbox.open();
fromPhone();
await follow({
  board(board) { state.live = true; state.incidents = new Map(board.incidents.map((i) => [i.id, i])); draw(); kept(); },
  incident(card_) { if (OPEN(card_)) state.incidents.set(card_.id, card_); else state.incidents.delete(card_.id); draw(); kept(); },
  tick: attendTick,
});
