// Pictures of an image: photograph, coloured residual map, outlines of regions and of the mask.

function loadData(image) {
  return JSON.parse(document.getElementById(`data-${image.index}`).textContent);
}

// Call paint(row, column) for each pixel of runs, see to_runs in Python.
function eachPixel(runs, [, width], paint) {
  let pixel = 0;
  for (let i = 0; i < runs.length; i += 2) {
    pixel += runs[i];
    for (const end = pixel + runs[i + 1]; pixel < end; pixel += 1) {
      paint(Math.floor(pixel / width), pixel % width);
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

function paintOutline(pixels, mask, [height, width], colour) {
  const inside = (row, column) => row >= 0 && row < height && column >= 0 && column < width
    && mask[row * width + column];
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      if (!mask[row * width + column]) continue;
      const isEdge = !(inside(row - 1, column) && inside(row + 1, column)
        && inside(row, column - 1) && inside(row, column + 1));
      pixels.set([...colour, isEdge ? 255 : 40], 4 * (row * width + column));
    }
  }
}

function outlines(image, data, { regions, truth }) {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = image.picture;
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(canvas.width, canvas.height);
  if (regions) paintOutline(drawn.data, markedMask(image, data, image.picture), image.picture, [227, 26, 28]);
  if (truth && data.truth) {
    const mask = maskOf([data.truth], image.shape, image.picture);
    paintOutline(drawn.data, mask, image.picture, [0, 120, 255]);
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
    number.className = "number";
    number.setAttribute("aria-hidden", "true");
    number.textContent = index + 1;
    number.style.left = `${100 * (region.column + 0.5) / image.shape[1]}%`;
    number.style.top = `${100 * (region.row + 0.5) / image.shape[0]}%`;
    return number;
  });
}
