// The estate from above: buildings, lanes, ways in, hydrants. Our own SVG: the whole script is 6 kB, it needs no tiles, no
// graphics card and no net, prints, and can be walked with the keyboard.
import { button, make, name, say } from "./live.js";
import { svg, valueText } from "./plan.js";

const kept = new Map(); // site → view box, so that a redraw does not jump

export function distance(book, buildingId, at) {
  const area = book.map?.areas.find((a) => a.building === buildingId);
  if (!area) return null;
  return Math.round(Math.min(...edges(area.outline).map(([a, b]) => toSegment(at, a, b))));
}
const edges = (outline) => outline.map((p, i) => [p, outline[(i + 1) % outline.length]]);
function toSegment([px, py], [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy || 1;
  const t = Math.max(0, Math.min(1, ((px - ax) * dx + (py - ay) * dy) / length));
  return Math.hypot(px - ax - t * dx, py - ay - t * dy);
}
export const tooLow = (hydrant, value) => hydrant.low !== null && hydrant.low !== undefined && typeof value?.value === "number" && value.value < hydrant.low;

export function estateMap(node, view, places) {
  const book = places?.book;
  if (!book?.map) { node.replaceChildren(make("p", "empty", say("map.none", { why: places?.lacking || say("plan.notplaced") }))); return; }
  const zone = places.zones.find((z) => z.id === view.zone), site = view.tenancy.site;
  const points = [...book.map.areas.flatMap((a) => a.outline), ...book.access.map((a) => a.at), ...book.hydrants.map((h) => h.at)];
  const xs = points.map((p) => p[0]), ys = points.map((p) => -p[1]);
  const whole = [Math.min(...xs) - 8, Math.min(...ys) - 8, Math.max(...xs) - Math.min(...xs) + 16, Math.max(...ys) - Math.min(...ys) + 16];
  const picture = svg("svg", { class: "estate", tabindex: "0", role: "group", preserveAspectRatio: "xMidYMid meet" });
  picture.setAttribute("aria-label", `${say("sec.map")}: ${name(places.name)}. ${say("map.help")}`);
  const shape = (area) => svg("polygon", { points: area.outline.map(([e, n]) => `${e},${-n}`).join(" "),
    class: `area ${area.kind}${area.building && area.building === zone?.building ? " lit" : ""}` });
  const order = ["outside", "green", "water", "square", "lane", "building"];
  for (const area of [...book.map.areas].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))) picture.append(shape(area));
  for (const area of book.map.areas) if (name(area.name)) {
    const [x, y] = area.label ?? middle(area.outline), here = area.building && area.building === zone?.building;
    picture.append(svg("text", { x, y: -y + 2, class: `words ${area.kind}${here ? " lit" : ""}` }, name(area.name)));
  }
  const live = new Map((view.live ?? []).map((v) => [v.point, v]));
  for (const h of book.hydrants) picture.append(mark(h.at, "hydrant", "H", `${name(h.name)}${live.get(h.point) ? `: ${valueText(live.get(h.point))}` : ""}`, tooLow(h, live.get(h.point))));
  for (const a of book.access) picture.append(mark(a.at, "way", "↑", `${say("map.access")}: ${name(a.name)}`));
  const step = [5, 10, 20, 50, 100].find((n) => n > whole[2] / 12) ?? 200;
  picture.append(svg("path", { class: "scale", d: `M${whole[0] + 6} ${whole[1] + whole[3] - 5}h${step}m${-step}-1.5v3m${step}-3v3` }),
    svg("text", { class: "words small", x: whole[0] + 6 + step / 2, y: whole[1] + whole[3] - 8 }, say("map.metres", { n: step })));
  const box = kept.get(site) ?? [...whole];
  const show = (next) => {
    const width = Math.min(whole[2] * 1.5, Math.max(30, next[2])), height = width * whole[3] / whole[2];
    const x = Math.min(whole[0] + whole[2] - width / 4, Math.max(whole[0] - width * .75, next[0]));
    const y = Math.min(whole[1] + whole[3] - height / 4, Math.max(whole[1] - height * .75, next[1]));
    kept.set(site, [x, y, width, height]); picture.setAttribute("viewBox", [x, y, width, height].join(" "));
  };
  const now = () => kept.get(site);
  const zoom = (by) => { const [x, y, w, h] = now(); show([x + w * (1 - by) / 2, y + h * (1 - by) / 2, w * by, h * by]); };
  const move = (dx, dy) => { const [x, y, w, h] = now(); show([x + w * dx, y + h * dy, w, h]); };
  show(box);
  const keys = { "+": () => zoom(.7), "=": () => zoom(.7), "-": () => zoom(1.4), 0: () => show([...whole]),
    ArrowLeft: () => move(-.15, 0), ArrowRight: () => move(.15, 0), ArrowUp: () => move(0, -.15), ArrowDown: () => move(0, .15) };
  picture.onkeydown = (e) => { if (keys[e.key] && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); keys[e.key](); } };
  let from = null;
  picture.onpointerdown = (e) => { from = [e.clientX, e.clientY]; picture.setPointerCapture(e.pointerId); };
  picture.onpointermove = (e) => {
    if (!from) return;
    const size = picture.getBoundingClientRect(), [x, y, w, h] = now();
    show([x - (e.clientX - from[0]) * w / size.width, y - (e.clientY - from[1]) * h / size.height, w, h]);
    from = [e.clientX, e.clientY];
  };
  picture.onpointerup = picture.onpointercancel = () => { from = null; };
  picture.onwheel = (e) => { if (e.ctrlKey) { e.preventDefault(); zoom(e.deltaY > 0 ? 1.15 : .87); } };
  const tools = make("p", "map-tools", "", button("+", () => zoom(.7)), button("−", () => zoom(1.4)), button(say("map.fit"), () => show([...whole])));
  tools.children[0].setAttribute("aria-label", say("map.in")); tools.children[1].setAttribute("aria-label", say("map.out"));
  const focus = document.activeElement === node.querySelector(".estate");
  node.replaceChildren(make("div", "map-box", "", picture, tools), ways(book, zone));
  if (focus) picture.focus({ preventScroll: true });
}

function ways(book, zone) {
  const list = make("ul", "list ways");
  for (const a of book.access) {
    const away = zone ? distance(book, zone.building, a.at) : null;
    const size = a.height_m ? say("map.size", { width: a.width_m, height: a.height_m }) : a.width_m ? say("map.width", { width: a.width_m }) : "";
    list.append(make("li", "", "", make("b", "", name(a.name)), ` ${[name(a.note), size, away === null ? "" : say("water.away", { n: away })].filter(Boolean).join(" · ")}`));
  }
  return list;
}
const middle = (outline) => [outline.reduce((n, p) => n + p[0], 0) / outline.length, outline.reduce((n, p) => n + p[1], 0) / outline.length];
function mark([e, n], kind, letter, words, low = false) {
  const group = svg("g", { transform: `translate(${e} ${-n})`, class: `mark ${kind}${low ? " low" : ""}`, role: "img" });
  group.setAttribute("aria-label", words);
  group.append(kind === "way" ? svg("path", { d: "M0 -7L6 5H-6Z" }) : svg("circle", { r: 5 }), svg("text", { y: kind === "way" ? 3.6 : 2.4 }, letter), svg("title", {}, words));
  return group;
}
