// The tester's page: one stream of what this page looks at; every deed is a POST with the page's token.
import { drawBatch, drawFaults, drawKnobs, drawLines, drawReadings, drawRuns } from "./tester_side.js";
import { drawGateway, drawHeld } from "./tester_gateway.js";
import { deviceRow, drawDevice, drawFrames, markup } from "./tester_device.js";

const STALE_AFTER_MS = 4000; // heartbeats come every 2 s; a cut is said within 5 s
const FRAMES_KEPT = 200;
const $ = (id) => document.getElementById(id);
const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
const token = document.querySelector("meta[name=tocsin-token]").content;
const state = { t: {}, about: null, view: null, find: "", first: 0, device: "", line: "", frames: [], paused: false,
  source: null, heard: 0, lostAt: 0, link: "" };

export const say = (key, values = {}) => Object.entries(values).reduce(
  (text, [name, value]) => text.replaceAll(`{${name}}`, value), state.t[key] ?? key);
const ctx = { say, language, state, act: deed };

async function start() {
  state.t = await (await fetch(`/texts/${language}.json`)).json();
  await aboutIt();
  setUp();
  listen();
  setInterval(tick, 500);
}

async function aboutIt() {
  state.about = await (await fetch("/api/sim", { cache: "no-store" })).json();
  const { scenario, title, seed } = state.about;
  $("about").textContent = [scenario, title, say("tester.seed", { seed })].filter(Boolean).join(" · ");
  const kinds = Object.keys(state.about.targets).filter((kind) => state.about.targets[kind] !== "camera" || state.about.names.camera.length);
  $("fault-kind").replaceChildren(...kinds.map((kind) => markup("option", { value: kind }, say(`fault.${kind}`))));
  $("run-name").replaceChildren(...state.about.scenarios.map(([name, zh, en]) =>
    markup("option", { value: name, title: language === "zh" ? zh : en }, name)));
}

// --- the stream -----------------------------------------------------------------------------------------------

function listen() {
  state.source?.close();
  const query = new URLSearchParams({ find: state.find, first: state.first, device: state.device, line: state.line });
  const source = new EventSource(`/api/sim/events?${query}`);
  state.source = source;
  source.addEventListener("heartbeat", () => { state.heard = performance.now(); });
  source.addEventListener("view", (event) => { state.heard = performance.now(); take(JSON.parse(event.data)); });
  source.addEventListener("frames", (event) => {
    if (state.paused) return;
    state.frames = [...state.frames, ...JSON.parse(event.data)].slice(-FRAMES_KEPT);
    drawFrames(ctx, $("frames"), state.frames);
  });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(() => state.source === source && listen(), 1000); };
}

// On a phone the device stands below the list: who chooses is led there.
function choose(device) {
  look({ device, line: "" });
  if (!matchMedia("(max-width: 46rem)").matches) return;
  $("h-device").focus({ preventScroll: true });
  $("h-device").scrollIntoView();
}

function look(changes) {
  Object.assign(state, changes);
  if ("device" in changes || "line" in changes) { state.frames = []; drawFrames(ctx, $("frames"), []); }
  listen();
}

function take(view) {
  state.view = view;
  drawList(view);
  drawDevice(ctx, view);
  drawHeld(ctx, view);
  drawGateway(ctx, view.gateway, choose);
  drawKnobs(ctx, $("world"), view.knobs);
  drawReadings($("readings"), view.readings);
  drawFaults(ctx, $("faults"), view.faults);
  drawRuns(ctx, $("runs"), view.runs);
  drawBatch(ctx, $("batch-state"), view.batch);
  drawLines(ctx, $("lines"), view);
  targets();
}

function drawList({ list: { total, first, rows }, gateway }) {
  // Drawn anew only when something in it changed: what a screen reader stands on must not be replaced each second.
  const now = JSON.stringify([total, first, rows, state.device, gateway && [gateway.state, rows.map((row) => gateway.held?.devices[row.id])]]);
  if ($("devices").dataset.now === now) return;
  $("devices").dataset.now = now;
  const held = document.activeElement?.dataset?.pick;
  $("count").textContent = total ? say("tester.count", { first: first + 1, last: first + rows.length, total }) : say("tester.none");
  $("previous").disabled = first === 0;
  $("next").disabled = first + rows.length >= total;
  $("devices").replaceChildren(...rows.map((row) => deviceRow(ctx, row, gateway, () => choose(row.id))));
  if (held) document.querySelector(`[data-pick="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

function tick() {
  const silentMs = performance.now() - state.heard;
  const link = !state.heard ? "connecting" : silentMs < STALE_AFTER_MS ? "live" : "stale";
  if (link === state.link) return;
  state.link = link;
  $("link").className = `link ${link}`;
  $("link").textContent = say(`link.${link}`);
  document.body.classList.toggle("stale-page", link === "stale");
  $("banner").hidden = link !== "stale";
  if (link === "stale") {
    const at = new Date(Date.now() - silentMs).toLocaleTimeString(document.documentElement.lang, { hour12: false });
    $("banner").textContent = say("tester.stale", { time: at });
  }
  // A simulator that was started anew has another token and other devices.
  if (link === "live" && state.lostAt) fetch("/tester", { method: "HEAD", cache: "no-store" }).then(() => location.reload());
  state.lostAt = link === "stale" ? Date.now() : 0;
}

// --- deeds ------------------------------------------------------------------------------------------------------

async function deed(name, body) {
  try {
    const answer = await fetch(`/api/sim/do/${name}`, { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-tocsin-token": token } });
    const told = await answer.json();
    tell(answer.ok ? say("act.done") : say("act.refused", { why: told.refusal }), !answer.ok);
    return answer.ok;
  } catch {
    tell(say("act.unknown"), true);
    return false;
  }
}

function tell(words, bad) {
  $("said").textContent = words;
  $("said").className = bad ? "said bad" : "said";
}

function targets() {
  const kind = $("fault-kind").value, strikes = (state.about.targets[kind] ?? "").split(" ");
  const names = strikes.flatMap((what) => state.about.names[what] ?? []);
  if (strikes.includes("device")) names.push(...(state.view?.list.rows ?? []).map((row) => row.id));
  if (strikes.includes("point")) for (const row of state.view?.list.rows ?? [])
    names.push(...(state.about.points[row.profile] ?? []).map((point) => `${row.id}.${point}`));
  const list = $("targets"), wanted = names.slice(0, 400);
  if (list.dataset.names === wanted.join()) return;
  list.dataset.names = wanted.join();
  list.replaceChildren(...wanted.map((value) => markup("option", { value })));
}

function setUp() {
  let waiting = 0;
  $("find").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => look({ find: $("find").value, first: 0 }), 250);
  });
  $("previous").addEventListener("click", () => look({ first: Math.max(0, state.first - 50) }));
  $("next").addEventListener("click", () => look({ first: state.first + 50 }));
  $("pause").addEventListener("click", () => {
    state.paused = !state.paused;
    $("pause").setAttribute("aria-pressed", String(state.paused));
  });
  $("fault-kind").addEventListener("change", () => { $("fault-target").value = ""; targets(); });
  $("strike").addEventListener("submit", (event) => {
    event.preventDefault();
    deed("strike", { kind: $("fault-kind").value, target: $("fault-target").value.trim(), for_s: Number($("fault-for").value),
      chance: Number($("fault-chance").value), delay_s: Number($("fault-delay").value), amount: Number($("fault-amount").value) });
  });
  $("run").addEventListener("submit", (event) => {
    event.preventDefault();
    const seed = $("run-seed").value.trim(), without = $("run-without").value.trim();
    deed("run", { scenario: $("run-name").value, seed: seed ? Number(seed) : null, without: without ? without.split(/[ ,，]+/) : [] });
  });
  $("batch").addEventListener("submit", (event) => {
    event.preventDefault();
    deed("batch", { name: $("batch-name").value, lines: $("batch-units").value });
  });
  $("join").addEventListener("submit", (event) => { event.preventDefault(); deed("join", { url: $("join-url").value.trim() }); });
  $("part").addEventListener("click", () => deed("join", { url: "" }));
  $("batch-stop").addEventListener("click", () => deed("stop-batch", {}));
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim() === "#101317";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("tocsin.theme", document.documentElement.dataset.theme);
  });
  const theme = localStorage.getItem("tocsin.theme");
  if (theme) document.documentElement.dataset.theme = theme;
}

start();
