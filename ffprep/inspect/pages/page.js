"use strict";
const cards = Array.from(document.querySelectorAll("article"));
const texts = cards.map((card) => card.textContent.toLowerCase());
const sizes = texts.map((text) => (text.match(/(\d+) x (\d+) px/) || []).slice(1).map(Number));
const bar = document.querySelector(".bar");
const search = document.getElementById("search");
const kind = document.getElementById("kind");
const count = document.getElementById("count");

const shown = () => cards.filter((card) => !card.hidden);

function fits(word, i) {
  const asked = word.match(/^(width|height)([<>])(\d+)$/);
  if (!asked) return texts[i].includes(word);
  const size = sizes[i][asked[1] === "width" ? 0 : 1];
  return asked[2] === "<" ? size < Number(asked[3]) : size > Number(asked[3]);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  cards.forEach((card, i) => {
    const right = !kind || !kind.value || card.dataset.class === kind.value;
    card.hidden = !(right && words.every((word) => fits(word, i)));
  });
  count.textContent = `${shown().length.toLocaleString("en")} of ${cards.length.toLocaleString("en")} shown`;
}

const dialog = document.createElement("dialog");
const large = document.createElement("img");
const caption = document.createElement("p");
dialog.append(large, caption);
document.body.append(dialog);
let from = null;

function enlarge(button) {
  const image = button.querySelector("img");
  from = button;
  large.src = image.src;
  large.alt = image.alt;
  caption.textContent = `${image.alt} (${image.naturalWidth} x ${image.naturalHeight})`;
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const buttons = shown().flatMap((card) => Array.from(card.querySelectorAll("button.open")));
  const next = buttons[buttons.indexOf(from) + by];
  if (next) enlarge(next);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.open");
  if (button) enlarge(button);
  else if (dialog.open) dialog.close();
});
dialog.addEventListener("close", () => from && from.focus());

function move(by) {
  const here = document.activeElement ? document.activeElement.closest("article") : null;
  const all = shown();
  const next = all[here ? all.indexOf(here) + by : 0];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (dialog.open) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
    return;
  }
  if (event.target === search || event.target === kind) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "Enter" && event.target.tagName === "ARTICLE") {
    const open = event.target.querySelector(".open");
    if (open) open.click();
  }
});

if (bar) {
  search.addEventListener("input", filter);
  if (kind) kind.addEventListener("change", filter);
  bar.hidden = false;
  filter();
}
