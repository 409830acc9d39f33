// The storefront: who asks, what they clicked, and what that changes. It keeps no state but what is on the screen, and
// posts no event: trying the page leaves no trace in the shop's data.

const at = id => document.getElementById(id);
const K = 12;
const FIELDS = ["title", "brand", "category", "price"];
let start = {context: {}, segments: {}, shoppers: [], fields: []};
let history = [];      // item ids, oldest first
const titles = {};     // by item id, of everything the page has shown
let shown = [];        // item ids of the list before this one
let query = "";
let newest = 0;        // number of the newest request: answers that are overtaken are dropped

async function ask(path, body) {
  const headers = {"Content-Type": "application/json"};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, body ? {method: "POST", headers, body: JSON.stringify(body)} : {headers});
  if (answer.status === 401) {
    const given = prompt("This service asks for an API key");
    if (given) { sessionStorage.setItem("key", given); return ask(path, body); }
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(Object.values(found.error ?? {}).join(": "));
  return found;
}

function element(name, text, attributes = {}) {
  return Object.assign(document.createElement(name), {textContent: text, ...attributes});
}

function context() {
  const chosen = [...at("context").querySelectorAll("select")].filter(one => one.value);
  return Object.fromEntries(chosen.map(one => [one.name, one.value]));
}

async function request() {
  const body = {history, k: K, context: context(), segment: at("adapter").checked ? "auto" : null, explain: true, fields: FIELDS};
  if (at("mine").checked && history.length) {
    const made = await ask("v1/adapt", {support: history.map(item_id => ({item_id, label: 1}))});
    body.adapter = made.adapter;
    body.segment = null;
  }
  return query ? ask("v1/search", {...body, query}) : ask("v1/recommend", {...body, exclude_seen: true});
}

async function refresh() {
  const number = ++newest;
  try {
    const answer = await request();
    if (number !== newest) return;
    at("fault").hidden = true;
    show(answer);
  } catch (error) {
    at("fault").textContent = error.message;
    at("fault").hidden = false;
  }
}

function show(answer) {
  at("heading").textContent = query ? `Results for “${query}”` : "For you";
  at("fallback").textContent = answer.fallback ?? "";
  const who = answer.items[0]?.segment;
  at("segment").textContent = who ? `Answered by: ${who}` : "Answered by: the base";
  const cards = answer.items.map((item, place) => card(item, place));
  at("list").replaceChildren(...cards);
  shown = answer.items.map(item => item.item_id);
  at("list").dataset.answer = String(newest);  // which request the list answers
  at("count").textContent = history.length ? `(${history.length})` : "";
  at("history").replaceChildren(...history.map(remembered));
}

function card(item, place) {
  const made = at("card").content.cloneNode(true).firstElementChild;
  const before = shown.indexOf(item.item_id), moved = before - place;
  const say = (name, text) => { made.querySelector(name).textContent = text; };
  titles[item.item_id] = item.fields.title || item.item_id;
  made.dataset.item = item.item_id;
  made.classList.toggle("new", shown.length > 0 && before < 0);
  say(".place", `${place + 1}` + (shown.length === 0 ? "" : before < 0 ? " · new" : moved > 0 ? ` · ↑ ${moved}` : moved < 0 ? ` · ↓ ${-moved}` : ""));
  say(".title", titles[item.item_id]);
  say(".facts", [item.fields.brand, item.fields.price == null ? null : Number(item.fields.price).toFixed(2), item.fields.category].filter(Boolean).join(" · "));
  say(".why", item.sentence ?? "");
  say(".score", item.score.toFixed(2));
  made.querySelector("table").append(...(item.contributions ?? []).map(row));
  made.querySelector(".take").addEventListener("click", () => { history.push(item.item_id); query = ""; at("query").value = ""; refresh(); });
  return made;
}

function row({source, name, value}) {
  const line = element("tr", "");
  const className = value < 0 ? "less" : "";
  const what = source === "item" ? titles[name] ?? name : [source, name].filter(Boolean).join(": ");
  line.append(element("td", what), element("td", value.toFixed(3), {className}));
  return line;
}

function remembered(item, place) {
  const line = element("li", titles[item] ?? item);
  const away = element("button", "×", {type: "button", title: "Take it back"});
  away.addEventListener("click", () => { history.splice(place, 1); refresh(); });
  line.append(away);
  return line;
}

async function open() {
  start = await ask("v1/shop");
  at("shop").textContent = start.shop;
  document.title = start.shop;
  at("about").textContent = `${start.items.toLocaleString()} items · data through ${start.through}`;
  Object.assign(titles, start.titles);
  at("shopper").replaceChildren(element("option", "New shopper", {value: ""}),
    ...start.shoppers.map((one, number) => element("option", one.name, {value: number})));
  at("context").replaceChildren(...Object.entries(start.context).map(([name, values]) => {
    const label = element("label", `${name} `), choice = element("select", "", {name});
    choice.append(element("option", "not told", {value: ""}), ...values.map(value => element("option", value, {value})));
    choice.addEventListener("change", refresh);
    label.append(choice);
    return label;
  }));
  at("shopper").addEventListener("change", event => {
    const one = start.shoppers[event.target.value];
    history = one ? [...one.history] : [];
    shown = [];
    refresh();
  });
  at("search").addEventListener("submit", event => { event.preventDefault(); query = at("query").value.trim(); shown = []; refresh(); });
  at("adapter").addEventListener("change", refresh);
  at("mine").addEventListener("change", refresh);
  at("forget").addEventListener("click", () => { history = []; query = ""; at("query").value = ""; shown = []; refresh(); });
  await refresh();
}

open().catch(error => { at("fault").textContent = error.message; at("fault").hidden = false; });
