// One incident as a page of its own.
import { $, begin, follow } from "./live.js";
import { IncidentPanel } from "./incident.js";

const id = document.body.dataset.incident ?? $("incident").dataset.incident;
let open = [];
const panel = new IncidentPanel($("incident"), { page: true, others: () => open });
await begin();
const connected = follow({
  board(board) { open = board.incidents; panel.changed(id); },
  incident(card) { open = [...open.filter((i) => i.id !== card.id), card]; panel.changed(card.id); },
  fresh: (changed) => panel.changed(changed),
  list(kind) { if (kind === "impairments") panel.changed(id); },
});
await panel.show(id);
await connected;
