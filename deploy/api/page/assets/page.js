// The live page: puts server-rendered fragments where they belong, and sends what the visitor does.
"use strict";

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
let live = null;

// Replace a fragment; rows that moved glide to their new place, new ones fade in, focus stays where it was.
function put(id, html) {
  const box = byId(id);
  if (!box) return;
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const places = new Map();
  for (const row of box.querySelectorAll("[data-row]")) places.set(row.dataset.row, row.getBoundingClientRect().top);
  box.innerHTML = html;
  if (key) {
    const same = [...box.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    (same || box.querySelector("[data-key]"))?.focus({ preventScroll: true });
  }
  if (calm || places.size === 0) return;
  for (const row of box.querySelectorAll("[data-row]")) {
    const before = places.get(row.dataset.row);
    const by = before === undefined ? 0 : before - row.getBoundingClientRect().top;
    const from = before === undefined ? { opacity: 0 } : { transform: `translateY(${by}px)` };
    if (before === undefined || by) row.animate([from, {}], { duration: 450, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
}

function connect(user) {
  live?.close();
  live = new EventSource(user ? `/live?user=${encodeURIComponent(user)}` : "/live");
  live.addEventListener("fragment", (event) => {
    const { id, html } = JSON.parse(event.data);
    put(id, html);
  });
  const say = (on) => () => {
    byId("line").textContent = on ? "live" : "reconnecting";
    byId("line").className = on ? "line on" : "line off";
  };
  live.addEventListener("open", say(true));
  live.addEventListener("error", say(false));
}

function follow(user) {
  byId("followed").textContent = user ? `following ${user}` : "whose click just changed it";
  byId("unfollow").hidden = !user;
  connect(user);
}

async function act(form, button) {
  const body = new URLSearchParams(new FormData(form, button));
  const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
  if (answer?.ok) return;
  const said = answer ? (await answer.json()).error.remedy : "the page's server does not answer";
  byId("news").textContent = `That did not arrive: ${said}.`;
}

let asked = 0;
async function find(text) {
  const mine = ++asked;
  const answer = await fetch(`/products?q=${encodeURIComponent(text)}`);
  if (answer.ok && mine === asked) put("shelf", await answer.text());
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.matches(".acts")) act(event.target, event.submitter);
  else find(byId("q").value);
});
byId("q").addEventListener("input", (event) => find(event.target.value));
document.addEventListener("click", (event) => {
  const user = event.target.closest("[data-follow]")?.dataset.follow;
  if (user) follow(user);
});
byId("unfollow").addEventListener("click", () => follow(""));
byId("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark");
  const now = localStorage.theme || (matchMedia("(prefers-color-scheme: dark)").matches || dark ? "dark" : "light");
  localStorage.theme = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = localStorage.theme;
});
if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
connect("");
