"use strict";

// Keeps the page fresh: fetches its parts and replaces the changed ones. Without this script, reload the page instead.

const EVERY = 500; // milliseconds
const STOPPED = "The stack has stopped; this is its last known state. Start it again with totes up.";

const SCROLLED = ".rows, .lines, pre";

const shown = new Map();
let asked = 0;

function replace(part, html) {
  if (shown.get(part.id) === html) return;
  shown.set(part.id, html);
  const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const scrolled = [...part.querySelectorAll(SCROLLED)].map((box) => [box.scrollLeft, box.scrollTop]);
  const typed = [...part.querySelectorAll("input[id]")].map((input) => [input.id, input.value]);
  part.innerHTML = html;
  for (const [id, value] of typed) {
    const input = document.getElementById(id);
    if (input) input.value = value;
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  part.querySelectorAll(SCROLLED).forEach((box, index) => {
    [box.scrollLeft, box.scrollTop] = scrolled[index] ?? [0, 0];
  });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function report(trouble, stopped = false) {
  const place = document.getElementById("trouble");
  if (place.textContent !== trouble) place.textContent = trouble;
  place.hidden = !trouble;
  document.body.classList.toggle("stopped", stopped);
  for (const button of document.querySelectorAll("button")) button.disabled = stopped;
}

async function refresh() {
  const mine = ++asked;
  let answer;
  try {
    const response = await fetch(`/parts${location.search}`, { cache: "no-store" });
    answer = await response.json();
  } catch {
    if (mine === asked) report(STOPPED, true);
    return;
  }
  // Ignores an outdated answer: a later request was sent meanwhile, for instance after a click.
  if (mine !== asked) return;
  if (answer.served && answer.served !== document.body.dataset.served) {
    location.replace("/"); // A new stack, which does not have the former stack's executions.
    return;
  }
  report(answer.trouble ?? "");
  if (answer.title) document.title = answer.title;
  const icon = document.getElementById("icon");
  if (answer.icon && icon.getAttribute("href") !== answer.icon) icon.setAttribute("href", answer.icon);
  for (const [id, html] of Object.entries(answer.parts ?? {})) replace(document.getElementById(id), html);
}

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, EVERY);
}

function showDetail() {
  const detail = document.getElementById("detail");
  const { top } = detail.getBoundingClientRect();
  if (top < 0 || top > innerHeight * 0.75) detail.scrollIntoView();
}

function isPlain(event) {
  return event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("main a");
  const address = link?.getAttribute("href");
  if (!address?.match(/^\/(\?|$)/) || !isPlain(event)) return;
  event.preventDefault();
  history.pushState(null, "", address);
  await refresh();
  if (address.includes("state=")) showDetail();
});
keepFresh();
