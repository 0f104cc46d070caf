// A small plot as SVG. A missing value breaks the line; it is never drawn as zero.
import { unit } from "./units.js";

export { unit };
const NS = "http://www.w3.org/2000/svg";
const round = (v) => (Math.abs(v) >= 100 ? v.toFixed(0) : Math.abs(v) >= 10 ? v.toFixed(1) : v.toFixed(2));

export function plot(series, onsetUs, name, clock) {
  const box = document.createElement("div");
  box.className = "plot";
  const known = series.samples.filter((s) => s.value !== null && s.value !== undefined);
  const last = series.samples[series.samples.length - 1];
  const head = document.createElement("p");
  const title = document.createElement("span"); title.textContent = name;
  const now = document.createElement("b");
  now.textContent = last && last.value !== null && last.value !== undefined ? `${round(last.value)} ${unit(series.unit)}` : "—";
  head.append(title, now); box.append(head);
  if (known.length < 2) return box;
  const t0 = series.samples[0].at_us, t1 = last.at_us, span = Math.max(1, t1 - t0);
  let low = Math.min(...known.map((s) => s.value)), high = Math.max(...known.map((s) => s.value));
  if (high - low < 1e-9) { high += 1; low -= 1; }
  const x = (us) => (us - t0) / span * 300, y = (v) => 76 - (v - low) / (high - low) * 72;
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 300 80"); svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${name}: ${round(low)} – ${round(high)} ${unit(series.unit)}`);
  let path = "", pen = false;
  for (const s of series.samples) {
    if (s.value === null || s.value === undefined) { pen = false; continue; }
    path += `${pen ? "L" : "M"}${x(s.at_us).toFixed(1)} ${y(s.value).toFixed(1)}`; pen = true;
  }
  const trace = document.createElementNS(NS, "path");
  trace.setAttribute("class", "trace"); trace.setAttribute("d", path); svg.append(trace);
  if (onsetUs > t0 && onsetUs < t1) {
    const line = document.createElementNS(NS, "line");
    line.setAttribute("class", "onset");
    for (const [k, v] of [["x1", x(onsetUs)], ["x2", x(onsetUs)], ["y1", 0], ["y2", 80]]) line.setAttribute(k, v);
    svg.append(line);
  }
  box.append(svg);
  const edge = document.createElement("p"); edge.className = "edge";
  for (const text of [clock(t0), `${round(low)} – ${round(high)} ${unit(series.unit)}`, clock(t1)]) {
    const part = document.createElement("span"); part.textContent = text; edge.append(part);
  }
  box.append(edge);
  return box;
}
