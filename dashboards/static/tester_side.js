// The side of the tester's page: world, faults, runs, batch, lines.
import { markup } from "./tester_device.js";
import { unit as written } from "./units.js";

// Wide knobs are turned finely near their low end: cubes, and a number field beside the slider.
const STEPS = 1000;
const toSlider = (knob, value) => Math.round(STEPS * ((value - knob.low) / (knob.high - knob.low)) ** (1 / curve(knob)));
const fromSlider = (knob, at) => knob.low + (knob.high - knob.low) * (at / STEPS) ** curve(knob);
const curve = (knob) => (knob.low >= 0 && knob.high > 200 ? 3 : 1);
const tidy = (value) => String(Number(value.toPrecision(4)));

export function drawKnobs(ctx, box, knobs) {
  const names = knobs.map((knob) => knob.name).join();
  if (box.dataset.names !== names) {
    box.dataset.names = names;
    const groups = Map.groupBy ? Map.groupBy(knobs, (knob) => knob.name.split(".")[0]) : grouped(knobs);
    box.replaceChildren(...[...groups].map(([thing, of]) => markup("details", { open: thing !== "outdoor" },
      markup("summary", {}, thing), ...of.map((knob) => slider(ctx, knob)))));
  }
  for (const knob of knobs) {
    const row = box.querySelector(`[data-knob="${CSS.escape(knob.name)}"]`);
    const [range, number] = row.querySelectorAll("input");
    if (row.contains(document.activeElement)) continue; // never move what a person holds
    range.value = String(toSlider(knob, knob.value));
    range.setAttribute("aria-valuetext", `${tidy(knob.value)} ${written(knob.unit)}`);
    number.value = tidy(knob.value);
  }
}

function grouped(knobs) {
  const groups = new Map();
  for (const knob of knobs) {
    const thing = knob.name.split(".")[0];
    groups.set(thing, [...(groups.get(thing) ?? []), knob]);
  }
  return groups;
}

function slider({ act }, knob) {
  const id = `knob-${knob.name.replaceAll(".", "-")}`;
  const range = markup("input", { type: "range", id, min: 0, max: STEPS, step: 1 });
  const number = markup("input", { type: "number", step: "any", min: knob.low, max: knob.high, "aria-label": `${knob.name} ${written(knob.unit)}` });
  range.addEventListener("input", () => {
    number.value = tidy(fromSlider(knob, Number(range.value)));
    range.setAttribute("aria-valuetext", `${number.value} ${written(knob.unit)}`);
  });
  // Near the low end of a curved slider a step of the range is next to nothing: arrows move by what can be seen.
  let waiting = 0;
  range.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way || curve(knob) === 1) return;
    event.preventDefault();
    const now = Number(number.value) || 0, step = Math.max((knob.high - knob.low) / STEPS, Math.abs(now) * 0.05);
    const value = Math.min(knob.high, Math.max(knob.low, now + way * step));
    range.value = String(toSlider(knob, value));
    number.value = tidy(value);
    range.setAttribute("aria-valuetext", `${number.value} ${written(knob.unit)}`);
    clearTimeout(waiting);
    waiting = setTimeout(() => act("turn", { knob: knob.name, value }), 200);
  });
  range.addEventListener("change", () => act("turn", { knob: knob.name, value: fromSlider(knob, Number(range.value)) }));
  number.addEventListener("change", () => { if (number.value !== "") act("turn", { knob: knob.name, value: Number(number.value) }); });
  return markup("div", { class: "knob", "data-knob": knob.name },
    markup("label", { for: id }, `${knob.name}${knob.unit === "1" ? "" : ` (${written(knob.unit)})`}`), range, number);
}

export function drawReadings(list, readings) {
  const names = Object.keys(readings);
  if (list.dataset.names !== names.join()) {
    list.dataset.names = names.join();
    list.replaceChildren(...names.flatMap((name) => [markup("dt", {}, name), markup("dd")]));
  }
  const cells = list.querySelectorAll("dd");
  names.forEach((name, index) => {
    const [value, unit] = readings[name], text = `${tidy(value)} ${written(unit)}`.trim();
    if (cells[index].textContent !== text) cells[index].textContent = text;
  });
}

export function drawFaults({ say, act }, list, faults) {
  keep(list, faults, () => (faults.length ? faults.map((fault) => markup("li", { class: "row", "data-fault": fault.number },
    markup("p", {}, say(fault.active ? "tester.fault.lasts" : "tester.fault.ahead",
      { kind: say(`fault.${fault.kind}`), target: fault.target, from: fault.from_s })),
    markup("button", { type: "button", onclick: () => act("end", { number: fault.number }) }, say("tester.fault.end"))))
    : [markup("li", { class: "soft" }, say("tester.fault.none"))]));
}

export function drawRuns({ say, act }, list, runs) {
  keep(list, runs, () => (runs.length ? runs.map((run) => markup("li", { class: "row", "data-run": run.number },
    markup("p", {}, markup("strong", {}, run.scenario), " ",
      markup("span", { class: `state ${run.state}` }, say(`tester.run.${run.state}`)),
      run.without.length ? ` − ${run.without.join(", ")}` : "", run.took_s ? ` · ${run.took_s} s` : ""),
    run.state === "running" ? markup("progress", { max: 1, value: run.share, "aria-label": say("tester.run.progress", { name: run.scenario }) }) : null,
    run.state === "running" ? markup("button", { type: "button", onclick: () => act("cancel", { number: run.number }) }, say("tester.run.cancel")) : null,
    run.page ? markup("p", { class: "links" }, markup("a", { href: `/reports/${run.number}`, target: "_blank" }, `${say("tester.run.report")} ${run.number}`)) : null,
    run.detail.length ? markup("ul", { class: "checks" }, ...run.detail.map((line) => markup("li", {}, line))) : null))
    : [markup("li", { class: "soft" }, say("tester.run.none"))]));
}

export function drawBatch({ say }, box, batch) {
  keep(box, batch ?? "", () => {
    if (!batch) return [];
    const head = [say("tester.batch.state", { done: batch.done, units: batch.units }),
      batch.now_at ? say("tester.batch.now", { serial: batch.now_at }) : "", batch.error].filter(Boolean).join(" · ");
    return [markup("p", {}, markup("strong", {}, batch.name), ` ${head}`),
      markup("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": batch.name }, markup("table", {},
        markup("thead", {}, markup("tr", {}, ...["serial", "firmware", "test", "verdict"].map((key) => markup("th", { scope: "col" }, say(`tester.batch.${key}`))))),
        markup("tbody", {}, ...batch.results.map((result) => markup("tr", {}, markup("td", {}, result.serial), markup("td", {}, result.firmware),
          markup("td", {}, result.test), markup("td", { class: `state ${result.verdict}`, title: result.detail }, say(`tester.run.${result.verdict}`))))))),
      markup("p", { class: "links" }, markup("a", { href: "/reports/batch/html", target: "_blank" }, say("tester.batch.html")),
        markup("a", { href: "/reports/batch/csv" }, "CSV"))];
  });
}

export function drawLines({ say }, list, view) {
  keep(list, [view.lines, view.dropped], () => [...view.lines.slice(0, 60).map((line) => markup("li", { class: "row", "data-line": line.id },
    markup("p", {}, markup("strong", {}, line.id), ` ${line.kind} · ${line.address}`),
    line.state === undefined ? null : markup("p", { class: "soft" }, line.state === "normal" ? say("tester.state.normal") : say(`fault.camera_${line.state}`)),
    line.sessions === undefined ? null : markup("p", { class: "soft" }, say("tester.line.sessions", line)),
    line.kind === "rtsp" ? null : markup("p", { class: "links" }, ...(["pty", "serial"].includes(line.kind) ? ["csv", "pcapng", "jsonl"] : ["pcapng", "csv", "jsonl"])
      .map((form) => markup("a", { href: `/trace/${encodeURIComponent(line.id)}?form=${form}`, download: true, "aria-label": `${line.id} ${say(`tester.trace.${form}`)}` }, say(`tester.trace.${form}`)))))),
  view.dropped ? markup("li", { class: "soft" }, say("tester.dropped", { count: view.dropped })) : null].filter(Boolean));
}

// Draws anew only when something changed, and gives the focus back to the same button.
function keep(box, value, draw) {
  const now = JSON.stringify(value);
  if (box.dataset.now === now) return;
  box.dataset.now = now;
  const held = box.contains(document.activeElement) ? [...box.querySelectorAll("button, a")].indexOf(document.activeElement) : -1;
  box.replaceChildren(...draw());
  if (held >= 0) box.querySelectorAll("button, a")[held]?.focus({ preventScroll: true });
}
