// The profile editor: text, its mistakes at their lines, a preview of its map, and the device that it makes.
import { markup } from "./tester_device.js";
import { drawLooks, drawRun, drawTopics } from "./tester_profile_parts.js";

const CHECK_AFTER_MS = 300, LOOK_EVERY_MS = 700, SILENT_MS = 4000, DRAFT = "tocsin.profile.draft";
const $ = (id) => document.getElementById(id);
const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const token = document.querySelector("meta[name=tocsin-token]").content;
const state = { t: {}, rows: [], samples: {}, asked: 0, wrong: [], kept: "", heard: performance.now(), running: false };
const say = (key, values = {}) => Object.entries(values).reduce(
  (text, [name, value]) => text.replaceAll(`{${name}}`, value), state.t[key] ?? key);
const ctx = { say, language, state, set: (point, value) => deed("set", { point, value }), sample, goTo };

async function start() {
  state.t = await (await fetch(`/texts/${language}.json`)).json();
  await list();
  setUp();
  const wanted = new URLSearchParams(location.search).get("profile");
  const draft = wanted ? "" : localStorage.getItem(DRAFT);
  if (wanted) await open(wanted);
  else if (draft) { put(draft, ""); $("restored").hidden = false; }
  setInterval(watch, LOOK_EVERY_MS);
  watch();
}

async function list() {
  const told = await (await fetch("/api/profiles", { cache: "no-store" })).json();
  state.rows = told.rows;
  state.textMax = told.text_max;
  $("known").replaceChildren(...told.rows.map((row) => markup("option", { value: row.own ? `${row.id} *` : row.id },
    [row.own ? say(row.broken ? "profile.broken" : "profile.own") : "", language === "zh" ? row.zh : row.en, row.device_class, row.protocol].filter(Boolean).join(" · "))));
  $("save").hidden = !told.folder;
  $("folder").textContent = told.folder ? say("profile.folder", { folder: told.folder }) : say("profile.no_folder");
}

async function get(query) {
  const answer = await fetch(`/api/profiles/text?${new URLSearchParams(query)}`, { cache: "no-store" });
  const told = await answer.json();
  if (!answer.ok) { tell(say("act.refused", { why: told.refusal }), true); return null; }
  return told.text;
}

async function open(typed) {
  const own = typed.endsWith("*"), name = typed.replace(/\s*\*$/, "").trim();
  const row = state.rows.find((it) => it.id === name && it.own === own) ?? state.rows.find((it) => it.id === name);
  if (!row) { tell(say("profile.unknown", { name }), true); return; }
  const text = await get({ name: row.id, own: row.own });
  if (text === null) return;
  $("which").value = row.own ? `${row.id} *` : row.id;
  put(text, text);
  tell(say("profile.opened", { name }), false);
}

function put(text, kept) {
  state.samples = {};
  state.kept = kept;
  $("text").value = text;
  $("text").scrollTop = 0;
  $("restored").hidden = true;
  changed();
  check();
}

// --- checked as it is typed ---------------------------------------------------------------------------------------

let waiting = 0;
function changed() {
  const text = $("text").value;
  if (text !== state.kept && text) localStorage.setItem(DRAFT, text); else localStorage.removeItem(DRAFT);
  $("replace").hidden = true;
  gutter();
  clearTimeout(waiting);
  verdict("checking", "");
  waiting = setTimeout(check, CHECK_AFTER_MS);
}

async function check() {
  clearTimeout(waiting);
  const text = $("text").value, asked = ++state.asked;
  if (!text.trim()) { state.wrong = []; marks(); $("findings").replaceChildren(); verdict("none", ""); return; }
  let told;
  try {
    const answer = await post("look", { text, samples: state.samples });
    told = await answer.json();
    if (!answer.ok) throw new Error(told.refusal);
  } catch {
    if (asked === state.asked) { verdict("unchecked", "bad"); waiting = setTimeout(check, 2000); }
    return;
  }
  if (asked !== state.asked) return; // an answer to an older text
  state.wrong = told.findings;
  marks();
  $("findings").replaceChildren(...told.findings.map((it) => markup("li", {}, markup("button", { type: "button", onclick: () => goTo(it.line, it.column) },
    markup("strong", {}, it.line ? `${say("profile.line", { line: it.line })} ` : ""), `${it.what} — ${it.remedy}`))));
  verdict(told.ok ? "good" : "bad", told.ok ? "good" : "bad", { count: told.findings.length, points: told.points.length });
  $("preview").classList.toggle("old", !told.ok && !$("looks").hidden);
  if (!told.ok) { $("preview-state").textContent = say($("looks").hidden ? "profile.preview.none" : "profile.preview.old"); return; }
  $("preview-state").textContent = say("profile.preview.now", { id: told.id, protocol: told.protocol });
  $("remarks").replaceChildren(...told.remarks.map((it) => markup("li", {}, it)));
  drawTopics(ctx, $("topics"), told.topics);
  drawLooks(ctx, $("looks"), $("points"), told.points);
}

function verdict(key, kind, values = {}) {
  const words = say(`profile.state.${key}`, values);
  if ($("verdict").textContent !== words) $("verdict").textContent = words;
  $("verdict").className = `verdict ${kind}`;
}

function sample(name, text) {
  state.samples[name] = text;
  check();
}

function goTo(line, column = 1) {
  const field = $("text"), lines = field.value.split("\n"), at = Math.max(1, line);
  const before = lines.slice(0, at - 1).reduce((sum, it) => sum + it.length + 1, 0);
  field.focus();
  const from = before + Math.max(0, Math.min(column - 1, lines[at - 1]?.length ?? 0));
  field.setSelectionRange(from, before + (lines[at - 1]?.length ?? 0));
  field.scrollTop = Math.max(0, (at - 6) * lineHeight());
  field.scrollIntoView({ block: "nearest" });
}

let width = 0; // of one character of the text's font
function character() {
  const paper = document.createElement("canvas").getContext("2d");
  paper.font = getComputedStyle($("text")).font;
  width ||= paper.measureText("0").width;
  return width;
}

const lineHeight = () => Number.parseFloat(getComputedStyle($("text")).lineHeight);
const wide = (text) => [...text].reduce((sum, it) => sum + (it.codePointAt(0) > 0x2e7f ? 2 : 1), 0);

function gutter() {
  const count = $("text").value.split("\n").length, box = $("gutter");
  while (box.children.length > count) box.lastChild.remove();
  while (box.children.length < count) box.append(markup("div", {}, String(box.children.length + 1)));
  scrolled();
}

function marks() {
  const lines = $("text").value.split("\n"), of = new Map();
  for (const it of state.wrong) of.set(Math.max(1, it.line), [...(of.get(Math.max(1, it.line)) ?? []), `${it.what} — ${it.remedy}`]);
  [...$("gutter").children].forEach((node, index) => { node.className = of.has(index + 1) ? "wrong" : ""; });
  $("marks").replaceChildren(...[...of].map(([line, said]) => {
    const node = markup("div", { "data-say": said.join("  ·  "), "data-line": line });
    node.style.top = `${(line - 1) * lineHeight()}px`;
    return node;
  }));
  $("notes").replaceChildren(...[...of].map(([line, said]) => {
    const node = markup("div", { "data-line": line, "data-end": wide(lines[line - 1] ?? "") }, said.join("  ·  "));
    node.style.top = `${(line - 1) * lineHeight()}px`;
    return node;
  }));
  scrolled();
}

function scrolled() {
  const { scrollTop, scrollLeft } = $("text");
  $("gutter").scrollTop = scrollTop;
  $("marks").style.transform = $("notes").style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
  // What to write instead stands behind its line; over the end of one that is longer than what is seen, unless the
  // caret is in it.
  const seen = $("text").clientWidth, one = character(), caret = $("text").value.slice(0, $("text").selectionStart).split("\n").length;
  for (const note of $("notes").children) {
    const end = Number(note.dataset.end) * one + 12, pinned = scrollLeft + seen * 0.3;
    const left = Math.min(end, pinned), inLine = document.activeElement === $("text") && caret === Number(note.dataset.line);
    note.style.left = `${left}px`;
    note.style.maxWidth = `${Math.max(40, scrollLeft + seen - left - 10)}px`;
    note.classList.toggle("away", end > pinned && inLine);
  }
}

// --- the device that it makes -------------------------------------------------------------------------------------

async function watch() {
  try {
    const view = await (await fetch("/api/profiles/run", { cache: "no-store" })).json();
    state.heard = performance.now();
    state.running = view !== null;
    $("stop").disabled = view === null;
    drawRun(ctx, $("run-state"), $("run-table"), $("run-points"), view);
  } catch { /* said below, when it lasts */ }
  const cut = performance.now() - state.heard > SILENT_MS;
  $("banner").hidden = !cut;
  document.body.classList.toggle("cut", cut);
}

const post = (name, body) => fetch(`/api/profiles/${name}`, { method: "POST", body: JSON.stringify(body),
  headers: { "content-type": "application/json", "x-tocsin-token": token } });

async function deed(name, body, done = "act.done") {
  try {
    const answer = await post(name, body), told = await answer.json();
    tell(answer.ok ? say(done, { name: told.done ?? "" }) : say("act.refused", { why: told.refusal }), !answer.ok);
    watch();
    return { ok: answer.ok, taken: told.taken === true };
  } catch {
    tell(say("act.unknown"), true);
    return { ok: false, taken: false };
  }
}

function tell(words, bad) {
  $("said").textContent = words;
  $("said").className = bad ? "said bad" : "said";
}

async function keep(replace) {
  const text = $("text").value, { ok, taken } = await deed("save", { text, replace }, "profile.saved");
  $("replace").hidden = !taken;
  if (taken) $("replace").focus();
  if (!ok) return;
  state.kept = text;
  localStorage.removeItem(DRAFT);
  if (replace) $("save").focus();
  await list();
}

function download() {
  const text = $("text").value, name = /^profile:\s*["']?([A-Za-z0-9_-]+)/m.exec(text)?.[1] ?? "profile";
  const address = URL.createObjectURL(new Blob([text], { type: "text/yaml" }));
  const link = markup("a", { href: address, download: `${name}.yaml` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  tell(say("profile.downloaded", { name: `${name}.yaml` }), false);
}

function setUp() {
  $("text").addEventListener("input", changed);
  $("text").addEventListener("scroll", scrolled);
  for (const event of ["keyup", "click", "focus", "blur"]) $("text").addEventListener(event, scrolled);
  addEventListener("resize", scrolled);
  $("open").addEventListener("submit", (event) => { event.preventDefault(); open($("which").value.trim()); });
  for (const button of document.querySelectorAll("[data-new]"))
    button.addEventListener("click", async () => { const text = await get({ new: button.dataset.new }); if (text !== null) put(text, ""); });
  $("start").addEventListener("click", () => deed("run", { text: $("text").value }, "profile.run.begun"));
  $("stop").addEventListener("click", () => deed("stop", {}));
  $("download").addEventListener("click", download);
  $("save").addEventListener("click", () => keep(false));
  $("replace").addEventListener("click", () => keep(true));
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim() === "#101317";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("tocsin.theme", document.documentElement.dataset.theme);
  });
  const theme = localStorage.getItem("tocsin.theme");
  if (theme) document.documentElement.dataset.theme = theme;
}

start();
