// One device of the tester's page: its buttons, its points with registers, the frames of its line.
import { unit as written } from "./units.js";

const $ = (id) => document.getElementById(id);

export function markup(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function shown({ say }, value, unit = "") {
  if (value === null) return say("tester.bad");
  if (value === true) return say("tester.true");
  if (value === false) return say("tester.false");
  if (typeof value === "number") return `${Number(value.toPrecision(6))} ${written(unit)}`.trim();
  return String(value);
}

export function deviceRow(ctx, row, gateway, choose) {
  const { say, language, state } = ctx;
  const shows = row.shows.map(([point, value, unit]) => `${point} ${shown(ctx, value, unit)}`).join(" · ");
  const button = markup("button", { type: "button", class: `pick ${row.state}`, "data-pick": row.id, onclick: choose,
    "aria-current": String(row.id === state.device) },
    markup("span", { class: "line" }, markup("strong", {}, row.id),
      markup("span", { class: `state ${row.state}` }, say(`tester.state.${row.state}`))),
    markup("span", { class: "more" }, `${language === "zh" ? row.zh : row.en} · ${row.line} · ${row.at}`),
    markup("span", { class: "more" }, shows), gateway ? heldLine(ctx, gateway, row) : null);
  return markup("li", {}, button);
}

// One line of the list: what the gateway holds of the same points, the worst of its points, its alarms.
function heldLine(ctx, gateway, row) {
  const { say } = ctx, held = gateway.held?.devices[row.id];
  const word = !held ? say(`held.short.${gateway.state}`) : held.known ? say(`agree.${held.agreement}`) : say("held.not_known");
  const values = !held?.known ? "" : row.shows.map(([point, , unit]) => held.points[point])
    .map((it, index) => (it ? `${row.shows[index][0]} ${it.quality === "never" ? "–" : shown(ctx, it.value, row.shows[index][2])}` : "")).filter(Boolean).join(" · ");
  return markup("span", { class: "more gw" }, `${say("held.gateway")}: `, values ? `${values} · ` : "",
    markup("span", { class: `agree ${held?.agreement ?? "unknown"}` }, word),
    held?.alarms.length ? ` · ${say("held.alarms", { count: held.alarms.length })}` : "");
}

export function drawDevice(ctx, view) {
  const { say, language, state } = ctx, it = view.device;
  $("device").hidden = !it;
  $("h-device").textContent = it ? `${it.row.id} · ${language === "zh" ? it.row.zh : it.row.en}` : say("tester.choose");
  if (!it) return;
  $("edit").href = `/profiles?profile=${encodeURIComponent(it.row.profile)}`;
  $("device-about").textContent = [it.maker, it.model, it.row.profile, it.row.at, ...it.bugs].filter(Boolean).join(" · ");
  $("h-frames").textContent = say("tester.frames", { line: view.line });
  drawActions(ctx, it);
  drawPoints(ctx, it);
  if (!state.frames.length) drawFrames(ctx, $("frames"), []);
}

function drawActions(ctx, it) {
  const { say, act } = ctx, box = $("actions"), name = it.row.id;
  const wanted = `${name}:${Object.keys(it.actions)}`;
  if (box.dataset.of !== wanted) {
    box.dataset.of = wanted;
    const toggles = Object.keys(it.actions).map((action) => markup("button", { type: "button", "data-act": action,
      onclick: (event) => act("act", { device: name, action, begin: event.currentTarget.getAttribute("aria-pressed") !== "true" }) },
      say(`tester.act.${action}`)));
    const presses = it.buttons.map((button) => markup("button", { type: "button", "data-press": button,
      onclick: () => act("press", { device: name, button }) }, say(`tester.press.${button}`)));
    box.replaceChildren(...toggles, ...presses);
  }
  for (const [action, on] of Object.entries(it.actions))
    box.querySelector(`[data-act=${action}]`).setAttribute("aria-pressed", String(on));
}

function drawPoints(ctx, it) {
  const { say, language } = ctx, body = $("points"), name = it.row.id;
  if (body.dataset.of !== name) {
    body.dataset.of = name;
    body.replaceChildren(...it.points.map((point) => {
      const title = `${language === "zh" ? point.zh : point.en}`;
      return markup("tr", { "data-point": point.id },
        markup("th", { scope: "row" }, title, markup("br"), markup("span", { class: "soft" }, point.id)),
        markup("td", { class: "number" }), markup("td", { class: "held", hidden: true }),
        markup("td", { class: "soft" }, point.place), markup("td", { class: "hex" }),
        markup("td", {}, setter(ctx, name, point, title)));
    }));
  }
  it.points.forEach((point, index) => {
    const [value, , , words] = body.rows[index].querySelectorAll("td");
    put(value, shown(ctx, point.value, point.unit));
    put(words, point.words.join(" "));
  });
}

function put(node, text) { if (node.textContent !== text) node.textContent = text; }

function setter(ctx, device, point, title) {
  const { say, act } = ctx, label = say("tester.set.label", { point: title });
  const field = point.boolean
    ? markup("select", { "aria-label": label }, markup("option", { value: "on" }, say("tester.true")), markup("option", { value: "off" }, say("tester.false")))
    : markup("input", { "aria-label": label, required: true, maxlength: 60, inputmode: point.text ? "text" : "decimal" });
  return markup("form", { onsubmit: (event) => { event.preventDefault(); act("set", { point: `${device}.${point.id}`, value: field.value }); } },
    field, markup("button", { "aria-label": label }, say("tester.set")));
}

export function drawFrames(ctx, body, frames) {
  const { say } = ctx;
  if (!frames.length) {
    body.replaceChildren(markup("tr", {}, markup("td", { colspan: 4, class: "soft" }, say("tester.frames.none"))));
    return;
  }
  const rows = frames.slice().reverse().map((frame) => markup("tr", { "data-number": frame.number },
    markup("td", { class: "number" }, frame.at_s.toFixed(3)),
    markup("td", {}, say(frame.ours ? "tester.device" : "tester.peer")),
    markup("td", {}, frame.words), markup("td", { class: "hex" }, frame.hex)));
  body.replaceChildren(...rows);
}
