// One row for each image. Pictures and tables exist only while a row is near the screen.

const MOST_NUMBERS = 9;
const list = document.getElementById("images");
const template = document.getElementById("row").content.firstElementChild;

function describe(image, row) {
  const n = nMarked(image);
  const verdict = row.querySelector(".verdict");
  verdict.textContent = image.error ? "failed" : isNg(image) ? "NG" : "OK";
  verdict.className = `verdict ${image.error || isNg(image) ? "ng" : "ok"}`;
  const facts = row.querySelector(".facts");
  if (!facts) return;
  if (image.error) {
    facts.textContent = image.error;
    return;
  }
  const share = 100 * markedArea(image) / (image.shape[0] * image.shape[1]);
  facts.textContent = `score ${precise(image.score)}, ${n} region${n === 1 ? "" : "s"}, `
    + `${Number(share.toPrecision(3))}\u00a0% marked`;
  const truth = row.querySelector(".truth");
  truth.textContent = image.truth === null ? ""
    : `Given mask: ${image.truth ? "defective" : "good"}${disagrees(image) ? ", disagrees" : ""}`;
  truth.classList.toggle("ng", disagrees(image));
}

function makeRow(image) {
  const row = template.cloneNode(true);
  row.dataset.index = image.index;
  row.querySelector("h2").textContent = image.name;
  row.querySelector(".file").textContent = image.file;
  row.querySelector(".review").setAttribute("aria-label", `Your mark of ${image.name}`);
  row.querySelector(".regions").setAttribute("aria-label", `Regions of ${image.name}`);
  describe(image, row);
  const pictures = row.querySelectorAll(".picture");
  if (image.error) {
    for (const part of [...pictures, row.querySelector(".review"), row.querySelector(".regions")]) part.remove();
    return row;
  }
  for (const picture of pictures) picture.style.aspectRatio = `${image.shape[1]} / ${image.shape[0]}`;
  pictures[0].setAttribute("aria-label", `Enlarge ${image.name} with its regions`);
  pictures[1].setAttribute("aria-label", `Enlarge ${image.name} with its residual map`);
  return row;
}

function tableOf(image) {
  const n = nMarked(image);
  if (n === 0) {
    const text = document.createElement("p");
    text.className = "soft";
    text.textContent = "No region exceeds the level.";
    return text;
  }
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const title of ["region", "area (px)", "peak", "peak / level", "row", "column"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    head.append(cell);
  }
  const body = table.createTBody();
  image.regions.slice(0, n).forEach((region, index) => {
    const line = body.insertRow();
    const ratio = level > 0 ? Number((region.peak / level).toPrecision(3)) : "";
    const values = [region.area, precise(region.peak), ratio, region.row, region.column];
    const number = document.createElement("th");
    number.scope = "row";
    number.textContent = index + 1;
    line.append(number);
    for (const value of values) line.insertCell().textContent = value;
  });
  return table;
}

function fill(row) {
  const image = images[row.dataset.index];
  const data = loadData(image);
  const [outlined, coloured] = row.querySelectorAll(".picture");
  outlined.replaceChildren(
    photograph(data.image),
    outlines(image, data, { regions: true, truth: true }),
    ...numbers(image, MOST_NUMBERS),
  );
  coloured.replaceChildren(photograph(data.image), photograph(data.map));
  row.querySelector(".regions").replaceChildren(tableOf(image));
}

function clear(row) {
  for (const part of row.querySelectorAll(".picture, .regions")) part.replaceChildren();
}

const visible = new Set();
const observer = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      visible.add(target);
      fill(target);
    } else if (visible.delete(target)) {
      clear(target);
    }
  }
}, { rootMargin: "400px" });

const rows = images.map(makeRow);
list.append(...rows);
images.forEach((image, index) => {
  if (!image.error) observer.observe(rows[index]);
});

function updateRows() {
  images.forEach((image, index) => describe(image, rows[index]));
  for (const row of visible) {
    const image = images[row.dataset.index];
    if (Number(row.dataset.marked) !== nMarked(image)) fill(row);
    else row.querySelector(".regions").replaceChildren(tableOf(image));
    row.dataset.marked = nMarked(image);
  }
}
