"use strict";
// Verdicts: which regions are marked at a level. Nothing here touches the page.

const overview = JSON.parse(document.getElementById("overview").textContent);
const images = overview.images.map((image, index) => ({
  ...image,
  index,
  // Highest peaks first, so that the marked regions are the first ones.
  regions: image.regions.map(([peak, area, row, column]) => ({ peak, area, row, column })),
}));
let level = overview.threshold;

function nMarked(image) {
  let n = 0;
  while (n < image.regions.length && image.regions[n].peak > level) n += 1;
  return n;
}

function markedArea(image) {
  return image.regions.slice(0, nMarked(image)).reduce((sum, region) => sum + region.area, 0);
}

// The largest value of the map is the peak of a region if any region is marked.
function isNg(image) {
  return image.score !== null && image.score > level;
}

function disagrees(image) {
  return image.score !== null && image.truth !== null && image.truth !== isNg(image);
}

function countVerdicts() {
  const judged = images.filter(image => image.score !== null);
  const share = (part, of) => `${part.filter(of).length} of ${part.length}`;
  const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const nNg = judged.filter(isNg).length;
  const texts = [`${plural(images.length, "image")}: ${nNg} NG, ${judged.length - nNg} OK`];
  if (judged.length < images.length) texts[0] += `, ${images.length - judged.length} failed`;
  const defective = judged.filter(image => image.truth === true);
  const good = judged.filter(image => image.truth === false);
  if (defective.length) texts.push(`${share(defective, isNg)} known defective images found`);
  if (good.length) texts.push(`${share(good, isNg)} known good images flagged`);
  return `${texts.join("; ")}.`;
}

function precise(value) {
  return Number(value.toPrecision(4)).toString();
}
