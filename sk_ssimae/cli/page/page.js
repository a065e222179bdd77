// The state in the address, as in report.html#level=0.3&sort=name&ascending=1&show=ng, the list,
// and the enlarged image.

const element = id => document.getElementById(id);
const collator = new Intl.Collator(undefined, { numeric: true });
const KEYS = {
  score: image => image.score ?? Infinity,
  area: image => (image.score === null ? Infinity : markedArea(image)),
  regions: image => (image.score === null ? Infinity : nMarked(image)),
};
const SHOWN = {
  all: () => true,
  ng: image => image.score === null || isNg(image),
  ok: image => image.score !== null && !isNg(image),
  reviewed: image => marks.has(image),
  wrong: disagrees,
};

function arrange() {
  const key = element("sort").value, sign = element("ascending").checked ? 1 : -1;
  const values = key === "name" ? null : images.map(KEYS[key]);
  const compare = values
    ? (a, b) => (values[a.index] === values[b.index] ? 0 : values[a.index] - values[b.index])
    : (a, b) => collator.compare(a.name, b.name);
  const order = [...images].sort((a, b) => sign * compare(a, b));
  if (order.some((image, place) => list.children[place] !== rows[image.index])) {
    list.append(...order.map(image => rows[image.index]));
  }
  const isShown = SHOWN[element("show").value];
  images.forEach((image, index) => { rows[index].hidden = !isShown(image); });
}

function store() {
  const state = new URLSearchParams();
  if (level !== overview.threshold) state.set("level", level);
  for (const name of ["sort", "show"]) state.set(name, element(name).value);
  if (element("ascending").checked) state.set("ascending", "1");
  history.replaceState(null, "", `#${state}`);
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const name of ["sort", "show"]) {
    const isKnown = Array.from(element(name).options).some(o => o.value === state.get(name));
    if (isKnown) element(name).value = state.get(name);
  }
  element("ascending").checked = state.get("ascending") === "1";
  const stored = Number.parseFloat(state.get("level"));
  setLevel(Number.isFinite(stored) ? stored : overview.threshold);
  arrange();
}

let isWaiting = false;
slider.addEventListener("input", () => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    setLevel(Number(valueAt(slider.value / N_STEPS).toPrecision(4)));
    arrange();
  });
});
slider.addEventListener("change", store);
field.addEventListener("change", () => {
  setLevel(Number.isFinite(field.valueAsNumber) ? field.valueAsNumber : level);
  arrange();
  store();
});
element("reset").addEventListener("click", () => {
  setLevel(overview.threshold);
  arrange();
  store();
});
element("sort").addEventListener("change", () => {
  element("ascending").checked = element("sort").value === "name";
});
for (const name of ["sort", "show", "ascending"]) {
  element(name).addEventListener("change", () => {
    arrange();
    store();
  });
}
addEventListener("hashchange", restore);
addEventListener("resize", drawStrip);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawStrip);

// The enlarged image.
const dialog = element("enlarged");
let enlarged = null;

function showEnlarged(image) {
  enlarged = image;
  element("enlarged-name").textContent = image.name;
  describe(image, dialog);
  const data = loadData(image);
  const shown = name => element(`show-${name}`).checked;
  const large = dialog.querySelector(".large");
  const [height, width] = image.shape;
  large.style.aspectRatio = `${width} / ${height}`;
  large.style.width = `min(100%, ${70 * width / height}vh)`;
  large.replaceChildren(
    photograph(data.image),
    ...(shown("map") ? [photograph(data.map)] : []),
    outlines(image, data, { regions: shown("regions"), truth: shown("truth") }),
    ...(shown("regions") ? numbers(image, Infinity) : []),
  );
  element("show-truth").disabled = data.truth === null;
  dialog.querySelector(".regions").replaceChildren(tableOf(image));
}

function step(by) {
  const shown = Array.from(list.children).filter(row => !row.hidden && row.querySelector(".picture"));
  const place = shown.indexOf(rows[enlarged.index]);
  const row = shown[(place + by + shown.length) % shown.length];
  showEnlarged(images[row.dataset.index]);
}

list.addEventListener("click", event => {
  const picture = event.target.closest(".picture");
  if (!picture) return;
  element("show-map").checked = picture.classList.contains("coloured");
  showEnlarged(images[picture.closest("li").dataset.index]);
  dialog.showModal();
});
for (const name of ["regions", "map", "truth"]) {
  element(`show-${name}`).addEventListener("change", () => showEnlarged(enlarged));
}
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("keydown", event => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});

restore();
