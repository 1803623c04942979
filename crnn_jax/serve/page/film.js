// Clips for networks that describe one: a drawn digit does something, as in training
// (crnn_jax/data/clips.py).

import { blobOf, extent, paint } from "./pad.js";

const FRAMES = 8, SIZE = 40, GLYPH = 17, STROKE = 2.4; // pixels: of a frame, its digit, its strokes

const MOVES = { "to the left": [-1, 0], "to the right": [1, 0], up: [0, -1], down: [0, 1] };
const SPEEDS = { slowly: [4, 1.25], quickly: [11, 1.9] }; // pixels moved, times grown

// What the digit can do: its words, and how far it moves and how much it grows from end to end.
export const SCENES = [["stands still in the middle", [0, 0], 1]];
for (const [where, [x, y]] of Object.entries(MOVES)) {
  for (const [how, [far]] of Object.entries(SPEEDS)) {
    SCENES.push([`moves ${how} ${where}`, [far * x, far * y], 1]);
  }
}
for (const [how, [, times]] of Object.entries(SPEEDS)) {
  SCENES.push([`grows ${how}`, [0, 0], times], [`shrinks ${how}`, [0, 0], 1 / times]);
}

// Film strokes: the pictures of a clip.
export function film(strokes, [, [right, down], grows]) {
  const [left, top, width, height] = extent(strokes);
  return Array.from({ length: FRAMES }, (_, i) => {
    const time = i / (FRAMES - 1) - 0.5;
    const size = grows ** time;
    const scale = (GLYPH * size) / Math.max(width, height);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, SIZE, SIZE);
    paint(context, strokes, {
      scale, pen: STROKE * size, colour: "white",
      x: SIZE / 2 + time * right - scale * (left + width / 2),
      y: SIZE / 2 + time * down - scale * (top + height / 2),
    });
    return { name: `${i + 1}.png`, blob: blobOf(canvas) };
  });
}
