// The last sweep: how many of how many, in time or not, who is dead, who was longest unseen. Asked anew each 5 s.
import { ask, begin, el, make, refused, say, session, tell } from "/static/vision_common.js";

const ASK_MS = 5000;
let view = null, shown = "";

function age(seconds) {
  if (seconds < 120) return say("sweep.age.s", { n: Math.max(0, Math.round(seconds)) });
  if (seconds < 7200) return say("sweep.age.min", { n: Math.round(seconds / 60) });
  return say("sweep.age.h", { n: Math.round(seconds / 3600) });
}
const seconds = (value) => Math.round(value * 10) / 10;
const classes = (names) => names.map((name) => say(`vision.class.${name}`)).join(", ");
const news = (row) => row.outcome !== "seen" || row.state !== "well" || row.alarms.length > 0 || row.decided.length > 0;

function sums() {
  if (!view.began_us) return [make("li", { text: say("sweep.none") })];
  const whole = view.swept === view.cameras;
  const items = [
    make("li", { class: whole ? "good" : "bad", text: say("sweep.visited", view) }),
    make("li", { text: say("sweep.seen", view) }),
    make("li", { class: view.kept ? "good" : "bad", text: say(view.kept ? "sweep.kept" : "sweep.late", { s: seconds(view.sweep_s), period: view.period_s }) }),
    make("li", { text: say("sweep.ago", { age: age((view.at_us - view.began_us) / 1e6) }) }),
  ];
  if (view.longest) items.push(make("li", { text: say("sweep.fair", { camera: view.longest, age: age(view.longest_s) }) }));
  if (view.unseen) items.push(make("li", { class: "bad", text: say("sweep.never", { count: view.unseen }) }));
  return items;
}
function words(row) {
  const parts = [say(`sweep.outcome.${row.outcome}`)];
  if (row.outcome === "seen" && row.state !== "well") parts.push(say(`sweep.state.${row.state}`));
  if (row.missed > 1) parts.push(say("sweep.missed", { count: row.missed }));
  if (row.decided.length) parts.push(say("sweep.decided", { what: classes(row.decided) }));
  else if (row.alarms.length) parts.push(say("sweep.suspicious", { what: classes(row.alarms) }));
  if (row.seen_us) parts.push(`${say("sweep.seen_at")}: ${say("sweep.ago", { age: "" }) && age((view.at_us - row.seen_us) / 1e6)}`);
  return parts.join(" · ");
}
function line(row) {
  const bad = row.outcome !== "seen" || row.decided.length > 0;
  const item = make("li", { class: bad ? "bad" : news(row) ? "doubt" : "" },
    make("div", { class: "grow" }, make("b", { text: row.camera }), make("br"), make("small", { text: words(row) })));
  if (row.picture) {
    const look = make("button", { type: "button", text: say("sweep.look"), "aria-label": `${say("sweep.look")}: ${row.camera}` });
    look.addEventListener("click", () => open(row.camera));
    item.append(look);
  }
  return item;
}
function draw() {
  const filter = el("filter").value;
  const rows = view.rows.filter((row) => filter === "all" || (filter === "dead" ? row.outcome !== "seen" : news(row)));
  const key = JSON.stringify([filter, view.began_us, Math.floor(view.at_us / 6e7), session.who]);
  if (key === shown) return; // rebuilt only when something changed, or nobody could use the keyboard
  shown = key;
  el("sums").replaceChildren(...sums());
  const late = view.began_us > 0 && view.at_us - view.began_us > 2e6 * view.period_s;
  el("late").hidden = !late; el("late").textContent = late ? say("sweep.old") : "";
  el("coarse").hidden = view.blurs || !view.began_us;
  el("well").hidden = rows.length > 0 || !view.began_us;
  el("rows").replaceChildren(...rows.slice(0, 500).map(line));
}
function open(camera) {
  if (!session.who) { tell(say("vision.sign"), true); el("sign").focus(); return; }
  const picture = el("look-picture");
  el("look-title").textContent = camera;
  picture.alt = say("vision.picture.alt", { camera });
  picture.onerror = async () => {
    el("look").close();
    try { await ask(picture.getAttribute("src")); } catch (error) { tell(refused(error), true); }
  };
  picture.src = `/api/sweep/${camera}.jpg?at=${Date.now()}`;
  el("look").showModal();
}
async function refresh() {
  try { view = await ask("/api/sweep"); draw(); } catch { /* the banner says it */ }
}
async function start() {
  await begin();
  el("filter").addEventListener("change", draw);
  el("look-close").addEventListener("click", () => { el("look").close(); el("look-picture").removeAttribute("src"); });
  await refresh();
  setInterval(refresh, ASK_MS);
}
start();
