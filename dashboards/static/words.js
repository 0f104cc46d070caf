// Details travel in English as one text; here their words become the reader's. Numbers, units and ids stay.
let pattern = null, known = {};

export function setPhrases(phrases) {
  known = phrases;
  const words = Object.keys(phrases).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // Not inside an id such as smoke-301-bed.smoke.
  pattern = words.length ? new RegExp(`(?<![\\w.-])(?:${words.join("|")})(?![\\w.-])`, "g") : null;
}
export const words = (text) => (pattern ? text.replace(pattern, (word) => known[word]) : text);
