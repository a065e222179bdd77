// The slider, on the logarithmic scale of the colours, and the strip of scores above it.

const slider = document.getElementById("slider");
const field = document.getElementById("level");
const strip = document.getElementById("strip");
const { origin, low, high } = overview.scale;
const N_STEPS = Number(slider.max);
const THUMB = 16; // Its width in pixels, as in the style.

const scores = images.map(image => image.score).filter(score => score !== null);
const largest = Math.max(overview.threshold, ...scores);
const ends = [
  Math.log(Math.max(low, overview.extent - origin)),
  Math.log(Math.max(1.05 * (largest - origin), 1.05 * low)),
];

// Position from 0, the level of the extent, to 1, just above the largest score.
function positionOf(value) {
  const distance = Math.log(Math.max(value - origin, low));
  return Math.min(1, Math.max(0, (distance - ends[0]) / (ends[1] - ends[0])));
}

function valueAt(position) {
  return origin + Math.exp(ends[0] + position * (ends[1] - ends[0]));
}

function colourAt(position) {
  const code = 255 * Math.log((valueAt(position) - origin) / low) / Math.log(high / low);
  const [red, green, blue] = overview.palette[Math.round(Math.min(255, Math.max(0, code)))];
  return `rgb(${red} ${green} ${blue})`;
}

function drawStrip() {
  const ratio = devicePixelRatio;
  const width = strip.clientWidth, height = strip.clientHeight;
  strip.width = width * ratio;
  strip.height = height * ratio;
  const context = strip.getContext("2d");
  context.scale(ratio, ratio);
  const x = position => THUMB / 2 + position * (width - THUMB);
  for (let i = 0; i < width - THUMB; i += 1) {
    context.fillStyle = colourAt(i / (width - THUMB));
    context.fillRect(THUMB / 2 + i, height - 14, 1.5, 14);
  }
  context.strokeStyle = getComputedStyle(strip).color;
  for (const { score, truth } of images) {
    if (score === null) continue;
    context.lineWidth = truth === true ? 2.5 : 1;
    context.setLineDash(truth === false ? [2, 3] : []);
    context.beginPath();
    context.moveTo(x(positionOf(score)), height - 36);
    context.lineTo(x(positionOf(score)), height - 16);
    context.stroke();
  }
  context.setLineDash([]);
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x(positionOf(level)), height - 40);
  context.lineTo(x(positionOf(level)), height);
  context.stroke();
  context.fillStyle = getComputedStyle(strip).color;
  context.font = "12px system-ui, sans-serif";
  const text = `level ${precise(level)}`;
  const half = context.measureText(text).width / 2;
  context.textAlign = "center";
  context.fillText(text, Math.min(width - half, Math.max(half, x(positionOf(level)))), 12);
}

// Not below the extent's level: there, the masks would be those of another extent.
function setLevel(value) {
  level = Math.max(value, overview.extent);
  slider.value = Math.round(N_STEPS * positionOf(level));
  slider.setAttribute("aria-valuetext", precise(level));
  field.value = precise(level);
  document.getElementById("status").textContent = countVerdicts();
  const isMoved = level !== overview.threshold;
  document.getElementById("promise").hidden = isMoved;
  document.getElementById("moved").hidden = !isMoved;
  document.getElementById("option").textContent = `--threshold ${level}`;
  drawStrip();
  updateRows();
}
