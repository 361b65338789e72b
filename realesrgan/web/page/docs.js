/** A readable page for /openapi.json: every call with its fields, its answers and a line for curl. */
import { api } from "./api.js";
import { byId, make } from "./dom.js";
import { curlLine, fieldsOf, typeOf } from "./schema.js";
import { createSwitch, say, translate } from "./words.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const COPIED_MS = 1600;

translate();
createSwitch(byId("language"));
load();

async function load() {
  let description;
  try {
    description = await api.description();
  } catch (error) {
    say(byId("message"), "api.failed", { error: error.message });
    return;
  }
  byId("message").hidden = true;
  byId("intro").replaceChildren(...paragraphs(description.info.description ?? ""));
  const calls = Object.entries(description.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => ({ path, method, call: methods[method] })),
  );
  byId("calls").replaceChildren(...calls.map((one) => section(one, description)));
  byId("contents").replaceChildren(...calls.map(({ path, method }) => entry(path, method)));
  const records = Object.entries(description.components?.schemas ?? {});
  byId("records-title").hidden = !records.length;
  byId("records").replaceChildren(...records.map(([name, schema]) => record(name, schema)));
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

const anchor = (path, method) => `${method}-${path.replace(/[^a-z0-9]+/gi, "-")}`;

function entry(path, method) {
  const link = make(
    "a",
    { href: `#${anchor(path, method)}` },
    make("span", { class: `method ${method}` }, method),
    make("code", {}, path),
  );
  return make("li", {}, link);
}

function section({ path, method, call }, description) {
  const heading = make("h2", {}, make("span", { class: `method ${method}` }, method), make("code", {}, path));
  const element = make(
    "section",
    { class: "call card", id: anchor(path, method) },
    heading,
    ...paragraphs(call.description ?? call.summary ?? ""),
  );
  const parameters = (call.parameters ?? []).filter((one) => one.in !== "cookie");
  if (parameters.length) {
    const rows = parameters.map((one) => ({
      name: one.name,
      isRequired: one.required,
      schema: one.schema,
      words: one.description,
    }));
    element.append(say(make("h3"), "api.parameters"), table(rows));
  }
  for (const [type, { schema }] of Object.entries(call.requestBody?.content ?? {})) {
    element.append(
      make("h3", {}, say(make("span"), "api.body"), " ", make("code", {}, type)),
      table(fieldsOf(schema, description)),
    );
  }
  element.append(say(make("h3"), "api.answers"), answers(call.responses ?? {}));
  element.append(say(make("h3"), "api.example"), example(curlLine(location.origin, path, method, call, description)));
  return element;
}

function table(rows) {
  return make("dl", { class: "fields" }, ...rows.flatMap(row));
}

function row({ name, isRequired, schema, words }) {
  const type = make("span", { class: "type" }, ...typeNodes(schema));
  const term = make("dt", {}, make("code", {}, name), " ", type);
  if (isRequired) term.append(" ", say(make("span", { class: "required" }), "api.required"));
  const said = make("dd", {}, make("span", { lang: "en" }, ...inline(words ?? schema?.description ?? "")));
  if (schema?.default !== undefined && typeof schema.default !== "object") {
    said.append(
      said.textContent ? " · " : "",
      say(make("span", { class: "muted" }), "api.default", { value: JSON.stringify(schema.default) }),
    );
  }
  return [term, said];
}

/** A type, with a link where it is one of the records below. */
function typeNodes(schema) {
  return typeOf(schema).map((part) =>
    part.record ? make("a", { href: `#record-${part.record}` }, part.record) : part.words,
  );
}

/** Statuses with the same answer share a line. */
function answers(responses) {
  const items = new Map(); // what is answered → its list item
  for (const [status, { description, content }] of Object.entries(responses).sort(([a], [b]) => a.localeCompare(b))) {
    const [type, body] = Object.entries(content ?? {})[0] ?? [];
    const answered = JSON.stringify(body ?? description);
    if (!items.has(answered)) {
      const hasType = body?.schema && Object.keys(body.schema).length;
      items.set(answered, make("li", {}, ...(hasType ? typeNodes(body.schema) : [type ?? description])));
    }
    items.get(answered).lastChild.before(make("code", { class: status < "400" ? "good" : "bad" }, status), " ");
  }
  return make("ul", { class: "answers" }, ...items.values());
}

function record(name, schema) {
  const heading = make("h3", { id: `record-${name}` }, make("code", {}, name));
  return make(
    "section",
    { class: "call card" },
    heading,
    ...paragraphs(schema.description ?? ""),
    table(fieldsOf(schema)),
  );
}

function example(line) {
  const copy = say(make("button", { type: "button", class: "button" }), "api.copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(line);
    say(copy, "api.copied");
    setTimeout(() => say(copy, "api.copy"), COPIED_MS);
  });
  const block = make("pre", {}, make("code", {}, line));
  const box = make("div", { class: "example" }, block);
  if (navigator.clipboard) box.append(copy); // only where the connection is safe
  return box;
}

function paragraphs(words) {
  return words
    .split(/\n\s*\n/)
    .filter(Boolean)
    .map((one) => make("p", { lang: "en" }, ...inline(one)));
}

/** Words with `code` in backquotes. */
function inline(words) {
  return words.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}
