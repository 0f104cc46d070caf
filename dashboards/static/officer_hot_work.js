// Hot work now: what is allowed, what cameras see, what the air holds, who watches. The verdict is the gateway's.
import { $, begin, make, name, say, tag } from "./live.js";
import { aged, ages, followView, keepOpen, pair, round, until, valueOf } from "./officer_live.js";
import { shownUs } from "./shown_time.js";

const CRITICAL = new Set(["gas_high", "no_permit", "outside_place", "outside_time", "over_time", "not_started", "gas_not_seen"]);

function row(r, page) {
  const seen = (r.scores ?? []).some((s) => typeof s.value === "number" && s.value >= page.seen_from), working = (r.permits ?? []).some((v) => v.permit.state === "working");
  const outcomes = r.outcomes ?? [];
  const node = make("li", `card hot ${outcomes.length ? (outcomes.some((o) => CRITICAL.has(o)) ? "critical" : "alarm") : ""}`);
  const head = make("p", "line");
  for (const o of outcomes) head.append(tag(say(`hot.${o}`), CRITICAL.has(o) ? "critical" : "alarm"));
  if (!outcomes.length) head.append(tag(say(working ? "hot.allowed" : seen ? "hot.pending" : "hot.nothing"), working ? "good" : seen ? "warning" : ""));
  if (r.silent) head.append(tag(say("hot.silent"), "drill"));
  node.append(head, make("p", "place", `${name(r.site_name)} · ${name(r.zone_name)}`));
  const facts = make("dl", "pairs");
  const permits = (r.permits ?? []).map((v) => {
    const line = make("span", "permit-line"), link = make("a", "", v.id); link.href = "/permits";
    line.append(link, document.createTextNode(` ${say(`permit.state.${v.permit.state}`)} · ${say(`permit.level.${v.permit.plan.level}`)} · `), until(v.permit.plan.ends_us));
    if (!v.heard_us) line.append(tag(say("permit.unconfirmed"), "drill"));
    return line;
  });
  facts.append(pair(say("hot.permit"), ...(permits.length ? permits : [say("hot.nopermit")])));
  facts.append(pair(say("hot.camera"), ...((r.scores ?? []).length ? r.scores.map((s) => meter(s, page.seen_from)) : [say("hot.nocamera")])));
  const limit = (r.permits ?? []).filter((v) => v.permit.state === "working").reduce((least, v) => Math.min(least, v.limit_lel), Infinity), lel = (r.permits ?? []).map((v) => v.lel).find(Boolean);
  facts.append(pair(say("hot.gas"), ...((r.gas ?? []).length ? r.gas.map((g) => gasOf(g, limit, lel)) : [say("hot.nogas")])));
  const watchers = (r.permits ?? []).filter((v) => ["working", "fire_watch", "suspended", "ready"].includes(v.permit.state)).map((v) => make("span", "permit-line", `${v.permit.plan.watcher} `, tag(say(v.permit.watched ? "permit.watched" : "permit.unwatched"), v.permit.watched ? "good" : "warning")));
  facts.append(pair(say("hot.watcher"), ...(watchers.length ? watchers : ["—"])));
  facts.append(pair(say("hot.people"), ...((r.people ?? []).length ? r.people.map((p) => { const line = make("span", "permit-line"); line.append(valueOf(p)); return line; }) : [say("hot.nocount")])));
  const heard = make("span"); heard.append(aged(r.heard_us)); facts.append(pair(say("hot.heard"), heard));
  node.append(facts);
  const pictures = make("div", "photos");
  for (const s of r.seen ?? []) {
    const link = make("a"); link.href = `/incidents/${encodeURIComponent(s.incident)}`;
    if (s.snapshot) { const img = make("img"); img.src = s.snapshot; img.alt = say("hot.picture"); img.loading = "lazy"; link.append(img); }
    link.append(document.createTextNode(say(s.snapshot ? "hot.evidence" : "hot.incident")));
    pictures.append(link);
  }
  if (pictures.children.length) node.append(pictures);
  return node;
}
function meter(s, from) {
  const line = make("span", "permit-line"), known = typeof s.value === "number";
  line.append(document.createTextNode(`${name(s.name)} `), make("b", known && s.value >= from ? "bad" : "", known ? round(s.value) : say("officer.novalue")), document.createTextNode(" "));
  if (known) { const m = make("meter"); m.min = 0; m.max = 1; m.high = from; m.optimum = 0; m.value = s.value; m.setAttribute("aria-label", `${say("hot.camera")} ${round(s.value)}`); line.append(m, document.createTextNode(" ")); }
  line.append(aged(s.at_us));
  return line;
}
function gasOf(g, limit, lel) {
  const line = make("span", "permit-line"), high = Number.isFinite(limit) && g.unit === "%[LEL]" && g.value > limit;
  line.append(document.createTextNode(`${name(g.name)} `), valueOf(g));
  if (high) line.querySelector(".value").classList.add("bad");
  if (g.unit === "%[LEL]" && typeof g.value === "number" && lel) line.append(document.createTextNode(` = ${round(g.value * lel / 100, 3)} ${say("permit.percentvol")}`));
  if (Number.isFinite(limit)) line.append(document.createTextNode(` · ${say("hot.limit", { lel: round(limit, 1) })}`));
  return line;
}
function draw(page) {
  const list = make("ol", "cards wide");
  list.append(...(page.rows.length ? page.rows.map((r) => row(r, page)) : [make("li", "empty", say("hot.none"))]));
  const tiles = make("dl", "tiles", "", tile(say("hot.breaches"), page.breaches, page.breaches ? "bad" : ""), tile(say("hot.working"), page.working), tile(say("hot.places"), page.rows.length));
  keepOpen($("view"), () => $("view").replaceChildren(tiles, make("p", "quiet", say("hot.how", { score: page.seen_from })), list));
  ages(); void shownUs;
}
function tile(label, value, kind = "") { return make("div", `tile ${kind}`, "", make("dt", "", label), make("dd", "", String(value))); }
await begin();
followView("hot-work", draw);
