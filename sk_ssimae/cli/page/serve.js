"use strict";
const at = (id) => document.getElementById(id);
let latest = 0; // Number of the image shown: an answer for an earlier one is ignored.

async function ask(query, file) {
  const answer = await fetch("/inspect" + query, { method: "POST", body: file });
  if (answer.ok) return answer;
  const { error } = await answer.json();
  throw new Error(error);
}

async function inspect(file) {
  const number = ++latest;
  at("result").hidden = true;
  at("status").className = "";
  at("status").textContent = `Inspecting ${file.name} …`;
  try {
    const found = await (await ask("", file)).json();
    const mask = found.regions.length ? await (await ask("?mask=png", file)).blob() : null;
    const picture = await readPicture(file);
    const overlay = picture && mask ? await paint(mask) : "";
    if (number === latest) show(file, found, picture, overlay);
  } catch (error) {
    if (number !== latest) return;
    at("status").className = "ng";
    at("status").textContent = error instanceof TypeError
      ? "The server cannot be reached. Start sk-ssimae serve again." : error.message;
  }
}

function show(file, found, picture, overlay) {
  const bad = found.verdict === "NG";
  at("status").textContent = `${file.name}: ${found.verdict}`;
  at("verdict").textContent = bad ? "NG: defective" : "OK: no defect found";
  at("verdict").className = bad ? "ng" : "ok";
  at("numbers").textContent = `Score ${found.score.toPrecision(4)}, threshold ` +
    `${found.threshold.toPrecision(4)}; ${found.width} × ${found.height} pixels, ` +
    `${Math.round(found.milliseconds)} ms.`;
  at("figure").hidden = !picture; // Browsers cannot show TIFF files.
  at("picture").src = picture;
  at("picture").alt = file.name;
  at("mask").src = overlay;
  at("mask").hidden = !overlay || !at("show").checked;
  at("scroll").hidden = !found.regions.length;
  at("regions").replaceChildren(...found.regions.map(row));
  at("result").hidden = false;
}

function row(region) {
  const cells = [region.label, region.min_column, region.min_row,
    region.max_column - region.min_column, region.max_row - region.min_row, region.area,
    region.peak.toPrecision(4)];
  const line = document.createElement("tr");
  line.append(...cells.map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  }));
  return line;
}

async function readPicture(file) {
  const url = URL.createObjectURL(file);
  const image = new Image();
  image.src = url;
  try { await image.decode(); } catch { return ""; }
  return url;
}

async function paint(mask) { // White pixels become red, black ones transparent.
  const bitmap = await createImageBitmap(mask);
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const marked = pixels.data[i] > 127;
    pixels.data.set([230, 0, 40, marked ? 140 : 0], i);
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

at("file").addEventListener("change", () => {
  if (at("file").files.length) inspect(at("file").files[0]);
});
at("show").addEventListener("change", () => { at("mask").hidden = !at("show").checked; });
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault());
}
document.addEventListener("dragover", () => at("drop").classList.add("over"));
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  at("drop").classList.remove("over");
  if (event.dataTransfer.files.length) inspect(event.dataTransfer.files[0]);
});
