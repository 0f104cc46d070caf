// Tables of the profile editor: what the map makes of samples, and truth beside what the gateway's driver read.
import { markup, shown } from "./tester_device.js";

const named = ({ language }, point) => (language === "zh" ? point.zh : point.en) || point.id;
const fill = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const quality = ({ say }, it) => [say(`quality.${it.quality}`), it.reason ? say(`reason.${it.reason}`) : ""].filter(Boolean).join(" · ");

export function drawTopics(ctx, box, topics) {
  const names = topics.map((it) => it.topic).join("\n");
  if (box.dataset.of !== names) {
    box.dataset.of = names;
    box.replaceChildren(...topics.map((it) => {
      const field = markup("textarea", { rows: 3, spellcheck: "false", maxlength: 4096, "data-topic": it.topic });
      field.value = it.payload;
      let waiting = 0;
      field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => ctx.sample(it.topic, field.value), 300); });
      return markup("label", { class: "field" }, ctx.say("profile.payload", { topic: it.topic }), field, markup("span", { class: "problem" }));
    }));
  }
  topics.forEach((it, index) => {
    const field = box.children[index].querySelector("textarea");
    if (document.activeElement !== field && field.value !== it.payload) field.value = it.payload;
    field.setAttribute("aria-invalid", String(Boolean(it.problem)));
    fill(box.children[index].querySelector(".problem"), it.problem ? ctx.say(`profile.problem.${it.problem}`) : "");
  });
}

export function drawLooks(ctx, table, body, points) {
  table.hidden = false;
  const names = points.map((it) => `${it.id}:${it.words.length}`).join();
  if (body.dataset.of !== names) {
    body.dataset.of = names;
    body.replaceChildren(...points.map((it) => lookRow(ctx, it)));
  }
  points.forEach((it, index) => {
    const row = body.rows[index], [place, words, raw, value, judged] = row.querySelectorAll("td");
    fill(row.querySelector("th .name"), named(ctx, it));
    const line = row.querySelector("th .line");
    line.onclick = () => ctx.goTo(it.line);
    fill(line, ctx.say("profile.line", { line: it.line }));
    fill(place, [it.place, it.form].filter(Boolean).join(" · "));
    const field = words.querySelector("input");
    if (field) {
      if (document.activeElement !== field && !it.problem) field.value = it.words.join(" ");
      field.setAttribute("aria-invalid", String(Boolean(it.problem)));
      fill(words.querySelector(".problem"), it.problem ? ctx.say(`profile.problem.${it.problem}`, { count: it.words.length }) : "");
    } else fill(words, it.topic);
    fill(raw, [it.raw === null ? "" : String(it.raw), it.rule].filter(Boolean).join(" "));
    fill(value, it.value === null && it.quality === "never" ? "–" : shown(ctx, it.value, it.unit));
    value.classList.toggle("bad-value", it.value === null);
    fill(judged, quality(ctx, it));
  });
}

function lookRow(ctx, it) {
  const field = it.words.length ? markup("input", { class: it.words.length > 1 ? "words" : "words short", maxlength: 60, spellcheck: "false",
    autocomplete: "off", "data-sample": it.id, "aria-label": ctx.say("profile.sample.of", { point: named(ctx, it) }) }) : null;
  if (field) {
    let waiting = 0;
    field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => ctx.sample(it.id, field.value), 250); });
  }
  return markup("tr", { "data-look": it.id },
    markup("th", { scope: "row" }, markup("span", { class: "name" }), markup("br"), markup("span", { class: "soft" }, `${it.id} `),
      markup("button", { type: "button", class: "line" })),
    markup("td", { class: "soft" }), markup("td", { class: "hex" }, field, field ? markup("span", { class: "problem", role: "status" }) : null),
    markup("td", { class: "number" }), markup("td", { class: "number" }), markup("td"));
}

export function drawRun(ctx, line, table, body, view) {
  const { say } = ctx;
  const words = view === null ? say("profile.run.none")
    : [say(`profile.run.${view.state}`, { profile: view.profile, address: view.address }), view.trouble].filter(Boolean).join(" · ");
  fill(line, words);
  line.className = `verdict ${view === null || view.state === "starting" ? "" : view.state === "failed" || view.trouble ? "bad" : "good"}`;
  table.hidden = !view?.points.length;
  if (table.hidden) return;
  const names = `${view.profile}:${view.points.map((it) => it.shown.id)}`;
  if (body.dataset.of !== names) {
    body.dataset.of = names;
    body.replaceChildren(...view.points.map((it) => runRow(ctx, it.shown)));
  }
  view.points.forEach((it, index) => {
    const [truth, held, read, judged, compared] = body.rows[index].querySelectorAll("td");
    fill(truth, shown(ctx, it.shown.value, it.shown.unit));
    fill(held, it.shown.words.join(" ") || it.shown.place);
    fill(read, it.quality === "never" ? "–" : shown(ctx, it.read, it.shown.unit));
    fill(judged, [quality(ctx, it), it.age_s < 0 ? "" : say("profile.age", { age: Math.floor(it.age_s) })].filter(Boolean).join(" · "));
    fill(compared.firstChild, say(`agree.${it.agreement}`));
    compared.firstChild.className = `agree ${it.agreement}`;
  });
}

function runRow(ctx, point) {
  const { say } = ctx, label = say("tester.set.label", { point: named(ctx, point) });
  const field = point.boolean
    ? markup("select", { "aria-label": label }, markup("option", { value: "on" }, say("tester.true")), markup("option", { value: "off" }, say("tester.false")))
    : markup("input", { "aria-label": label, required: true, maxlength: 60, inputmode: point.text ? "text" : "decimal" });
  return markup("tr", { "data-run-point": point.id },
    markup("th", { scope: "row" }, named(ctx, point), markup("br"), markup("span", { class: "soft" }, point.id)),
    markup("td", { class: "number" }), markup("td", { class: "hex" }), markup("td", { class: "number" }), markup("td"), markup("td", {}, markup("span")),
    markup("td", {}, markup("form", { onsubmit: (event) => { event.preventDefault(); ctx.set(point.id, field.value); } },
      field, markup("button", { "aria-label": label }, say("tester.set")))));
}
