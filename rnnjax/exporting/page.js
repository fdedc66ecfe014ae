// The page of an exported model: a square picture, and what the model believes of it.
const at = (id) => document.getElementById(id);
const about = JSON.parse(at("about").textContent);
const { classes, side: SIDE, pixel_order: order } = about;
at("picture").width = at("picture").height = at("belief").height = SIDE;
at("belief").width = classes.length;
at("parts").textContent = at("scrub").max = SIDE;
at("scrub").value = SIDE;

const decode = (text) => Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
async function unzip(id) {
  const packed = new Blob([decode(at(id).textContent)]).stream();
  at(id).remove(); // its text would stay in memory
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function load() {
  const script = new Blob([await unzip("runtime")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(script));
  ort.env.wasm.wasmBinary = await unzip("wasm");
  ort.env.wasm.numThreads = 1; // more need headers that a file does not have
  return { ort, session: await ort.InferenceSession.create(await unzip("onnx")) };
}
const loading = load();

// Probabilities [SIDE][K] had the sequence ended after each part of it, of pixels from 0 to 255.
async function classify(pixels) {
  const { ort, session } = await loading;
  const steps = order.length, features = order[0].length;
  const one = Float32Array.from(order.flat(), (pixel) => pixels[pixel] / 255);
  const sequences = new Float32Array(SIDE * one.length);
  for (let n = 0; n < SIDE; n++) sequences.set(one, n * one.length);
  const lengths = Int32Array.from({ length: SIDE }, (_, n) => ((n + 1) * steps) / SIDE);
  const { probabilities } = await session.run({
    sequences: new ort.Tensor("float32", sequences, [SIDE, steps, features]),
    lengths: new ort.Tensor("int32", lengths, [SIDE]),
  });
  const rows = Array.from({ length: SIDE }, (_, n) => n * classes.length);
  return rows.map((start) => Array.from(probabilities.data.slice(start, start + classes.length)));
}
window.classify = classify;

// The picture, and its classification whenever it has changed; while one runs, the last change waits.
let pixels = new Float64Array(SIDE * SIDE), beliefs = null, busy = false, waits = false;
window.pixels = () => Array.from(pixels, Math.round);

async function changed() {
  paint(at("picture"), pixels);
  waits = true;
  if (busy) return;
  busy = true;
  while (waits) {
    waits = false;
    beliefs = pixels.some((value) => value > 0) ? await classify(window.pixels()) : null;
    show();
    await new Promise(requestAnimationFrame);
  }
  busy = false;
}

function paint(canvas, values) {
  const context = canvas.getContext("2d"), image = context.createImageData(SIDE, SIDE);
  for (let n = 0; n < values.length; n++) {
    const grey = Math.round(values[n]);
    image.data.set([grey, grey, grey, 255], 4 * n);
  }
  context.putImageData(image, 0, 0);
}

// What is shown.
const percent = (p) => (p < 0.995 || p === 1 ? `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %` : "> 99 %");
const rows = classes.map((name) => {
  const row = at("classes").insertRow(), head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  row.append(head);
  const bar = document.createElement("div"), fill = document.createElement("div");
  bar.className = "bar";
  bar.append(fill);
  row.insertCell().append(bar);
  const column = document.createElement("li");
  column.textContent = name;
  if (classes.length <= 20) at("columns").append(column); // of more there is no room for names
  return { row, fill, figure: row.insertCell() };
});

function show() {
  const part = Number(at("scrub").value);
  const belief = beliefs?.[part - 1];
  const best = belief ? belief.indexOf(Math.max(...belief)) : -1;
  rows.forEach(({ row, fill, figure }, k) => {
    row.className = k === best ? "first" : "";
    fill.style.width = belief ? `${100 * belief[k]}%` : "0";
    figure.textContent = belief ? percent(belief[k]) : "";
  });
  const so = part < SIDE ? "So far: " : "";
  at("verdict").textContent = belief
    ? `${so}${classes[best]}, ${percent(belief[best])}`
    : "Draw one, or take one below";
  at("part").textContent = part;
  at("hint").hidden = beliefs !== null;
  for (const id of ["cursor", "belief-cursor"]) {
    at(id).hidden = !belief || part === SIDE || (id === "cursor" && about.kind !== "rows");
    at(id).style.top = `${at("picture").clientHeight * (part / SIDE)}px`;
  }
  const context = at("belief").getContext("2d"), ink = getComputedStyle(document.documentElement);
  context.clearRect(0, 0, classes.length, SIDE);
  (beliefs ?? []).forEach((row, y) =>
    row.forEach((p, x) => {
      context.fillStyle = `rgba(${ink.getPropertyValue("--accent")}, ${p})`;
      context.fillRect(x, y, 1, 1);
    }),
  );
}

// Drawing, with a soft round brush.
let last = null;
function stroke(event) {
  const box = at("picture").getBoundingClientRect(), radius = Number(at("brush").value);
  const to = { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  const from = last ?? to, length = Math.hypot(to.x - from.x, to.y - from.y);
  for (let step = 0; step <= length; step += 0.4) {
    const share = length ? step / length : 0;
    const x = from.x + share * (to.x - from.x), y = from.y + share * (to.y - from.y);
    for (let n = 0; n < pixels.length; n++) {
      const away = Math.hypot((n % SIDE) + 0.5 - x, Math.floor(n / SIDE) + 0.5 - y);
      pixels[n] = Math.max(pixels[n], 225 * Math.min(1, Math.max(0, radius + 0.5 - away)));
    }
  }
  last = to;
  at("scrub").value = SIDE;
  changed();
}
at("picture").addEventListener("pointerdown", (event) => {
  at("picture").setPointerCapture(event.pointerId);
  last = null;
  stroke(event);
});
at("picture").addEventListener("pointermove", (event) => event.buttons && stroke(event));

function take(values) {
  pixels = Float64Array.from(values);
  at("scrub").value = SIDE;
  return changed();
}
at("clear").addEventListener("click", () => take(new Uint8Array(SIDE * SIDE)));
at("scrub").addEventListener("input", show);

// A picture of any size: whole, in the middle, bright on dark, and black where it is transparent.
async function open(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    at("verdict").textContent = `${file.name} is no picture that this browser can open`;
    return;
  }
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((size) => Math.max(1, Math.round(size * scale)));
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = [], alpha = [];
  for (let n = 0; n < data.length; n += 4) {
    grey.push(Math.round(0.299 * data[n] + 0.587 * data[n + 1] + 0.114 * data[n + 2]));
    alpha.push(data[n + 3] / 255);
  }
  const invert = isDarkOnLight(grey, alpha, width, height);
  const values = new Uint8Array(SIDE * SIDE);
  const [left, top] = [width, height].map((size) => Math.floor((SIDE - size) / 2));
  grey.forEach((value, n) => {
    const place = (top + Math.floor(n / width)) * SIDE + left + (n % width);
    values[place] = Math.round((invert ? 255 - value : value) * alpha[n]);
  });
  await take(values);
}

// By the border; of a picture whose border is transparent, by what is in it.
function isDarkOnLight(grey, alpha, width, height) {
  const mean = (weights) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return total ? grey.reduce((sum, value, n) => sum + value * weights[n], 0) / total : null;
  };
  const isBorder = (n) => n % width === 0 || n % width === width - 1 || n < width || n >= width * (height - 1);
  const border = alpha.map((value, n) => (isBorder(n) ? value : 0));
  const number = border.filter((_, n) => isBorder(n)).length;
  const isOpaque = border.reduce((sum, value) => sum + value, 0) > number / 2;
  return isOpaque ? mean(border) > 127 : mean(alpha) !== null && mean(alpha) < 128;
}
at("open").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => at("file").files[0] && open(at("file").files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});

for (const { label, image } of about.examples) {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  const values = decode(image);
  [canvas.width, canvas.height, button.type] = [SIDE, SIDE, "button"];
  button.setAttribute("aria-label", `Test image: ${classes[label]}`);
  button.title = classes[label];
  paint(canvas, values);
  button.append(canvas);
  button.addEventListener("click", () => take(values));
  at("examples").append(button);
}
at("model").textContent = about.summary;
at("caption").textContent = "Probabilities of the classes";
at("part-name").textContent = about.part;
at("belief-says").textContent = about.belief;
addEventListener("resize", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
paint(at("picture"), pixels);
try {
  await loading;
  show();
} catch (error) {
  at("verdict").textContent = `The model does not run in this browser: ${error.message}`;
}
