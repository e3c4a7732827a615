// An input of words: a sentence, split and numbered as in training.

function textInput(input, changed) {
  const known = new Map(input.vocabulary.map((word, i) => [word, FIRST_WORD + i]));
  const box = make("textarea", { rows: 3, spellcheck: "false" });
  const shown = make("div", { class: "words" });
  const message = make("p", { class: "note", role: "status" });
  const length = input.shape[0];
  let loaded = null; // the numbers of an example, until the sentence is edited

  function lengthOf(words) {
    if (typeof length === "number") return length;
    const rule = input.legal[length];
    return words.length && !allows(rule, words.length) && rule ? Math.max(words.length, rule.minimum) : words.length;
  }

  function update() {
    const words = splitWords(box.value);
    const used = loaded ? input.vocabulary && wordsOf(loaded) : words;
    const end = typeof length === "number" ? length : words.length;
    shown.replaceChildren(
      ...used.slice(0, 400).map((word, i) =>
        make("span", { class: i >= end ? "word cut" : known.has(word) ? "word" : "word unknown" }, word),
      ),
    );
    const unknown = [...new Set(words.filter((word) => !known.has(word)))];
    const notes = [];
    if (!loaded && unknown.length) notes.push(`not in the vocabulary: ${unknown.slice(0, 5).join(", ")}${unknown.length > 5 ? `, and ${unknown.length - 5} more` : ""}`);
    if (!loaded && words.length > end) notes.push(`truncated to ${end} words`);
    message.textContent = notes.join("; ");
    changed();
  }

  const wordsOf = (numbers) => numbers.filter((n) => n !== PADDING).map((n) => (n === UNKNOWN ? "?" : input.vocabulary[n - FIRST_WORD] ?? `#${n}`));
  box.addEventListener("input", () => {
    loaded = null;
    update();
  });

  return {
    element: make("div", {}, field("Sentence", box, { class: "field wide" }), shown, message),
    read() {
      if (loaded) return { values: loaded, shape: [loaded.length], isPixels: false };
      const words = splitWords(box.value);
      if (!words.length) throw new Error(`${input.name}: write a sentence`);
      const values = encodeWords(words, known, lengthOf(words));
      return { values, shape: [values.length], isPixels: false };
    },
    load(values) {
      loaded = [...values].map(Number);
      box.value = wordsOf(loaded).join(" ");
      update();
    },
    start: update,
  };
}
