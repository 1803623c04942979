// Showing what was answered, and the frames that it was answered about.

const element = (id) => document.getElementById(id);

const percent = (share) => `${(100 * share).toFixed(1)}%`;

// A new element with text and children.
function make(name, { text = "", ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

function bar(share) {
  const filled = make("span");
  filled.style.width = percent(share);
  const whole = make("span", { className: "bar" }, filled);
  whole.setAttribute("aria-hidden", "true");
  return whole;
}

const number = (value) => (Math.abs(value) < 1e6 ? value.toFixed(2) : value.toPrecision(6));

// What an estimate adds to the answer that stands beside it.
function estimate({ answer, estimate }) {
  return estimate === undefined || answer === String(Number(estimate.toPrecision(4))) ? "" : number(estimate);
}

// The answer in large; `found` is null where there is none yet.
export function showAnswer(found) {
  const text = found ? found.answer || "(nothing)" : "–";
  const size = text.length <= 6 ? "" : text.length <= 14 ? "medium" : "long";
  element("text").className = found ? size : "empty";
  if (element("text").textContent !== text) element("text").textContent = text;
  const more = found && estimate(found);
  element("estimate").textContent = more ? `estimate ${more}` : "";
  element("confidence").hidden = found?.confidence === undefined;
  if (found?.confidence !== undefined) {
    element("confidence").replaceChildren(
      bar(found.confidence), make("span", { className: "share", text: `${percent(found.confidence)} sure` }));
  }
  const classes = found?.classes ?? [];
  element("classes").hidden = !classes.length;
  element("classes").replaceChildren(...classes.map((each) => make("li", {}, make("span", { text: each.class }),
    bar(each.probability), make("span", { className: "share", text: percent(each.probability) }))));
}

// The frames with the answer after each, and what was written in symbols.
export function showFrames(found, { takes, symbols, frame }, { drawing, pixels }) {
  const { images = [], places = [], cut = false, ...line } = found?.frames ?? {};
  const steps = found?.steps ?? [];
  const of = takes === "line"
    ? images.map((address) => lineOf(address, steps, line))
    : images.map((address, i) => frameOf(address, places[i], symbols ? undefined : steps[places[i]], {
      drawn: drawing && i === images.length - 1, pixels,
    }));
  element("frames").replaceChildren(...of);
  const written = symbols && takes !== "line" ? steps : [];
  element("symbols").hidden = element("symbols-title").hidden = !written.length;
  element("symbols").replaceChildren(...written.map((step) => make("li", {},
    make("strong", { text: step.answer }), bar(step.confidence), make("span", { text: percent(step.confidence) }))));
  const [height, width, channels] = frame;
  const size = takes === "line" ? `${height} pixels high` : `${width} × ${height} pixels`;
  const first = cut ? "; only the first frames are read" : "";
  element("shape").textContent = images.length ? `${size}, ${channels === 1 ? "grey" : "RGB"}${first}` : "Nothing yet";
}

function frameOf(address, place, step, { drawn, pixels }) {
  const said = step ? `: ${step.answer}` : "";
  const shown = make("li", { className: drawn ? "drawing" : "" },
    make("img", { src: address, alt: `frame ${place + 1}${said}` }));
  if (pixels) shown.firstChild.style.aspectRatio = pixels;
  if (step) {
    shown.append(make("strong", { text: step.answer }));
    if (estimate(step)) shown.append(make("span", { text: estimate(step) }));
    if (step.confidence !== undefined) shown.append(bar(step.confidence), percent(step.confidence));
  }
  return shown;
}

// A line as it is read, each symbol below the place that it was read from.
function lineOf(address, steps, { left, pixel }) {
  const image = make("img", { src: address, alt: "the line as it is read" });
  const strip = make("div", { className: "strip" }, image);
  image.addEventListener("load", () => {
    const places = steps.map(({ pixels: [from, to] }) => ((from + to) / 2 - left) / pixel / image.naturalWidth);
    const nearest = Math.min(...places.slice(1).map((place, i) => place - places[i]));
    const room = nearest * strip.clientWidth > 36; // pixels that a percentage takes
    for (const [i, { answer, confidence }] of steps.entries()) {
      const sure = room ? `${Math.round(100 * confidence)}%` : "";
      const symbol = make("span", { className: "symbol", title: percent(confidence) }, make("strong", { text: answer }), sure);
      symbol.style.left = percent(places[i]);
      strip.append(symbol);
    }
  });
  return make("li", { className: "line" }, strip);
}

// What is wrong, without what a command line would need; "" for nothing.
export function showNote(error = "") {
  element("note").textContent = error.split(";")[0];
}
