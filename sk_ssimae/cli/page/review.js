// Marks of a person, "false alarm" or "missed", and their download.

const marks = new Map();
let isDownloaded = true;
const download = document.getElementById("download");

function setMark(image, mark) {
  if (marks.get(image) === mark) marks.delete(image);
  else marks.set(image, mark);
  isDownloaded = marks.size === 0;
  download.disabled = marks.size === 0;
  for (const button of rows[image.index].querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", String(marks.get(image) === button.dataset.mark));
  }
}

// Spreadsheets run a text that begins like this, unless an apostrophe precedes it.
function neutralized(text) {
  return /^'*[=+\-@\t\r\n＝＋－＠]/.test(text) ? `'${text}` : text;
}

function asCsv() {
  const quote = value => `"${String(value).replaceAll('"', '""')}"`;
  const lines = [["file", "name", "mark", "verdict", "score", "level"]];
  for (const [image, mark] of [...marks].sort(([a], [b]) => a.index - b.index)) {
    const texts = [neutralized(image.file), neutralized(image.name)];
    lines.push([...texts, mark, isNg(image) ? "NG" : "OK", image.score, level]);
  }
  return lines.map(line => `${line.map(quote).join(",")}\n`).join("");
}

list.addEventListener("click", event => {
  const button = event.target.closest("[data-mark]");
  if (button) setMark(images[button.closest("li").dataset.index], button.dataset.mark);
});

download.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv" }));
  link.download = "marks.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  isDownloaded = true;
});

addEventListener("beforeunload", event => {
  if (!isDownloaded) event.preventDefault();
});
