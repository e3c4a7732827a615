// The controls of all inputs: one each, by what the input takes.

const CONTROLS = { image: imageInput, text: textInput, sliders: slidersInput, series: seriesInput, numbers: numbersInput };

class Inputs {
  constructor(section, inputs, changed) {
    this.inputs = inputs;
    let ready = false;
    this.controls = inputs.map((input) => CONTROLS[input.control](input, () => ready && changed()));
    inputs.forEach((input, i) => {
      const { element } = this.controls[i];
      const legend = inputs.length > 1 ? input.name : "";
      section.append(make("div", { class: "control", role: "group", "aria-label": input.name }, legend ? make("h3", {}, legend) : null, element));
    });
    this.controls.forEach((control) => control.start());
    ready = true;
    document.addEventListener("paste", (event) => this.paste(event));
  }

  // The feeds of the model. Throws an Error that says what is missing.
  feeds() {
    return Object.fromEntries(
      this.inputs.map((input, i) => {
        const { values, shape, isPixels } = this.controls[i].read();
        return [input.name, feedOf(values, shape, isPixels, input)];
      }),
    );
  }

  // Shows an example: for each input { values, shape, dtype }.
  load(arrays) {
    this.controls.forEach((control, i) => control.load(arrays[i].values, arrays[i].shape, arrays[i].dtype === "uint8"));
  }

  // An image from the clipboard goes to the first input that takes one.
  paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    const control = this.controls.find((one) => one.paste);
    if (!file || !control) return;
    event.preventDefault();
    control.paste(file);
  }
}
