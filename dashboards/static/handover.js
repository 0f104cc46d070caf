// One shift to the next: a note, what stands open, signed in by somebody else; printable.
import { $, announce, begin, button, drillBanner, follow, get, make, name, post, say, tag, texts, ask } from "./live.js";
import { duration } from "./shown_time.js";

const when = (us) => new Date(us / 1000).toLocaleString(document.documentElement.lang, { hour12: false });
async function load() {
  let list;
  try { list = await get("/api/handovers"); } catch (error) { console.warn("hand-over", error); setTimeout(load, 3000); return; }
  $("handovers").replaceChildren(...(list.length ? list.map(card) : [make("li", "empty", say("handover.none"))]));
}
function told({ text, done }) { const node = $("outcome"); node.textContent = text; node.className = `outcome ${done ? "ok" : "bad"}`; announce(text); load(); }
function card(h) {
  const one = make("li", "detail handover"), grid = make("table");
  one.append(make("h2", "", say("handover.by", { who: h.by, time: when(h.at_us) })), make("p", "", say("handover.open", { n: h.open.length + (h.more_open ?? 0), m: h.impaired })));
  if (h.note) one.append(make("pre", "", h.note));
  for (const i of h.open) grid.append(make("tr", "", "", make("td", "", "", ...(i.drill ? [tag(say("drill"), "drill"), " "] : []), tag(say(`severity.${i.severity}`), i.severity)), make("td", "", say(`hazard.${i.hazard}`)), make("td", "", name(i.place)),
    make("td", "", say(`state.${i.state}`)), make("td", "", duration(h.at_us - i.opened_us, texts)), make("td", "", i.acknowledged_by ?? "")));
  one.append(make("div", "table-box", "", grid));
  if (h.more_open) one.append(make("p", "", say("handover.more", { n: h.more_open })));
  if (h.taken_by) one.append(make("p", "", `${say("handover.taken", { who: h.taken_by, time: when(h.taken_us) })}${h.remark ? ` — ${h.remark}` : ""}`));
  else one.append(make("p", "bad", say("handover.waits")), button(say("handover.take"), async () => {
    const given = await ask(say("handover.take"), [{ name: "note", label: say("handover.remark"), kind: "textarea", optional: true }]);
    if (given) told(await post(`/api/handovers/${encodeURIComponent(h.id)}/take`, given, `take/${h.id}/${given.note}`));
  }, "primary no-print"));
  one.append(make("p", "signature", say("handover.signature")));
  return one;
}
await begin();
$("print").onclick = () => print();
$("give").onclick = async () => {
  const note = $("note").value.trim(), { done, text } = await post("/api/handovers", { note }, `handover/${note}`);
  if (done) $("note").value = "";
  told({ done, text });
};
load();
let incidents = [];
await follow({
  board(board) { incidents = board.incidents; drillBanner(incidents); },
  incident(card_) { incidents = [...incidents.filter((i) => i.id !== card_.id), card_]; drillBanner(incidents); },
});
