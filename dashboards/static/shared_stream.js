// One stream of the server for all tabs of a browser: HTTP/1.1 allows six connections, and six live tabs would starve
// the seventh, its clicks included.
//
//   tab 1 ─ holds the lock ─ EventSource ─► its page
//              └─ BroadcastChannel ─► tab 2, tab 3 …          tab 1 closes ─► the lock goes on ─► tab 2 leads
//
// A tab that comes later says up to where it knows; who leads sends what came since, or says that the tab must ask anew.
// A tab that hears nothing asks whether anybody leads; without an answer (a tab that prints stands still) it opens its
// own stream. So does every tab of a browser without locks, or over plain HTTP. Only tabs of the same person with the same
// rights share (data-seat): a stream of who signed out never reaches who signed in after.
const KEPT_MAX = 300, ASK_AFTER_MS = 4000, ALONE_AFTER_MS = 8000, LOOK_EVERY_MS = 1000;

// As much of EventSource as our pages use. key: the same for all tabs that may share; urlOf: asked when a stream is
// opened; types: of events; after: up to where this tab knows, null for a stream whose last event of each type is whole.
export class SharedStream {
  #on = new Map(); #channel = null; #source = null; #free = null; #over = false; #leads = false;
  #kept = []; #low = 0; #me = Math.random().toString(36).slice(2); #heard = performance.now(); #timer = 0; #stop = new AbortController();

  constructor(key, urlOf, types, after = null) {
    Object.assign(this, { urlOf, types, after, onerror: null, readyState: EventSource.CONNECTING });
    const seat = document.documentElement.dataset.seat, name = `tocsin ${seat} ${key}`;
    if (!seat || !navigator.locks || !globalThis.BroadcastChannel) { this.#open(); return; }
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#message(data);
    navigator.locks.request(name, { signal: this.#stop.signal }, () => this.#over ? null
      : new Promise((free) => { this.#free = free; this.#leads = true; this.#open(); })).catch(() => { /* closed before its turn */ });
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#hello();
  }
  addEventListener(type, heard) { this.#on.set(type, [...(this.#on.get(type) ?? []), heard]); }
  close() {
    this.#over = true; this.readyState = EventSource.CLOSED;
    clearInterval(this.#timer); this.#source?.close(); this.#stop.abort(); this.#free?.(); this.#channel?.close();
  }

  #open() {
    if (this.#source || this.#over) return;
    this.#low = this.after?.() ?? 0;
    const source = this.#source = new EventSource(this.urlOf());
    for (const type of this.types) source.addEventListener(type, ({ data, lastEventId }) => {
      const event = { type, data, lastEventId };
      if (type !== "heartbeat") this.#keep(event);
      if (this.#leads) this.#channel?.postMessage({ event });
      this.#tell(event);
    });
    source.onerror = () => { this.readyState = source.readyState; if (!this.#over) this.onerror?.(); };
  }
  #keep(event) {
    if (!this.after) this.#kept = this.#kept.filter((one) => one.type !== event.type);
    this.#kept.push(event);
    while (this.#kept.length > KEPT_MAX) this.#low = Math.max(this.#low, Number(this.#kept.shift().lastEventId));
  }
  #tell(event) {
    if (this.#over) return;
    this.readyState = EventSource.OPEN;
    for (const heard of this.#on.get(event.type) ?? []) heard(event);
  }
  #hello() { this.#channel.postMessage({ hello: this.#me, after: this.after?.() ?? null }); }
  #message(said) {
    if (this.#over) return;
    if (said.hello && this.#leads) this.#answer(said);
    if (this.#leads) return;
    if (this.#source) { // its own stream counts, until whoever leads is heard again: then it asks for what it may lack
      if (said.event?.type !== "heartbeat") return;
      this.#source.close(); this.#source = null; this.#kept = [];
      this.#heard = performance.now(); this.#hello();
      return;
    }
    if (said.event || said.to === this.#me) this.#heard = performance.now();
    if (said.event) this.#tell(said.event);
    if (said.to === this.#me) for (const event of said.events) this.#tell(event);
  }
  #answer({ hello, after }) {
    const behind = this.after && after < this.#low, since = this.after ? this.#kept.filter((one) => Number(one.lastEventId) > after) : this.#kept;
    const events = behind ? [{ type: "resync", data: "{}", lastEventId: "" }] : since.map((one) => ({ ...one, replayed: true }));
    this.#channel.postMessage({ to: hello, events });
  }
  #look() {
    if (this.#source) return;
    const silent = performance.now() - this.#heard;
    if (silent > ALONE_AFTER_MS) this.#open(); else if (silent > ASK_AFTER_MS) this.#hello();
  }
}
