// Reports to print, and rectification notices: issue one, print it, confirm that it was put right.
import { $, announce, ask, begin, button, get, make, name, post, say, tag } from "./live.js";
import { ages, localTime, pair, scope, until, withScope } from "./officer_live.js";
import { anchor } from "./shown_time.js";

const mayIssue = $("main").dataset.ask === "1";
let page = null;

function field(label, input) { input.id ||= `f-${Math.random().toString(36).slice(2)}`; const l = make("label", "", label); l.htmlFor = input.id; return make("p", "field", "", l, input); }
function told(done, words) { $("outcome").textContent = words; $("outcome").className = `outcome ${done ? "" : "bad"}`; announce(words); }

function downloads() {
  const box = make("section", "detail", "", make("h2", "", say("rep.download"))), line = make("p", "buttons");
  for (const period of ["day", "week", "month"]) for (const kind of ["pdf", "csv"]) {
    const a = make("a", "button", `${say(`over.report.${period}`)} ${kind.toUpperCase()}`);
    a.href = `/reports/${period}.${kind}?scope=${encodeURIComponent(scope())}&lang=${document.documentElement.lang.slice(0, 2)}`; line.append(a);
  }
  box.append(line, make("p", "quiet", say("rep.note")));
  return box;
}
function issueForm() {
  const box = make("details", "detail"); box.id = "issue";
  box.append(make("summary", "", say("rep.issue")));
  const site = make("select"), to = make("input"), facts = make("textarea"), clause = make("textarea"), demand = make("textarea"), days = make("input"), incident = make("input");
  for (const s of page.sites) { const o = make("option", "", name(s.name)); o.value = s.path; site.append(o); }
  Object.assign(days, { type: "number", min: 1, max: 366, value: 7, required: true });
  for (const area of [facts, clause, demand]) { area.rows = 3; area.required = true; area.maxLength = 2000; }
  const asked = new URLSearchParams(location.search); incident.value = asked.get("incident") ?? ""; if (asked.get("site")) site.value = asked.get("site");
  const go = make("button", "primary", say("rep.issue")); go.type = "submit";
  const form = make("form", "grid-form", "", field(say("permit.site"), site), field(say("rep.to"), to), field(say("rep.days"), days), field(say("rep.incident"), incident),
    field(say("rep.facts"), facts), field(say("rep.clause"), clause), field(say("rep.demand"), demand), make("p", "buttons", "", go));
  form.onsubmit = async (e) => {
    e.preventDefault();
    const draft = { to: to.value.trim(), facts: facts.value.trim(), clause: clause.value.trim(), demand: demand.value.trim(), days: Number(days.value), incident: incident.value.trim() };
    const { done, text } = await post(`/api/sites/${site.value}/rectifications`, { draft }, JSON.stringify([site.value, draft]));
    told(done, text); if (done) { box.open = false; await load(); }
  };
  box.append(form);
  if (incident.value) box.open = true;
  return box;
}
function card(n) {
  const node = make("li", `card ${n.done_us ? "" : "warning"}`), print = make("a", "button", say("rep.print"));
  print.href = `/rectifications/${encodeURIComponent(n.id)}.pdf`;
  node.append(make("p", "line", "", make("b", "", n.number), tag(say(n.done_us ? "rep.done" : "rep.open"), n.done_us ? "good" : "warning")), make("p", "place", name(n.site_name)));
  const facts = make("dl", "pairs", "", pair(say("rep.facts"), n.draft.facts), pair(say("rep.clause"), n.draft.clause), pair(say("rep.demand"), n.draft.demand),
    pair(say("rep.deadline"), `${localTime(n.due_us)} `, ...(n.done_us ? [] : [until(n.due_us)])), pair(say("rep.by"), `${n.who} · ${localTime(n.issued_us)}`));
  if (n.done_us) facts.append(pair(say("rep.done"), `${n.done_by} · ${localTime(n.done_us)} · ${n.done_why}`));
  const buttons = make("p", "buttons", "", print);
  if (mayIssue && !n.done_us) buttons.append(button(say("rep.confirm"), async () => {
    const values = await ask(`${say("rep.confirm")} ${n.number}`, [{ name: "why", label: say("rep.seen"), kind: "textarea" }]);
    if (!values) return;
    const { done, text } = await post(`/api/rectifications/${encodeURIComponent(n.id)}/done`, { why: values.why }, `done/${n.id}/${values.why}`);
    told(done, text); if (done) await load();
  }));
  node.append(facts, buttons);
  return node;
}
async function load() {
  try {
    page = await get(withScope("/api/reports"));
    if (!page) { $("view").replaceChildren(make("p", "empty", say("officer.noplace"))); return; }
    anchor(page.at_us, 1);
    const list = make("ol", "cards"); list.append(...(page.notices.length ? page.notices.map(card) : [make("li", "empty", say("rep.none"))]));
    $("view").replaceChildren(downloads(), ...(mayIssue && page.sites.length ? [issueForm()] : []), make("h2", "", say("rep.notices")), list);
    ages();
    $("link").className = "link live"; $("link").textContent = say("rep.asof", { time: new Date(page.at_us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
    $("banner").hidden = true;
  } catch (error) {
    console.warn("no reports", error);
    $("link").className = "link stale"; $("link").textContent = say("link.stale"); $("banner").hidden = false; $("banner").textContent = say("rep.lost");
    setTimeout(load, 3000);
  }
}
await begin();
setInterval(() => { if (page) ages(); }, 1000);
await load();
