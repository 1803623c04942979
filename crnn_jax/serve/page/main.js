// The page: what was drawn and dropped so far, and what the network answers about it.

import { about, ask, blobAt } from "./ask.js";
import { film, SCENES } from "./film.js";
import { Pad, picture } from "./pad.js";
import { showAnswer, showFrames, showNote } from "./show.js";

const element = (id) => document.getElementById(id);
const PAUSE = 1000; // milliseconds after a stroke until the next digit

const network = await about();
const { takes, draws, fewest, most } = network;
const films = takes === "clip" && draws;
const several = takes === "pictures";

// Pictures {name, blob}, and what is being drawn; undoing goes back to a past state.
let state = { pictures: [], strokes: [] };
const past = [];
let asking = new AbortController();
let certain = false; // whether what is shown is the answer about the state
let timer = 0;

const pad = new Pad(element("pad"), {
  onStart: () => {
    clearTimeout(timer);
    if (several && state.pictures.length === most && !state.strokes.length) change({ pictures: [], strokes: [] });
    if (!several && state.pictures.length) change({ pictures: [], strokes: [] });
  },
  onEnd: (stroke) => {
    change({ ...state, strokes: [...state.strokes, stroke] });
    timer = setTimeout(() => element("pause").checked && certain && next(), PAUSE);
  },
});

function change(to) {
  past.push(state);
  state = to;
  update();
}

// What is being drawn, as pictures whose files are promised.
function drawing() {
  const { pictures, strokes } = state;
  if (!strokes.length) return [];
  if (films) return film(strokes, SCENES[element("scene").selectedIndex]);
  return [{ name: `drawing ${pictures.length + 1}`, blob: picture(strokes, { row: takes === "line" }) }];
}

// Show the state, and ask about it.
async function update() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  certain = false;
  pad.show(state.strokes);
  showNote();
  showTools();
  showHint();
  const pictures = [...state.pictures, ...drawing()];
  if (!pictures.length) return show(null, pictures);
  element("answer").ariaBusy = "true";
  try {
    show(await ask(pictures, { signal }), pictures);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

function show(found, pictures) {
  element("answer").ariaBusy = "false";
  const got = found?.frames?.images ?? [];
  const read = several && found && got.length === pictures.length;
  if (read) state.pictures.forEach((each, i) => (each.blob = blobAt(got[i]))); // from now on as they were read
  const missing = read && found.error ? fewest - pictures.length : 0;
  certain = Boolean(found) && (!found.error || missing > 0);
  showAnswer(found && !found.error ? found : null);
  showFrames(found, network, { drawing: several && state.strokes.length > 0 });
  if (found?.error && missing <= 0) showNote(found.error);
  showHint(missing);
}

function showTools() {
  const nothing = !state.pictures.length && !state.strokes.length;
  element("next").disabled = !state.strokes.length;
  element("undo").disabled = !past.length;
  element("clear").disabled = nothing;
}

function showHint(missing = 0) {
  const hints = {
    pictures: most === 1 ? "Draw one here, or drop a picture" : `Draw one after the other, up to ${most}, or drop pictures`,
    line: "Write a row here, or drop a picture of one",
    clip: films ? "Draw a digit here, or drop a clip" : "Drop a clip: a video, an animation or pictures",
    picture: "Drop a picture",
  };
  const drops = { pictures: "Drop pictures, one a frame", line: "Drop a picture of a line" };
  const { pictures, strokes } = state;
  const names = several ? [] : pictures.map(({ name }) => name);
  const given = names.length > 3 ? `${names[0]} and ${names.length - 1} more` : names.join(", ");
  const empty = (draws || !drops[takes] ? hints : drops)[takes];
  element("hint").textContent = missing > 0 ? `${missing} more to come` : pictures.length || strokes.length ? given : empty;
}

// Put what is drawn into the row.
function next() {
  if (several && state.strokes.length) change({ pictures: [...state.pictures, ...drawing()], strokes: [] });
}

function undo() {
  if (!past.length) return;
  state = past.pop();
  update();
}

function clear() {
  if (state.pictures.length || state.strokes.length) change({ pictures: [], strokes: [] });
}

// Take files: into the row as they are read, or in the place of what was there.
async function take(files) {
  if (!files.length) return;
  const given = [...files].map((file) => ({ name: file.name, blob: file }));
  if (!several) return change({ pictures: given, strokes: [] });
  const read = [];
  let error = "";
  for (const file of given) {
    const found = await frames(file);
    error ||= found.frames ? "" : found.error;
    found.frames?.images.forEach((address) => read.push({ name: file.name, blob: blobAt(address) }));
  }
  const before = [...state.pictures, ...drawing()];
  const pictures = [...(before.length < most ? before : []), ...read];
  if (pictures.length > most) error ||= `${pictures.length} pictures: expected ${most} at most`;
  else if (read.length) change({ pictures, strokes: [] });
  if (error) showNote(error);
}

// The frames of a file, of one glyph or of a row of them.
async function frames(file) {
  const found = await ask([file]);
  return found.frames || !draws ? found : ask([file], { split: true });
}

function wire() {
  element("next").addEventListener("click", next);
  element("undo").addEventListener("click", undo);
  element("clear").addEventListener("click", clear);
  element("open").addEventListener("click", () => element("files").click());
  element("files").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = "";
  });
  element("scene").append(...SCENES.map(([words]) => new Option(words)));
  element("scene").addEventListener("change", update);
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("button, select") && event.key === "Enter";
    if (busy || event.altKey || event.shiftKey || event.target.matches("select")) return;
    const keys = { Enter: next, z: undo, Backspace: undo, Escape: clear, o: () => element("files").click() };
    const command = event.ctrlKey || event.metaKey;
    if (!keys[event.key] || (command && event.key !== "z")) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("paste", ({ clipboardData }) => take([...clipboardData.files]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });
}

function start() {
  const { name, step, asks } = network;
  document.title = name;
  element("name").textContent = name;
  element("about").textContent = `step ${step.toLocaleString("en")}`;
  element("asks").textContent = asks[0].toUpperCase() + asks.slice(1);
  const main = document.querySelector("main");
  main.classList.toggle("wide", takes === "line");
  main.classList.toggle("closed", !draws);
  element("next").hidden = element("pausing").hidden = !several || !draws || most === 1;
  element("moving").hidden = !films;
  element("files").multiple = takes !== "line" && takes !== "picture";
  wire();
  update();
}

start();
