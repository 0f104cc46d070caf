// What the officer's live pages share: a stream of one view, the word on whether it can be believed, ages, scope, values.
import { $, ageOf, announce, make, say, texts } from "./live.js";
import { unit } from "./plot.js";
import { SharedStream } from "./shared_stream.js";
import { anchor, duration, shownUs } from "./shown_time.js";

const STALE_AFTER_MS = 4000; // heartbeats come each second; a cut is said within 5 s
export const OLD_US = 120e6; // a measured value older than this is said to be old
export const scope = () => new URLSearchParams(location.search).get("scope") ?? "";
export const withScope = (path, to = scope()) => (to ? `${path}?scope=${encodeURIComponent(to)}` : path);

export function followView(what, draw) {
  const s = { heard: 0, link: "", lostAt: 0, source: null, kept: null, begun: performance.now() };
  function listen() {
    s.source?.close();
    const source = s.source = new SharedStream(withScope(what), () => withScope(`/api/officer/${what}/events`), ["view", "heartbeat"]);
    source.addEventListener("view", (e) => {
      const { at_us, speed, view } = JSON.parse(e.data);
      // Of another tab's stream: what was sent last is still so, but its time is not now: the next heartbeat has it.
      if (e.replayed) { s.kept = view; return; }
      s.kept = null; anchor(at_us, speed); s.heard = performance.now(); draw(view);
    });
    source.addEventListener("heartbeat", (e) => { const h = JSON.parse(e.data); anchor(h.at_us, h.speed); s.heard = performance.now(); if (s.kept) { draw(s.kept); s.kept = null; } });
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) return;
      const answer = await fetch(withScope(`/api/officer/${what}`), { cache: "no-store" }).catch(() => null);
      if (answer?.status === 401) { location.href = "/sign-in"; return; }
      if (answer?.status === 404) { $("view").replaceChildren(make("p", "empty", say("officer.noplace"))); return; }
      setTimeout(listen, 1000);
    };
  }
  function tick() {
    const at = performance.now(), current = at - (s.heard || s.begun) < STALE_AFTER_MS;
    const link = s.heard && current ? "live" : s.heard || !current ? "stale" : "connecting";
    if (link !== s.link) {
      s.link = link;
      document.body.classList.toggle("stale-page", link === "stale");
      $("link").className = `link ${link}`; $("link").textContent = say(`link.${link}`);
      const banner = $("banner"); banner.hidden = link !== "stale";
      if (link === "stale") {
        s.lostAt = Date.now() - (at - (s.heard || s.begun));
        banner.textContent = say("link.stale.long", { time: new Date(s.lostAt).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
      } else if (link === "live" && s.lostAt) { announce(say("link.back")); s.lostAt = 0; }
    }
    if (s.source && at - (s.heard || s.begun) > 15000) { s.begun = at; listen(); }
    if (link === "live") ages();
  }
  setInterval(tick, 250); tick(); listen();
}

export function ages(root = document) {
  for (const node of root.querySelectorAll("[data-since]")) {
    const text = duration(shownUs() - Number(node.dataset.since), texts);
    const whole = node.dataset.say ? say(node.dataset.say, { age: text }) : text;
    if (node.textContent !== whole) node.textContent = whole;
    if (node.dataset.old) node.classList.toggle("old", shownUs() - Number(node.dataset.since) > OLD_US);
  }
  for (const node of root.querySelectorAll("[data-until]")) {
    const left = Number(node.dataset.until) - shownUs();
    const text = left > 0 ? say("officer.left", { left: duration(left, texts) }) : say("officer.over", { age: duration(-left, texts) });
    if (node.textContent !== text) { node.textContent = text; node.classList.toggle("bad", left <= 0); }
  }
}
export function until(us) { const node = make("time", "until", ""); node.dataset.until = us; return node; }
export function aged(us) {
  if (!us) return make("span", "old", say("officer.never"));
  const node = ageOf(us, "officer.ago"); node.dataset.old = "1";
  node.classList.toggle("old", shownUs() - us > OLD_US);
  return node;
}
export const round = (v, most = 2) => (typeof v === "number" ? Number(v.toFixed(Math.abs(v) >= 100 ? 0 : Math.abs(v) >= 10 ? 1 : most)).toString() : "—");
export function valueOf(v) {
  const bad = v.value === null || v.value === undefined;
  const node = make("span", `value ${bad ? "bad" : ""}`, bad ? say("officer.novalue") : `${round(v.value)} ${unit(v.unit)}`.trim());
  return make("span", "measured", "", node, document.createTextNode(" "), aged(v.at_us));
}
export const localTime = (us) => new Date(us / 1000).toLocaleString(document.documentElement.lang, { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false });
export const localDay = (us) => new Date(us / 1000).toLocaleDateString(document.documentElement.lang, { month: "2-digit", day: "2-digit" });
export function seconds(s) { return s === null || s === undefined ? "—" : duration(s * 1e6, texts); }
export function pair(label, ...content) {
  const box = make("div", "pair"), value = make("dd", "", "", ...content);
  box.append(make("dt", "", label), value); return box;
}
// Keeps what somebody is at: an open form or details survives a redraw.
export function keepOpen(node, redraw) {
  const open = [...node.querySelectorAll("details[open][id]")].map((d) => d.id), active = document.activeElement?.id;
  redraw();
  for (const id of open) { const d = document.getElementById(id); if (d) d.open = true; }
  if (active && document.activeElement?.id !== active) document.getElementById(active)?.focus({ preventScroll: true });
}
