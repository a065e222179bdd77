// Pictures of an image: photograph, coloured residual map, outlines of regions and of the mask.

function loadData(image) {
  return JSON.parse(document.getElementById(`data-${image.index}`).textContent);
}

// Call visit(row, column) for each pixel of runs, see runs_of_mask in Python.
function eachPixel(runs, [, width], visit) {
  let pixel = 0;
  for (let i = 0; i < runs.length; i += 2) {
    pixel += runs[i];
    for (const end = pixel + runs[i + 1]; pixel < end; pixel += 1) {
      visit(Math.floor(pixel / width), pixel % width);
    }
  }
}

// The mask of runs, shrunk to a shape: marked where any covered pixel is.
function maskOf(allRuns, full, shape) {
  const mask = new Uint8Array(shape[0] * shape[1]);
  const shrink = (i, axis) => Math.floor(((i + 1) * shape[axis] - 1) / full[axis]);
  for (const runs of allRuns) {
    eachPixel(runs, full, (row, column) => {
      mask[shrink(row, 0) * shape[1] + shrink(column, 1)] = 1;
    });
  }
  return mask;
}

function markedMask(image, data, shape) {
  return maskOf(data.runs.slice(0, nMarked(image)), image.shape, shape);
}

// Pixels of the mask, or pixels outside, that have one on the other side within a distance.
function edgeOf(mask, [height, width], distance, isOutside) {
  const edge = new Uint8Array(mask.length);
  for (let pixel = mask.indexOf(1); pixel >= 0; pixel = mask.indexOf(1, pixel + 1)) {
    const row = Math.floor(pixel / width), column = pixel % width;
    for (let by = 1; by <= distance; by += 1) {
      for (const [r, c] of [[row - by, column], [row + by, column], [row, column - by], [row, column + by]]) {
        const isWithin = r >= 0 && r < height && c >= 0 && c < width;
        if (isWithin && mask[r * width + c]) continue;
        if (!isOutside) edge[pixel] = 1;
        else if (isWithin) edge[r * width + c] = 1;
      }
    }
  }
  return edge;
}

function paint(pixels, mask, colour) {
  mask.forEach((isMarked, pixel) => {
    if (isMarked) pixels.set(colour, 4 * pixel);
  });
}

// Regions have red edges inside, the given mask a blue one outside, so that neither hides the other.
function outlines(image, data, { regions, truth }) {
  const canvas = document.createElement("canvas");
  const shape = image.picture;
  [canvas.height, canvas.width] = shape;
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(canvas.width, canvas.height);
  const distance = Math.max(1, Math.round(Math.max(...shape) / 256));
  if (truth && data.truth) {
    const mask = maskOf([data.truth], image.shape, shape);
    paint(drawn.data, edgeOf(mask, shape, distance, true), [0, 110, 255, 255]);
  }
  if (regions) {
    const mask = markedMask(image, data, shape);
    paint(drawn.data, mask, [227, 26, 28, 40]);
    paint(drawn.data, edgeOf(mask, shape, distance, false), [227, 26, 28, 255]);
  }
  context.putImageData(drawn, 0, 0);
  return canvas;
}

function photograph(url) {
  const picture = new Image();
  picture.alt = "";
  picture.src = url;
  return picture;
}

function numbers(image, most) {
  return image.regions.slice(0, Math.min(nMarked(image), most)).map((region, index) => {
    const number = document.createElement("span");
    // Above the peak, or below it near the upper edge.
    number.className = region.row < 0.15 * image.shape[0] ? "number below" : "number";
    number.setAttribute("aria-hidden", "true");
    number.textContent = index + 1;
    number.style.left = `${100 * (region.column + 0.5) / image.shape[1]}%`;
    number.style.top = `${100 * (region.row + 0.5) / image.shape[0]}%`;
    return number;
  });
}
