// Zones and masks drawn on a camera's picture, with mouse, finger or keys. Nothing is written before it was checked.
import { ask, begin, el, make, refused, say, session, tell } from "/static/vision_common.js";

const SVG = "http://www.w3.org/2000/svg";
const state = { view: null, camera: "", shapes: [], chosen: -1, changed: false };
const clamp = (v) => Math.min(1, Math.max(0, Math.round(v * 1e4) / 1e4));
const chosen = () => state.shapes[state.chosen];
const nameOf = (shape) => shape.mask ? say("vision.mask", { number: 1 + masks().indexOf(shape) }) : shape.id;
const masks = () => state.shapes.filter((shape) => shape.mask);

function take() {
  const camera = state.view.cameras.find((c) => c.id === state.camera) || { zones: [], masks: [] };
  state.shapes = [
    ...camera.zones.map((z) => ({ ...z, outline: z.outline.map((p) => [...p]) })),
    ...camera.masks.map((m) => ({ mask: true, outline: m.map((p) => [...p]) })),
  ];
  state.chosen = state.shapes.length ? 0 : -1;
  state.changed = false;
  draw();
}
function changed() { state.changed = true; tell(say("vision.unsaved")); }

function drawList() {
  el("none").hidden = state.shapes.length > 0;
  el("shapes").replaceChildren(...state.shapes.map((shape, index) => {
    const pick = make("button", { type: "button", class: "grow", text: nameOf(shape), "aria-pressed": String(index === state.chosen) });
    pick.addEventListener("click", () => { state.chosen = index; draw(); el("shapes").querySelectorAll(".grow")[index].focus(); });
    const remove = make("button", { type: "button", text: say("vision.remove"), "aria-label": `${say("vision.remove")}: ${nameOf(shape)}` });
    remove.addEventListener("click", () => {
      state.shapes.splice(index, 1); state.chosen = Math.min(state.chosen, state.shapes.length - 1); changed(); draw(); el("add-zone").focus();
    });
    return make("li", { class: index === state.chosen ? "chosen" : "" }, pick, remove);
  }));
}
function drawForm() {
  const shape = chosen();
  el("zone").hidden = !shape || Boolean(shape.mask);
  if (!shape || shape.mask) return;
  el("zone-name").value = shape.id;
  el("zone-height").value = Math.round((shape.person_height ?? 0.15) * 100);
  const asked = [...state.view.classes.map((n) => ["watch", n, "class"]), ...state.view.scenes.map((n) => ["scenes", n, "scene"])];
  el("asks").replaceChildren(...asked.map(([list, name, kind]) => {
    const box = make("input", { type: "checkbox" });
    box.checked = shape[list].includes(name);
    box.addEventListener("change", () => {
      shape[list] = box.checked ? [...shape[list], name] : shape[list].filter((n) => n !== name); changed();
    });
    return make("label", {}, box, say(`vision.${kind}.${name}`));
  }));
}
function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
function drawPicture(focus = -1) {
  const box = el("frame").getBoundingClientRect();
  const r = 9; // pixels, whatever the frame's shape
  const nodes = [];
  state.shapes.forEach((shape, index) => {
    const points = shape.outline.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" ");
    const polygon = svg("polygon", { points, class: `${shape.mask ? "mask" : ""} ${index === state.chosen ? "chosen" : ""}` });
    polygon.addEventListener("pointerdown", (event) => { if (index !== state.chosen) { event.stopPropagation(); state.chosen = index; draw(); } });
    nodes.push(polygon);
  });
  const shape = chosen();
  (shape ? shape.outline : []).forEach(([x, y], number) => {
    const corner = svg("ellipse", { cx: x * 1000, cy: y * 1000, rx: 1000 * r / box.width, ry: 1000 * r / box.height, class: "corner",
      tabindex: 0, role: "button", "aria-label": say("vision.corner", { number: number + 1, name: nameOf(shape),
        x: Math.round(x * 100), y: Math.round(y * 100) }) });
    corner.addEventListener("keydown", (event) => keyed(event, number));
    corner.addEventListener("pointerdown", (event) => dragged(event, number));
    nodes.push(corner);
  });
  el("drawing").replaceChildren(...nodes);
  if (focus >= 0) { const corners = el("drawing").querySelectorAll(".corner"); if (corners.length) corners[Math.min(focus, corners.length - 1)].focus(); }
}
function draw(focus = -1) { drawList(); drawForm(); drawPicture(focus); }

function keyed(event, number) {
  const outline = chosen().outline, step = event.shiftKey ? 0.05 : 0.01;
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let focus = number;
  if (moves[event.key]) outline[number] = [clamp(outline[number][0] + moves[event.key][0] * step), clamp(outline[number][1] + moves[event.key][1] * step)];
  else if (event.key === "Enter") {
    const next = outline[(number + 1) % outline.length];
    outline.splice(number + 1, 0, [clamp((outline[number][0] + next[0]) / 2), clamp((outline[number][1] + next[1]) / 2)]);
    focus = number + 1;
  } else if (event.key === "Delete" && outline.length > 3) { outline.splice(number, 1); focus = Math.max(0, number - 1); }
  else return;
  event.preventDefault(); changed(); drawPicture(focus);
}
function at(event) {
  const box = el("frame").getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}
function dragged(event, number) {
  event.preventDefault(); event.stopPropagation();
  const move = (moved) => { chosen().outline[number] = at(moved); drawPicture(number); };
  const done = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", done); changed(); };
  addEventListener("pointermove", move); addEventListener("pointerup", done);
}
function distance([px, py], [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
  const t = length ? clamp(((px - ax) * dx + (py - ay) * dy) / length) : 0;
  return Math.hypot(px - ax - t * dx, py - ay - t * dy);
}
function clicked(event) {
  const shape = chosen();
  if (!shape || shape.outline.length >= 64) return;
  const point = at(event), outline = shape.outline;
  let best = 0, nearest = Infinity; // into the edge that lies nearest, so that the outline does not cross itself
  outline.forEach((corner, i) => { const d = distance(point, corner, outline[(i + 1) % outline.length]); if (d < nearest) { nearest = d; best = i; } });
  outline.splice(best + 1, 0, point);
  changed(); drawPicture(best + 1);
}
function add(mask) {
  const used = new Set(state.shapes.map((shape) => shape.id));
  let number = 1;
  while (used.has(`zone-${number}`)) number += 1;
  const outline = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
  state.shapes.push(mask ? { mask: true, outline } : { id: `zone-${number}`, outline, watch: [...state.view.classes], scenes: [], thresholds: {}, person_height: 0.15 });
  state.chosen = state.shapes.length - 1;
  changed(); draw(0);
}
async function load(keep) {
  state.view = await ask("/api/cameras");
  el("camera").replaceChildren(...state.view.cameras.map((c) => make("option", { value: c.id, text: c.id })));
  state.camera = keep && state.view.cameras.some((c) => c.id === keep) ? keep : (state.view.cameras[0] || { id: "" }).id;
  el("camera").value = state.camera;
  el("undo").disabled = !state.view.undo;
  take();
}
async function save() {
  const zones = state.shapes.filter((s) => !s.mask).map(({ id, outline, thresholds, watch, scenes, person_height }) => ({ id, outline, thresholds, watch, scenes, person_height }));
  try { await ask(`/api/cameras/${state.camera}/drawing`, { zones, masks: masks().map((m) => m.outline) }); }
  catch (error) { tell(refused(error), true); return; }
  await load(state.camera); tell(say("vision.saved"));
}
async function undo() {
  let done;
  try { done = (await ask("/api/cameras/undo", {})).undone; } catch (error) { tell(refused(error), true); return; }
  await load(state.camera); tell(say(done ? "vision.undone" : "vision.undo.none"));
}
function show() {
  if (!session.who) { tell(say("vision.sign"), true); el("sign").focus(); return; }
  const picture = el("picture");
  tell(say("vision.loading"));
  picture.onload = () => {
    picture.hidden = false; el("no-picture").hidden = true;
    el("frame").style.aspectRatio = `${picture.naturalWidth} / ${picture.naturalHeight}`; drawPicture(); tell("");
  };
  picture.onerror = async () => {
    picture.hidden = true; el("no-picture").hidden = false;
    try { await ask(picture.getAttribute("src")); } catch (error) { tell(refused(error), true); }
  };
  picture.alt = say("vision.picture.alt", { camera: state.camera });
  picture.src = `/api/cameras/${state.camera}/now.jpg?at=${Date.now()}`;
}
async function start() {
  await begin();
  el("camera").addEventListener("change", () => {
    state.camera = el("camera").value; el("picture").hidden = true; el("no-picture").hidden = false; take(); tell("");
  });
  el("zone-name").addEventListener("change", () => { chosen().id = el("zone-name").value.trim(); changed(); draw(); });
  el("zone-height").addEventListener("change", () => { chosen().person_height = Math.min(1, Math.max(0.01, Number(el("zone-height").value) / 100)); changed(); });
  el("zone").addEventListener("submit", (event) => event.preventDefault());
  el("drawing").addEventListener("pointerdown", clicked);
  el("add-zone").addEventListener("click", () => add(false));
  el("add-mask").addEventListener("click", () => add(true));
  el("save").addEventListener("click", save);
  el("undo").addEventListener("click", undo);
  el("discard").addEventListener("click", () => { take(); tell(""); });
  el("ask").addEventListener("click", show);
  addEventListener("resize", () => drawPicture());
  addEventListener("beforeunload", (event) => { if (state.changed) event.preventDefault(); });
  try { await load(""); tell(""); } catch (error) { tell(refused(error), true); }
}
start();
