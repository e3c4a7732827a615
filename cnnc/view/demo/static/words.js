// Words of a sentence, exactly as cnnc splits them: lower case, words with inner apostrophes, single punctuation marks.

// What Python's \w and \s match in text: JavaScript's own classes are ASCII, or differ in a few characters.
const WORD = "[\\p{L}\\p{N}_]";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const TOKEN = new RegExp(`${WORD}+(?:['’]${WORD}+)*|[^\\p{L}\\p{N}_${SPACE}]`, "gu");

const splitWords = (sentence) => sentence.toLowerCase().match(TOKEN) || [];

const PADDING = 0;
const UNKNOWN = 1;
const FIRST_WORD = 2;

// Words as integers, truncated or padded to a length.
function encodeWords(words, known, length) {
  const numbers = words.slice(0, length).map((word) => known.get(word) ?? UNKNOWN);
  return [...numbers, ...new Array(Math.max(0, length - numbers.length)).fill(PADDING)];
}
