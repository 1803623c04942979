// The drawing area: strokes of a mouse, pen or finger, and pictures of them.

const PEN = 22; // width of a stroke; the area is 280 high
const SIDE = 60; // pixels of a picture: three times those of a digit in MNIST

// A pad on a canvas. A stroke is a list of [x, y]; onStart and onEnd are told of each.
export class Pad {
  constructor(canvas, { onStart, onEnd }) {
    this.canvas = canvas;
    this.strokes = [];
    this.stroke = null;
    this.pointer = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.stroke || event.button !== 0) return;
      onStart();
      this.pointer = event.pointerId;
      canvas.setPointerCapture(event.pointerId);
      this.stroke = [this.#place(event)];
      this.draw();
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      this.stroke.push(...(events.length ? events : [event]).map((each) => this.#place(each)));
      this.draw();
    });
    const end = (event) => {
      if (event.pointerId !== this.pointer) return;
      const stroke = this.stroke;
      this.stroke = this.pointer = null;
      onEnd(stroke);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(strokes) {
    this.strokes = strokes;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = window.devicePixelRatio;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    const scale = (height * ratio) / 280;
    const strokes = this.stroke ? [...this.strokes, this.stroke] : this.strokes;
    paint(context, strokes, { scale, x: 0, y: 0, colour: getComputedStyle(this.canvas).color });
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * 280) / box.height, ((event.clientY - box.top) * 280) / box.height];
  }
}

// Paint strokes, scaled and then moved by x and y.
export function paint(context, strokes, { scale, x, y, colour, pen = PEN * scale }) {
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = pen;
  context.strokeStyle = colour;
  for (const stroke of strokes) {
    context.beginPath();
    for (const [px, py] of stroke.length > 1 ? stroke : [...stroke, ...stroke]) {
      context.lineTo(px * scale + x, py * scale + y);
    }
    context.stroke();
  }
}

// The box of strokes, with their width: left, top, width, height.
export function extent(strokes) {
  const xs = strokes.flat().map(([x]) => x);
  const ys = strokes.flat().map(([, y]) => y);
  const [left, top] = [Math.min(...xs) - PEN / 2, Math.min(...ys) - PEN / 2];
  return [left, top, Math.max(...xs) + PEN / 2 - left, Math.max(...ys) + PEN / 2 - top];
}

// A picture of strokes alone, dark on light, with a margin: SIDE pixels high, and if they are no
// row, no wider.
export function picture(strokes, { row }) {
  const [left, top, width, height] = extent(strokes);
  const scale = Math.min(1, SIDE / (row ? height : Math.max(width, height)));
  const margin = 10;
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * scale) + 2 * margin;
  canvas.height = Math.ceil(height * scale) + 2 * margin;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  paint(context, strokes, { scale, x: margin - left * scale, y: margin - top * scale, colour: "black" });
  return blobOf(canvas);
}

export function blobOf(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
