// One incident, whole: what, where, who, readings, what may be done now.
import { clockTime, duration, shownUs } from "./shown_time.js";
import { plot } from "./plot.js";
import { words } from "./words.js";

// What the page offers in each state; the server decides (laws of safety), the page only proposes.
const ACTIONS = {
  new: ["acknowledge", "confirm", "dispatch", "false_alarm", "close"],
  reopened: ["acknowledge", "confirm", "dispatch", "false_alarm", "close"],
  confirmed: ["acknowledge", "dispatch", "on_scene", "false_alarm", "close"],
  dispatched: ["acknowledge", "on_scene", "resolve", "false_alarm"],
  on_scene: ["resolve", "false_alarm"],
  resolved: ["close"],
  false: ["reopen"],
  closed: ["reopen"],
};
const REASONED = new Set(["false_alarm", "close", "reopen", "note"]);

const make = (kind, className = "", text = "") => {
  const node = document.createElement(kind);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
};

export function detail(section, view, { say, name, place, tag, act }) {
  const head = make("header");
  head.append(make("h2", "", `${say(`hazard.${view.hazard}`)} — ${name(view.zone_name) || view.zone}`),
    tag(say(`severity.${view.severity}`), view.severity), tag(say(`state.${view.state}`)),
    tag(say(view.verification && view.verification !== "none" ? "verified" : "unverified"),
      view.verification && view.verification !== "none" ? "good" : ""));
  if (view.drill) head.append(tag(say("drill"), "drill"));
  const actions = make("p", "actions");
  for (const action of [...(ACTIONS[view.state] ?? []), "note"]) {
    if (action === "acknowledge" && view.acknowledged_by) continue;
    const button = make("button", action === "acknowledge" ? "primary" : "", say(`action.${action}`));
    button.type = "button"; button.dataset.action = action;
    button.onclick = () => act(view, action, REASONED.has(action));
    actions.append(button);
  }
  const outcome = make("p", "outcome"); outcome.setAttribute("role", "status");
  section.replaceChildren(head, actions, outcome, facts(view, { say, name, place }), ...handling(view, { say, name, act }),
    make("h3", "", say("readings")), plots(view, { say, name }),
    make("h3", "", say("alarms")), alarms(view, { say, name, tag }),
    make("h3", "", say("contacts")), contacts(view, say),
    make("h3", "", say("timeline")), timeline(view, say));
  section.setAttribute("aria-label", place(view));
}

function facts(view, { say, name, place }) {
  const list = make("dl", "facts");
  const add = (term, value) => { if (value) list.append(make("dt", "", term), make("dd", "", value)); };
  add(say("place"), place(view));
  add(say("address"), name(view.address));
  add(say("access"), name(view.access_note));
  if (view.acknowledged_by) {
    add(say("acknowledged"), `${say("acknowledged.by", { who: view.acknowledged_by })}, ${clockTime(view.acknowledged_us)} — `
      + say(view.gateway_told_us ? "gateway.knows" : "gateway.waiting"));
  }
  return list;
}

// Whose turn it is until when, what the plan says, and tasks with their persons.
function handling(view, { say, name, act }) {
  const h = view.handling;
  if (!h) return [];
  const list = make("dl", "facts");
  const add = (term, value) => { if (value) list.append(make("dt", "", term), make("dd", "", value)); };
  add(say("stage"), say(`stage.${h.stage}`) + (h.deadline_us ? ` — ${say("stage.until", { time: clockTime(h.deadline_us) })}` : ""));
  add(say("told"), [h.told ? `${h.told}` : "", h.undelivered ? say("told.not", { n: h.undelivered }) : ""].filter(Boolean).join(" · "));
  if (h.cause && h.cause !== "unstated") add(say("cause"), say(`cause.${h.cause}`));
  const steps = make("ol", "list");
  for (const step of h.steps ?? []) steps.append(make("li", "", name(step)));
  const tasks = make("ul", "list");
  for (const task of h.tasks ?? []) {
    const item = make("li", task.done_us || !task.due_us ? "" : shownUs() > task.due_us ? "warn" : "",
      `${name(task.title)} — ${task.person} · ${task.done_us ? `${say("task.done")} ${clockTime(task.done_us)} ${task.done_by}: ${task.result}`
        : task.due_us ? say("task.until", { time: clockTime(task.due_us) }) : ""} `);
    if (!task.done_us && task.due_us && !task.proof_wanted) {
      const button = make("button", "", say("task.do"));
      button.type = "button";
      button.onclick = () => act(view, "task", true, (why) => ({ type: "do_task", task: task.id, result: why }));
      item.append(button);
    }
    tasks.append(item);
  }
  return [make("h3", "", h.plan ? name(h.plan) : say("handling")), list, steps, tasks];
}

function plots(view, { say, name }) {
  const box = make("div", "plots");
  for (const series of view.plots ?? []) box.append(plot(series, view.opened_us, name(series.name), clockTime));
  if (!box.children.length) box.append(make("p", "empty", say("readings.none")));
  return box;
}

function alarms(view, { say, name, tag }) {
  const list = make("ul", "list");
  for (const a of view.alarms ?? []) {
    const item = make("li");
    item.append(tag(say(`severity.${a.severity}`), a.severity), ` ${name(a.title)} — ${name(a.place) || a.device} · `,
      say(`alarm.${a.state}`), a.latched ? ` (${say("latched")})` : "", " · ", make("time", "", clockTime(a.at_us)));
    if (a.detail) item.append(make("div", "", words(a.detail)));
    if (a.test) item.append(" ", tag(say("test"), "drill"));
    if (a.journaled === false) item.append(make("div", "warn", say("not_journaled")));
    if (a.trustworthy === false) item.append(make("div", "warn", say("point.untrusted")));
    list.append(item);
  }
  return list;
}

function contacts(view, say) {
  const list = make("ul", "list");
  for (const c of view.contacts ?? []) {
    const item = make("li", "", `${c.name} (${say(`role.${c.role}`).replace(/^role\./, "")}) `), call = make("a", "", c.phone);
    call.href = `tel:${c.phone.replaceAll(" ", "")}`;
    item.append(call, c.note ? ` — ${c.note}` : "");
    list.append(item);
  }
  if (!list.children.length) list.append(make("li", "empty", say("contacts.none")));
  return list;
}

function timeline(view, say) {
  const list = make("ol", "list");
  for (const entry of [...(view.log ?? [])].reverse()) {
    const key = `log.${entry.what}`, known = say(key);
    const item = make("li");
    item.append(make("time", "", clockTime(entry.at_us)), ` ${known === key ? entry.what : known}`,
      entry.who ? ` · ${entry.who}` : "", entry.detail ? ` — ${words(entry.detail)}` : "");
    list.append(item);
  }
  return list;
}

export { duration, shownUs };
