// Hides the rows that lack any of the words. Without this script the page shows everything.
"use strict";
const field = document.getElementById("search");
const hits = document.getElementById("hits");
const tables = [...document.querySelectorAll("article")].map((article) => ({
  article,
  head: article.querySelector("h3").textContent.toLowerCase(),
  rows: [...article.querySelectorAll("tbody tr")].map((row) => ({ row, text: row.textContent.toLowerCase() })),
}));
const show = () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { article, head, rows } of tables) {
    const shown = rows.filter(({ row, text }) => !(row.hidden = !words.every((word) => `${head} ${text}`.includes(word))));
    article.hidden = !shown.length;
    found += shown.length;
  }
  document.getElementById("drawings").hidden = words.length > 0;
  hits.textContent = words.length ? `${found} ${found === 1 ? "column" : "columns"}` : "";
};
field.addEventListener("input", show);
document.querySelector(".search").hidden = false;
