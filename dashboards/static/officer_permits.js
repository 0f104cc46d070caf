// Permits for hot work: asked for and signed here, judged by the gateway. What it has not confirmed is said to be so.
import { $, announce, ask, begin, button, make, name, newId, post, say, tag, texts } from "./live.js";
import { aged, ages, followView, keepOpen, localTime, pair, round, until } from "./officer_live.js";
import { shownUs } from "./shown_time.js";

const LEVELS = ["two", "one", "special"], GOOD = new Set(["working", "ready"]), END = new Set(["closed", "cancelled", "expired"]);
const main = $("main"), mayAsk = main.dataset.ask === "1", maySign = main.dataset.sign === "1";
let page = null, form = null, list = null;

function option(value, words) { const o = make("option", "", words); o.value = value; return o; }
function field(label, input, note = "") {
  input.id ||= newId();
  const l = make("label", "", label); l.htmlFor = input.id;
  return make("p", "field", "", l, input, ...(note ? [make("span", "quiet", note)] : []));
}
const input = (type, value = "", more = {}) => Object.assign(make("input"), { type, value, ...more });
const checks = (legend, pairs) => {
  const set = make("fieldset", "checks", "", make("legend", "", legend));
  for (const [value, words] of pairs) {
    const box = input("checkbox", value);
    set.append(make("label", "check", "", box, document.createTextNode(` ${words}`)));
  }
  return set;
};
const chosen = (set) => [...set.querySelectorAll(":checked")].map((box) => box.value);
const splitNames = (text) => text.split(/[,，、;；\n]+/).map((n) => n.trim()).filter(Boolean);
const pad = (n) => String(n).padStart(2, "0");
const localInput = (ms) => { const d = new Date(ms); return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}T${pad(d.getHours())}:${pad(d.getMinutes())}`; };

function newPermit() {
  const box = make("details", "detail new-permit"); box.id = "new-permit";
  box.append(make("summary", "", say("permit.new")));
  const site = make("select"), zone = make("select"), level = make("select"), measures = make("div");
  for (const s of page.sites) site.append(option(s.path, name(s.name)));
  for (const l of LEVELS) level.append(option(l, say(`permit.level.${l}`)));
  const today = new Date(), number = input("text", `HW-${today.getFullYear()}${pad(today.getMonth() + 1)}${pad(today.getDate())}-${newId().slice(0, 4).toUpperCase()}`, { maxLength: 40, required: true });
  const starts = input("datetime-local", localInput(shownUs() / 1000), { required: true }), hours = input("number", "2", { min: .5, max: 72, step: .5, required: true });
  const workers = input("text", "", { required: true }), watcher = input("text", "", { required: true }), work = input("text"), spot = input("text");
  const gases = checks(say("permit.gases"), page.gases.map((g) => [g.id, say(`gas.${g.id}`)]));
  const outdoors = input("checkbox");
  let list = null;
  const choose = () => {
    const s = page.sites.find((one) => one.path === site.value);
    zone.replaceChildren(...(s?.zones ?? []).map((z) => option(z.id, name(z.name))));
    list = checks(say("permit.measures"), (s?.measures ?? []).map((m) => [m, say(`measure.${m}`) === `measure.${m}` ? m : say(`measure.${m}`)]));
    measures.replaceChildren(list);
  };
  site.onchange = choose; choose();
  const go = make("button", "primary", say("permit.create")); go.type = "submit";
  const f = make("form", "grid-form", "", field(say("permit.number"), number), field(say("permit.site"), site), field(say("permit.zone"), zone),
    field(say("permit.level"), level, say("permit.level.note")), field(say("permit.starts"), starts), field(say("permit.hours"), hours),
    field(say("permit.workers"), workers, say("permit.workers.note")), field(say("permit.watcher"), watcher), field(say("permit.work"), work), field(say("permit.spot"), spot),
    make("label", "check", "", outdoors, document.createTextNode(` ${say("permit.outdoors")}`)), gases, measures, make("p", "buttons", "", go));
  f.onsubmit = async (event) => {
    event.preventDefault();
    const from = new Date(starts.value).getTime() * 1000;
    const plan = { zone: zone.value, level: level.value, starts_us: from, ends_us: from + Math.round(Number(hours.value) * 3.6e9),
      workers: splitNames(workers.value), watcher: watcher.value.trim(), work: work.value.trim(), spot: spot.value.trim(),
      gases: chosen(gases), outdoors: outdoors.checked, measures: chosen(list) };
    if (await send(site.value, { permit: number.value.trim(), act: "create", plan })) { box.open = false; }
  };
  box.append(make("p", "quiet", say("permit.new.note")), f);
  return box;
}

function converter() {
  const box = make("details", "detail"); box.id = "converter";
  const gas = make("select"), lel = input("number", "", { min: 0, max: 100, step: "any" }), vol = input("number", "", { min: 0, max: 100, step: "any" });
  for (const g of page.gases) gas.append(option(g.id, `${say(`gas.${g.id}`)} (LEL ${g.lel} %)`));
  gas.value = "methane";
  const verdict = make("p", "verdict"); verdict.setAttribute("role", "status");
  const judge = (from) => {
    const g = page.gases.find((one) => one.id === gas.value), filled = (from === vol ? vol : lel).value !== "";
    if (from === vol) lel.value = filled ? round(Number(vol.value) / g.lel * 100, 3) : ""; else vol.value = filled ? round(Number(lel.value) * g.lel / 100, 4) : "";
    const high = filled && Number(vol.value) > g.limit_vol;
    verdict.className = `verdict ${high ? "bad" : ""}`;
    verdict.textContent = `${say("permit.limit", { vol: round(g.limit_vol), lel: round(g.limit_lel, 1) })}${filled ? ` — ${say(high ? "permit.above" : "permit.below")}` : ""}`;
  };
  lel.oninput = () => judge(lel); vol.oninput = () => judge(vol); gas.onchange = () => judge(lel); judge(lel);
  box.append(make("summary", "", say("permit.convert")), make("form", "grid-form", "", field(say("permit.gas"), gas), field("%LEL", lel), field(say("permit.percentvol"), vol)), verdict, make("p", "quiet", say("permit.convert.note")));
  return box;
}

async function send(path, step, why = "") {
  const { done, text } = await post(`/api/sites/${path}/permits`, { step, why }, JSON.stringify([path, step, why]));
  const words = done ? say("permit.sent") : text;
  $("outcome").textContent = words; $("outcome").className = `outcome ${done ? "" : "bad"}`; announce(words);
  return done;
}
const pathOf = (v) => [v.tenancy.city, v.tenancy.district, v.tenancy.street, v.tenancy.site].join("/");

function sampleText(view) {
  const p = view.permit, last = p.samples?.at(-1);
  if (!last) return make("span", "", say("permit.nosample"));
  const lel = view.lel && (!last.gas || last.gas) ? last.percent_vol / (page.gases.find((g) => g.id === last.gas)?.lel ?? view.lel) * 100 : null;
  const high = last.percent_vol > view.limit_vol;
  const node = make("span", high ? "bad" : "", `${round(last.percent_vol, 3)} ${say("permit.percentvol")}${lel === null ? "" : ` = ${round(lel, 1)} %LEL`}${last.gas ? ` ${say(`gas.${last.gas}`)}` : ""} · ${last.analyst} · ${high ? say("permit.above") : say("permit.below")} `);
  node.append(aged(last.at_us)); return node;
}

function card(view) {
  const p = view.permit, plan = p.plan, over = END.has(p.state) || view.refused, waiting = (view.asks ?? []).filter((a) => a.state === "waiting");
  const node = make("li", `card permit ${p.state === "working" ? "alarm" : ""} ${over ? "over" : ""}`);
  const head = make("p", "line", "", make("b", "", view.id), tag(say(`permit.state.${view.refused ? "refused" : p.state}`), view.refused ? "critical" : GOOD.has(p.state) ? "good" : ""), tag(say(`permit.level.${plan.level}`), "notice"));
  if (p.over_time) head.append(tag(say("permit.overtime"), "critical"));
  if (!view.heard_us) head.append(tag(say("permit.unconfirmed"), "drill"));
  else { const word = make("span", "age"); word.append(document.createTextNode(`${say("permit.confirmed")} `), aged(view.heard_us)); word.querySelector("[data-old]")?.removeAttribute("data-old"); head.append(word); }
  node.append(head, make("p", "place", `${name(view.site_name)} · ${name(view.zone_name)}${plan.spot ? ` · ${plan.spot}` : ""}`));
  if (view.refused) node.append(make("p", "bad", `${say("permit.notaken")} ${view.refused}`));
  const facts = make("dl", "pairs", "", pair(say("permit.time"), `${localTime(plan.starts_us)} – ${localTime(plan.ends_us)} `, ...(over ? [] : [until(plan.ends_us)])),
    pair(say("permit.work"), plan.work || "—"), pair(say("permit.workers"), plan.workers.join("、")),
    pair(say("permit.watcher"), `${plan.watcher} `, tag(say(p.watched ? "permit.watched" : "permit.unwatched"), p.watched ? "good" : "warning")),
    pair(say("permit.signed"), `${say("permit.by.applicant")} ${p.applicant} · ${say("permit.by.approver")} ${p.approver || "—"} · ${say("permit.by.counter")} ${p.countersigner || "—"}`),
    pair(say("permit.gas"), sampleText(view)), pair(say("permit.limitname"), say("permit.limit", { vol: round(view.limit_vol), lel: round(view.limit_lel, 1) })));
  if (p.fire_watch_until_us && p.state === "fire_watch") facts.append(pair(say("permit.firewatch"), until(p.fire_watch_until_us)));
  node.append(facts);
  for (const a of view.asks ?? []) if (a.state !== "applied") {
    const line = make("p", a.state === "waiting" ? "asks" : "asks bad", `${say(`permit.act.${a.act}`)} · ${a.who}: ${say(`permit.ask.${a.state}`)} ${a.detail ?? ""} `);
    line.append(aged(a.at_us)); line.querySelector("[data-old]")?.removeAttribute("data-old"); node.append(line);
  }
  const can = [];
  if (!over && !waiting.length) {
    if (maySign && p.state === "draft") can.push("approve");
    if (maySign && p.state === "approved") can.push("countersign");
    if (mayAsk && p.state === "working") can.push("suspend");
    if (mayAsk && ["working", "suspended"].includes(p.state)) can.push("finish");
    if (mayAsk && ["draft", "approved", "ready"].includes(p.state)) can.push("cancel");
  }
  if (can.length) node.append(make("p", "buttons", "", ...can.map((act) => button(say(`permit.act.${act}`), () => doAct(view, act), ["approve", "countersign"].includes(act) ? "primary" : ""))));
  if (["ready", "working", "suspended", "fire_watch", "approved"].includes(p.state)) node.append(make("p", "quiet", say("permit.onsite")));
  const story = make("details"); story.id = `story-${view.id}`;
  story.append(make("summary", "", say("permit.story")));
  const lines = make("ol", "list");
  for (const s of p.story ?? []) lines.append(make("li", "", `${localTime(s.at_us)} ${has(`permit.act.${s.act}`)} ${s.who ?? ""} ${s.why ?? ""}`));
  story.append(lines); node.append(story);
  return node;
}
const has = (key) => (key in texts ? texts[key] : key.split(".").at(-1));

async function doAct(view, act) {
  const fields = act === "approve" || act === "countersign"
    ? [{ name: "why", label: say("permit.remark"), kind: "textarea", optional: true }]
    : [{ name: "why", label: say("permit.why"), kind: "textarea" }];
  const values = await ask(`${say(`permit.act.${act}`)} ${view.id}`, fields);
  if (values) await send(pathOf(view), { permit: view.id, act }, values.why);
}

function draw(next) {
  const first = !page; page = next;
  if (first) {
    list = make("ol", "cards"); form = make("div", "stack");
    if (mayAsk && page.sites.length) form.append(newPermit());
    form.append(converter());
    $("view").replaceChildren(make("p", "quiet", say("permit.truth")), make("div", "silent-sites"), form, make("h2", "", say("permit.open")), list, make("h2", "", say("permit.ended")), make("ol", "cards ended"));
  }
  const silent = page.sites.filter((s) => s.silent);
  $("view").querySelector(".silent-sites").replaceChildren(...silent.map((s) => {
    const line = make("p", "notice-line bad", `${name(s.name)}: ${say("permit.silent")} `); line.append(aged(s.heard_us)); return line; }));
  keepOpen(list, () => {
    const open = page.permits.filter((v) => !END.has(v.permit.state) && !v.refused), over = page.permits.filter((v) => END.has(v.permit.state) || v.refused);
    list.replaceChildren(...(open.length ? open.map(card) : [make("li", "empty", say("permit.none"))]));
    $("view").querySelector(".ended").replaceChildren(...(over.length ? over.slice(0, 50).map(card) : [make("li", "empty", say("permit.noneended"))]));
  });
  ages();
}
await begin();
followView("permits", draw);
