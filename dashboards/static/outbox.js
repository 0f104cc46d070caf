// What a phone has done and the server has not taken yet: kept in the browser's own store, sent in order, again until
// there is an answer. Each has the id of its click, so that sending twice counts once. Nothing goes without a person
// seeing it: a refusal stays in sight until it is put away.
//
//   do(entry) ─► kept ─► picture? POST photos ─► its hash ─► POST deeds ─► gone          no answer: kept, tried again
//                                                             └─ refused ─► shown with its reason
import { newId } from "./live.js";

export const ENTRIES_MAX = 60; // with pictures of at most 1.5 MB the store stays below 100 MB
const NAME = "tocsin-station", AGAIN_MS = 3000;

function database() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("waiting", { keyPath: "number", autoIncrement: true });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
const within = (base, mode, work) => new Promise((resolve, reject) => {
  const step = base.transaction("waiting", mode, { durability: "strict" }), asked = work(step.objectStore("waiting"));
  step.oncomplete = () => resolve(asked?.result); step.onerror = step.onabort = () => reject(step.error);
});

export class Outbox {
  constructor(changed) { Object.assign(this, { changed, entries: [], sending: false, offline: false, base: null }); }

  async open() {
    this.base = await database();
    this.entries = await within(this.base, "readonly", (s) => s.getAll());
    addEventListener("online", () => this.send());
    setInterval(() => this.send(), AGAIN_MS);
    this.changed(); this.send();
  }

  // Kept before it is said to be done; false when the store is full.
  async add(entry) {
    if (this.entries.length >= ENTRIES_MAX) return false;
    const kept = { ...entry, request: newId() };
    try { kept.number = await within(this.base, "readwrite", (s) => s.add(kept)); } catch (error) { console.warn("outbox", error); return false; }
    this.entries.push(kept);
    this.changed(); this.send();
    return true;
  }

  async drop(entry) {
    await within(this.base, "readwrite", (s) => s.delete(entry.number));
    this.entries = this.entries.filter((e) => e.number !== entry.number);
    this.changed();
  }

  async send() {
    if (this.sending || !this.base) return;
    this.sending = true;
    try {
      for (const entry of [...this.entries].filter((e) => !e.refused)) if (!await this.one(entry)) break;
    } finally { this.sending = false; this.changed(); }
  }

  // true: go on with the next.
  async one(entry) {
    try {
      const deed = { ...entry.deed };
      if (entry.photo) {
        const answer = await fetch(`/api/incidents/${encodeURIComponent(entry.incident)}/photos`, { method: "POST", body: entry.photo,
          headers: { "Content-Type": "image/jpeg", "X-Tocsin": "board" }, signal: AbortSignal.timeout(60000) });
        if (!await this.taken(entry, answer)) return Boolean(entry.refused);
        const { sha256 } = await answer.json();
        if (deed.type === "do_task") deed.proof = { ...deed.proof, photo: sha256 }; else deed.photo = sha256;
      }
      const answer = await fetch(`/api/incidents/${encodeURIComponent(entry.incident)}/deeds`, { method: "POST", signal: AbortSignal.timeout(15000),
        headers: { "Content-Type": "application/json", "X-Tocsin": "board" }, body: JSON.stringify({ deed, request: entry.request, who: entry.who }) });
      if (!await this.taken(entry, answer)) return Boolean(entry.refused);
      const result = await answer.json().catch(() => ({}));
      if (answer.ok && result.done) { await this.drop(entry); return true; }
      // "Stored, but not yet carried out" is no refusal: the same id asks again.
      if (answer.status === 409 && /not (yet|known)/.test(result.refusal ?? "")) return false;
      return this.refuse(entry, result.refusal ?? `${answer.status}`);
    } catch (error) { this.offline = true; console.warn("outbox: no answer", error); return false; }
  }

  async taken(entry, answer) {
    this.offline = false;
    if (answer.status === 401) { this.offline = true; return false; } // signed out: kept until somebody signs in
    if (answer.status >= 500 || answer.status === 408 || answer.status === 429) return false;
    if (answer.status >= 400 && answer.status !== 409) { await this.refuse(entry, (await answer.json().catch(() => ({}))).refusal ?? `${answer.status}`); return false; }
    return true;
  }

  async refuse(entry, why) {
    entry.refused = why;
    await within(this.base, "readwrite", (s) => s.put(entry));
    this.changed();
    return true;
  }
}
