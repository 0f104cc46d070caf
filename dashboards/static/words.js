// Details travel in English as one text; here their words become the reader's. Numbers, units and ids stay.
//
//   words(text)          what our programs said; a text with a word that we never say stays whole
//   wordsOf(who, text)   where somebody's name stands beside it, somebody typed it: it stays as it is
//
// What people typed, what devices and other services say, and names are never touched.
let pattern = null, known = {};

// Between the parts of one text: "a (was: b)".
const BETWEEN = / \(was: /g;
// Left in a part of ours once its words are known: ids (smoke-301-bed.smoke, hw_7), numbers with their unit, single signs.
const PLAIN = /(?<![\w.-])\d[\d.,]*\s*[%°A-Za-zµμ/²³·]+|[A-Za-z0-9_-]*[._\-\d][\w.-]*|\b(?:unknown|to|and|more|or|no|the|arrived|late)\b/g;
// A name within a sentence of ours.
const NAMED = [/^(reset by )(.+?)()(?=; |$)/, /^()(.+?)( has answered it already)$/];
// Said by our programs in the name of who pressed.
const IN_A_NAME = new Set(["walk test", "walk test ended"]);

export function setPhrases(phrases) {
  known = phrases;
  const found = Object.keys(phrases).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // Not inside an id such as smoke-301-bed.smoke.
  pattern = found.length ? new RegExp(`(?<![\\w.-])(?:${found.join("|")})(?![\\w.-])`, "g") : null;
}
const foreign = (text) => /\p{L}{2,}/u.test(text.replace(BETWEEN, " ").replace(pattern, " ").replace(PLAIN, " "));
// subject: the id with which the text begins, which may be a word of ours.
export function words(text, subject = "") {
  if (!pattern || !text) return text;
  if (subject && text.startsWith(`${subject} `)) return `${subject} ${words(text.slice(subject.length + 1))}`;
  for (const shape of NAMED) {
    const found = shape.exec(text);
    if (found) return `${words(found[1])}${found[2]}${words(found[3])}${words(text.slice(found[0].length))}`;
  }
  return foreign(text) ? text : text.replace(pattern, (word) => known[word]);
}
export const wordsOf = (who, text) => (who && !IN_A_NAME.has(text) ? text : words(text));
