// The labelling page: one clip after another, one key a label, undo. Nothing is saved before the gateway says so.
const NAMES = ["hot_work", "flame", "smoke"];
const $ = (id) => document.getElementById(id);
const state = { clips: [], at: -1, frame: 0, playing: true, chosen: new Set(), texts: {}, busy: false, done: 0 };
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

const say = (key, values = {}) =>
  (state.texts[key] || key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Tocsin-Labelling": "1" },
  };
  const answer = await fetch(path, { cache: "no-store", ...options });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error || answer.statusText), { refused: true });
  return told;
}

function tell(text, bad = false) {
  $("outcome").textContent = text;
  $("outcome").classList.toggle("bad", bad);
}

function clip() { return state.clips[state.at]; }

function described(clipNow) {
  if (clipNow.skipped) return say("labelling.unsure");
  if (!clipNow.labels.length) return say("labelling.said.none");
  const shown = NAMES.filter((_, i) => clipNow.labels[i] === 1).map((n) => say(`labelling.${n}`));
  return (shown.join(", ") || say("labelling.none")) + (clipNow.by ? " — " + clipNow.by : "");
}

function facts(rows) {
  $("facts").replaceChildren(...rows.flatMap(([name, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name; dd.textContent = value;
    return [dt, dd];
  }));
}

function draw() {
  const now = clip();
  $("picture").hidden = !now;
  for (const button of document.querySelectorAll("[data-label], #save, #previous, #next, #pause")) button.disabled = !now;
  if (!now) {
    $("which").textContent = say("labelling.empty");
    facts([]); $("frame").textContent = "";
    return;
  }
  const all = state.clips.length;
  $("which").textContent = `${state.at + 1} / ${all} · ${now.camera}`;
  drawFrame();
  const scores = NAMES.map((n) => `${say(`labelling.${n}`)} ${Math.round(100 * (now.scores[n] ?? 0))} %`).join(", ");
  facts([
    [say("labelling.camera"), now.camera],
    [say("labelling.taken"), new Date(now.taken_us / 1000).toLocaleString(document.documentElement.lang)],
    [say("labelling.why"), say(`labelling.why.${now.reason}`)],
    [say("labelling.model"), scores],
    [say("labelling.said"), described(now)],
  ]);
  for (const button of document.querySelectorAll("[data-label]"))
    button.setAttribute("aria-pressed", String(state.chosen.has(button.dataset.label)));
  $("save").hidden = state.chosen.size === 0;
}

function drawFrame() {
  const now = clip();
  if (!now) return;
  state.frame %= Math.max(1, now.pictures);
  $("picture").src = `/api/labelling/clips/${now.id}/${state.frame}.jpg`;
  $("picture").alt = `${now.camera}, ` + say("labelling.frame", { n: state.frame + 1, all: now.pictures });
  $("frame").textContent = say("labelling.frame", { n: state.frame + 1, all: now.pictures });
}

function drawCounts(counts) {
  state.done = counts.labelled + counts.skipped;
  $("progress").textContent = say("labelling.progress", { done: state.done, all: counts.clips });
  $("bar").value = counts.clips ? state.done / counts.clips : 0;
  $("bar").dataset.done = String(state.done);
  $("counts").textContent = say("labelling.counts", counts);
  $("enough").textContent = counts.clips === 0 ? "" : counts.wanting > 0
    ? say("labelling.more", { n: counts.wanting }) : say("labelling.enough");
}

async function load(keep) {
  try {
    const told = await ask("/api/labelling/clips");
    $("stale").hidden = true;
    state.clips = told.clips;
    if (told.who) { $("you").value = told.who; $("you").readOnly = true; }
    drawCounts(told.counts);
    const found = state.clips.findIndex((c) => c.id === keep);
    state.at = found >= 0 ? found : Math.max(0, state.clips.findIndex(open));
    if (!state.clips.length) state.at = -1;
    draw();
  } catch {
    $("stale").hidden = false;
    setTimeout(() => load(keep), 3000);
  }
}

const open = (c) => !c.labels.length && !c.skipped;

function onward() {
  const after = [...state.clips.slice(state.at + 1), ...state.clips.slice(0, state.at)];
  const next = after.find(open);
  state.chosen.clear();
  state.frame = 0;
  if (next) state.at = state.clips.indexOf(next);
  draw();
  return Boolean(next);
}

async function label(names, skip = false) {
  const now = clip(), who = $("you").value.trim();
  if (!now || state.busy) return;
  if (!who) { tell(say("labelling.you.needed"), true); $("you").focus(); return; }
  state.busy = true;
  try {
    // Smoke beside a fire or an arc is left open unless it was chosen: one key says what is seen, not what is not.
    const labels = skip ? [] : NAMES.map((n) => (names.length && n === "smoke" && !names.includes(n) ? -1
      : Number(names.includes(n))));
    const told = await ask(`/api/labelling/clips/${now.id}`, { labels, skip, by: who });
    Object.assign(now, told.clip);
    drawCounts(told.counts);
    tell(say("labelling.saved", { what: described(now) }));
    if (!onward()) tell(say("labelling.all_done"));
    $("stale").hidden = true;
  } catch (error) {
    if (error.refused) tell(say("labelling.refused", { why: error.message }), true);
    else $("stale").hidden = false;
  } finally { state.busy = false; }
}

async function undo() {
  const who = $("you").value.trim();
  if (!who) { tell(say("labelling.you.needed"), true); $("you").focus(); return; }
  try {
    const told = await ask("/api/labelling/undo", { by: who });
    tell(say(told.clip ? "labelling.undone" : "labelling.nothing"));
    if (told.clip) { state.chosen.clear(); state.frame = 0; await load(told.clip); }
  } catch { $("stale").hidden = false; }
}

function step(by) {
  if (!state.clips.length) return;
  state.at = (state.at + by + state.clips.length) % state.clips.length;
  state.frame = 0;
  state.chosen.clear();
  draw();
}

function choose(name, several) {
  if (name === "unsure") return label([], true);
  if (name === "none") return label([]);
  if (!several) return label([name]);
  if (!state.chosen.delete(name)) state.chosen.add(name);
  return draw();
}

function pause() {
  state.playing = !state.playing;
  $("pause").setAttribute("aria-pressed", String(!state.playing));
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, summary");
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  const digit = /^(?:Digit|Numpad)([0-3])$/.exec(event.code)?.[1];
  const name = digit === undefined ? { s: "unsure" }[event.key.toLowerCase()] : ["none", ...NAMES][Number(digit)];
  if (name) choose(name, event.shiftKey);
  else if (event.key.toLowerCase() === "u") undo();
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === " " && !event.target.matches("button, a")) pause();
  else if (event.key === "Enter" && state.chosen.size && !event.target.matches("button, a")) label([...state.chosen]);
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-label]"))
  button.addEventListener("click", (event) => choose(button.dataset.label, event.shiftKey));
$("save").addEventListener("click", () => label([...state.chosen]));
$("undo").addEventListener("click", undo);
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("pause").addEventListener("click", pause);
$("you").value = localStorage.getItem("tocsin-labelling-name") || "";
$("you").addEventListener("change", () => localStorage.setItem("tocsin-labelling-name", $("you").value.trim()));
$("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
if (still) pause();
setInterval(() => { if (state.playing && clip()?.pictures > 1) { state.frame += 1; drawFrame(); } }, 400);

const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
state.texts = await (await fetch(`/labelling/texts/${language}.json`)).json();
await load("");
