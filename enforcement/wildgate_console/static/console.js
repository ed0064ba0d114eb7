// Keys, blurring and times. Everything else is the server's.
"use strict";

const typing = (element) => element.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");

// Times in the reader's zone.
const local = () => document.querySelectorAll("time[datetime]:not([data-age]):not([data-told])").forEach((time) => {
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang);
  time.dataset.told = "1";
});

// Pictures are shown while a key or the pointer is held, and blurred again when the page is left.
const show = (element, on) => element && element.classList.toggle("show", on);
const hideAll = () => document.querySelectorAll(".show").forEach((element) => show(element, false));

document.addEventListener("pointerdown", (event) => {
  if (event.target.closest("[data-hold]")) show(document.querySelector(".frames"), true);
  else show(event.target.closest("[data-frame]"), true);
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, hideAll);
window.addEventListener("blur", hideAll);
document.addEventListener("visibilitychange", hideAll);
document.addEventListener("contextmenu", (event) => event.target.closest("[data-frame]") && event.preventDefault());

const boxes = (button) => {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  document.querySelector(".evidence").classList.toggle("noboxes", !on);
};

const move = (by) => {
  const rows = [...document.querySelectorAll("table.queue a.row")];
  const now = rows.findIndex((row) => row.closest("tr").contains(document.activeElement));
  const next = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
  if (next) next.focus();
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.open) document.getElementById(button.dataset.open).showModal();
  if ("boxes" in button.dataset) boxes(button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const form = document.querySelector("[data-decision]");
    if (form) form.requestSubmit(form.querySelector("button.primary"));
    event.preventDefault();
    return;
  }
  if (event.key === "Escape" && typing(event.target)) return event.target.blur();
  if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "?") return document.getElementById("help").showModal();
  if (event.key === "j" || event.key === "k") return move(event.key === "j" ? 1 : -1);
  if (event.key === "x") {
    const box = document.activeElement.closest("tr")?.querySelector("input[type=checkbox]");
    if (box) box.checked = !box.checked;
    return;
  }
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target || event.repeat) return;
  event.preventDefault();
  if ("hold" in target.dataset) show(document.querySelector(".frames"), true);
  else if (target.type === "radio") {
    const details = target.closest("details");
    if (details) details.open = true;
    target.checked = true;
    (target.value === "confirm" ? document.getElementById("reason") : target).focus();
  } else target.click();
});
document.addEventListener("keyup", (event) => event.key === "v" && hideAll());

document.addEventListener("htmx:afterSwap", local);
document.addEventListener("DOMContentLoaded", local);
local();
