// The page: one image, what the served models make of it, and attacks on it.

const MODELS = ["dim", "bi_dim", "cnn"];
const NAMES = { dim: "DIM", bi_dim: "biDIM", cnn: "CNN" };
const PAUSE = 150; // ms without a stroke before the models are asked
const FRAME_PAUSE = 250;

const $ = (id) => document.getElementById(id);
const state = { image: null, served: [], attacks: [], found: {}, ask: 0 };

async function call(url, body) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("the service does not answer; is it still running?");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function say(element, text, isError = false) {
  element.textContent = text;
  element.classList.toggle("error", isError);
}

// --- pictures ---------------------------------------------------------------

function paint(canvas, rows) {
  const height = rows.length, width = rows[0].length;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  rows.flat(Infinity).forEach((value, index) => {
    pixels.data.fill(Math.round(255 * value), 4 * index, 4 * index + 3);
    pixels.data[4 * index + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
}

const plane = (rows) => rows.map((row) => row.map((pixel) => pixel[0]));

function tile(caption) {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  canvas.className = "tile large";
  const text = document.createElement("figcaption");
  text.textContent = caption;
  figure.append(canvas, text);
  return { figure, canvas };
}

// --- 1. draw ----------------------------------------------------------------

const pad = $("pad");
const pen = pad.getContext("2d", { willReadFrequently: true });
const cursor = { x: 70, y: 40, down: false };
let waiting = 0;

function clearPad() {
  clearTimeout(waiting);
  newest();
  state.image = null;
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
}

function stroke(from, to) {
  pen.strokeStyle = "#fff";
  pen.lineWidth = 11;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  clearTimeout(waiting);
  waiting = setTimeout(readPad, PAUSE);
}

// Answers may come out of order; only those about the newest image count.
function newest() {
  const ask = ++state.ask;
  return () => ask === state.ask;
}

async function readPad() {
  const isNewest = newest();
  const { data } = pen.getImageData(0, 0, pad.width, pad.height);
  const drawing = Array.from({ length: pad.height }, (_, y) =>
    Array.from({ length: pad.width }, (_, x) =>
      Math.round((100 * data[4 * (y * pad.width + x)]) / 255) / 100));
  try {
    const { image } = await call("/demo/digit", { drawing });
    if (isNewest()) await show(image, null);
  } catch (error) {
    if (isNewest()) say($("answers"), error.message, true);
  }
}

function position(event) {
  const box = pad.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) * pad.width) / box.width,
    y: ((event.clientY - box.top) * pad.height) / box.height,
  };
}

let last = null;
pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  last = position(event);
  stroke(last, last);
});
pad.addEventListener("pointermove", (event) => {
  if (!last) return;
  const next = position(event);
  stroke(last, next);
  last = next;
});
for (const name of ["pointerup", "pointercancel"]) {
  pad.addEventListener(name, () => { last = null; });
}

pad.addEventListener("keydown", (event) => {
  const moves = {
    ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4],
  };
  if (event.key in moves) {
    const from = { ...cursor };
    const [dx, dy] = moves[event.key];
    cursor.x = Math.min(pad.width, Math.max(0, cursor.x + dx));
    cursor.y = Math.min(pad.height, Math.max(0, cursor.y + dy));
    if (cursor.down) stroke(from, cursor);
  } else if (event.key === " ") {
    cursor.down = !cursor.down;
    if (cursor.down) stroke(cursor, cursor);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clearPad();
  } else {
    return;
  }
  const where = `${Math.round(cursor.x)}, ${Math.round(cursor.y)}`;
  pad.setAttribute(
    "aria-label", `Drawing pad, pen ${cursor.down ? "down" : "up"} at ${where}`);
  event.preventDefault();
});
$("clear").addEventListener("click", clearPad);

async function offerSamples() {
  const { images } = await call("/static/digits.json");
  images.forEach((rows, digit) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Test image of a ${digit}`);
    const canvas = document.createElement("canvas");
    canvas.className = "tile";
    const image = rows.map((row) => row.map((value) => value / 255));
    paint(canvas, image);
    button.append(canvas);
    button.addEventListener("click", () => {
      clearPad();
      show(image, digit);
    });
    $("samples").append(button);
  });
}

// --- 2. look ----------------------------------------------------------------

async function show(image, label) {
  if (!state.served.length) return;
  const isNewest = newest();
  state.image = image;
  $("frames").hidden = true;
  say($("outcome"), "");
  paint($("input"), image);
  const instances = [image.map((row) => row.map((value) => [value]))];
  try {
    const answers = await Promise.all(state.served.map(async (model) => {
      const url = `/v1/models/${model}:predict`;
      return [model, (await call(url, { instances })).predictions[0]];
    }));
    if (!isNewest()) return;
    const words = answers.map(
      ([model, { label: found }]) => `${NAMES[model]} says ${found}`);
    say($("answers"), `${words.join(", ")}.`);
    const first = answers[0][1];
    $("label").value = label ?? first.label;
    if (answers[0][0] === "dim") showClasses(first);
  } catch (error) {
    if (isNewest()) say($("answers"), error.message, true);
  }
}

function showClasses({ denoised, reconstructions, scores, label }) {
  paint($("denoised"), plane(denoised));
  const most = Math.max(1, ...scores);
  $("classes").replaceChildren(...scores.map((score, digit) => {
    const row = document.createElement("li");
    row.classList.toggle("winner", digit === label);
    const canvas = document.createElement("canvas");
    canvas.className = "tile";
    paint(canvas, plane(reconstructions[digit]));
    const number = document.createElement("span");
    number.textContent = digit;
    const bar = document.createElement("div");
    bar.className = "bar";
    const fill = document.createElement("span");
    fill.style.width = `${(100 * score) / most}%`;
    bar.append(fill);
    const text = document.createElement("span");
    text.textContent = score.toFixed(2) + (digit === label ? " wins" : "");
    row.append(number, canvas, bar, text);
    return row;
  }));
}

// --- 3. attack --------------------------------------------------------------

const chosen = () => state.attacks.find(({ name }) => name === $("attack").value);

function showBudget() {
  const norm = chosen().norm === "linf" ? "Linf" : "L2";
  $("budget-text").textContent = `${norm} ${Number($("budget").value).toFixed(2)}`;
}

function chooseAttack() {
  const { norm } = chosen();
  $("budget").max = state.budgets[norm];
  $("budget").value = norm === "linf" ? 0.3 : 3;
  showBudget();
}

async function attack(event) {
  event.preventDefault();
  if (!state.image) {
    say($("outcome"), "Draw or choose a digit first.", true);
    return;
  }
  const ask = state.ask;
  const body = {
    image: [state.image.map((row) => row.map((value) => [value]))],
    label: Number($("label").value),
    attack: $("attack").value,
    epsilon: Number($("budget").value),
  };
  $("run").disabled = true;
  say($("outcome"), "Attacking; the first time takes some seconds.");
  try {
    const found = {};
    for (const model of state.served) {
      found[model] = await call("/demo/attack", { ...body, model });
    }
    if (ask !== state.ask) {
      say($("outcome"), "");
      return;
    }
    state.found = found;
    say($("outcome"), Object.entries(found).map(
      ([model, result]) => verdict(model, result, body.label)).join(" "));
    showTargets(body.label);
  } catch (error) {
    say($("outcome"), ask === state.ask ? error.message : "", true);
  } finally {
    $("run").disabled = false;
  }
}

function verdict(model, { labels, epsilons }, label) {
  const first = labels.findIndex((found) => found !== label);
  if (first < 0) return `${NAMES[model]} withstands it.`;
  if (first === 0) return `${NAMES[model]} was wrong before.`;
  return `${NAMES[model]} falls at ${epsilons[first].toFixed(2)}.`;
}

function showTargets(label) {
  const models = Object.entries(state.found).map(([model, result]) => {
    const article = document.createElement("article");
    const title = document.createElement("h3");
    const pair = document.createElement("div");
    pair.className = "pair";
    const perturbed = tile("perturbed"), change = tile("perturbation");
    pair.append(perturbed.figure, change.figure);
    article.append(title, pair);
    const update = (index) => {
      const image = result.images[index], found = result.labels[index];
      paint(perturbed.canvas, image);
      // Gray is no change, white is brighter, black is darker.
      paint(change.canvas, image.map((row, y) => row.map(
        (value, x) => 0.5 + (value - result.images[0][y][x]) / 2)));
      title.textContent = `${NAMES[model]} says ${found}` +
        (found === label ? "" : ", which is wrong");
    };
    return { article, update };
  });
  $("targets").replaceChildren(...models.map(({ article }) => article));
  $("frames").hidden = false;
  const { epsilons } = Object.values(state.found)[0];
  const frame = $("frame");
  frame.max = epsilons.length - 1;
  frame.oninput = () => {
    models.forEach(({ update }) => update(Number(frame.value)));
    $("frame-text").textContent = epsilons[frame.value].toFixed(2);
  };
  play(frame, epsilons.length - 1);
}

let playing = 0;
function play(frame, end) {
  clearInterval(playing);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  frame.value = still ? end : 0;
  frame.oninput();
  if (still) return;
  playing = setInterval(() => {
    frame.value = Number(frame.value) + 1;
    frame.oninput();
    if (Number(frame.value) >= end) clearInterval(playing);
  }, FRAME_PAUSE);
  frame.onpointerdown = frame.onkeydown = () => clearInterval(playing);
}

// --- start ------------------------------------------------------------------

function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

async function start() {
  clearPad();
  for (let digit = 0; digit < 10; digit++) $("label").append(option(digit, digit));
  try {
    const { models, budgets, attacks } = await call("/demo/offers");
    state.served = MODELS.filter((model) => models.includes(model));
    Object.assign(state, { budgets, attacks });
    for (const { name, label, norm } of attacks) {
      $("attack").append(option(name, `${norm === "linf" ? "Linf" : "L2"} ${label}`));
    }
    chooseAttack();
    if (!state.served.length) {
      throw new Error(`None of ${MODELS.join(", ")} is served; export one.`);
    }
    await offerSamples();
  } catch (error) {
    say($("answers"), error.message, true);
  }
  document.documentElement.dataset.ready = "true";
}

$("attack").addEventListener("change", chooseAttack);
$("budget").addEventListener("input", showBudget);
$("form").addEventListener("submit", attack);
start();
