// Measure each of PAGES at each of WIDTHS, in a frame, and post the results to the server.

// Boxes that may scroll: output in columns and formulas; on a telephone, tables of numbers too.
const MAY_SCROLL = ".highlight-console pre, .highlight-text pre, div.math > div, p:has(> math)";
const TABLES = ".pst-scrollable-table-container:not(:has(.autosummary))";

// Pixels that stick out of the page, and of each box whose content is wider.
const measure = (page, root, width) => {
  const mayScroll = width < 600 ? `${MAY_SCROLL}, ${TABLES}` : MAY_SCROLL;
  const boxes = {};
  for (const box of root.querySelectorAll("article *, header *")) {
    const style = getComputedStyle(box);
    if (style.display === "inline" || style.visibility === "hidden" || !box.clientWidth) continue;
    const right = box.getBoundingClientRect().right;
    const outside = right - root.documentElement.clientWidth;
    const excess = Math.ceil(Math.max(box.scrollWidth - box.clientWidth, outside));
    if (excess <= 1 || box.closest(mayScroll)) continue;
    const name = box.tagName.toLowerCase() + (box.classList.length ? "." + box.className : "");
    boxes[name] = Math.max(boxes[name] || 0, excess);
  }
  const { scrollWidth, clientWidth } = root.documentElement;
  return { page, width, excess: scrollWidth - clientWidth, boxes };
};

const open = (page) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.style.cssText = "height: 1000px; border: 0";
  frame.onload = () => resolve(frame);
  frame.src = page;
  document.body.append(frame);
});

(async () => {
  const results = [];
  for (const page of PAGES) {
    const frame = await open(page);
    for (const width of WIDTHS) {
      frame.style.width = `${width}px`;
      results.push(measure(page, frame.contentDocument, width));
    }
    frame.remove();
  }
  await fetch("/results", { method: "POST", body: JSON.stringify(results) });
})();
