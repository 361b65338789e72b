/** Reading JSON schemas: fields, types in words, examples. Knows nothing of elements. */

/** The name of the record that a schema refers to, or null. */
function recordOf(schema) {
  return schema?.$ref?.split("/").at(-1) ?? null;
}

function resolved(schema, description) {
  const name = recordOf(schema);
  return name ? (description?.components?.schemas?.[name] ?? {}) : (schema ?? {});
}

/** The fields of a record: [{name, isRequired, schema, words}]. */
export function fieldsOf(schema, description = null) {
  const { properties = {}, required = [] } = resolved(schema, description);
  return Object.entries(properties).map(([name, field]) => ({
    name,
    isRequired: required.includes(name),
    schema: field,
    words: field.description,
  }));
}

/** A type as parts, each {words} or {record}: a record can be linked to. */
export function typeOf(schema) {
  if (!schema) return [{ words: "any" }];
  const record = recordOf(schema);
  if (record) return [{ record }];
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return either.flatMap((one, index) => (index ? [{ words: " | " }, ...typeOf(one)] : typeOf(one)));
  if (schema.allOf?.length === 1) return typeOf(schema.allOf[0]);
  if (schema.const !== undefined) return [{ words: JSON.stringify(schema.const) }];
  if (schema.enum) return [{ words: schema.enum.map((value) => JSON.stringify(value)).join(" | ") }];
  if (schema.type === "array") return [{ words: "list of " }, ...typeOf(schema.items)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return [{ words: "map of " }, ...typeOf(schema.additionalProperties)];
  }
  const words = schema.format === "binary" ? "file" : (schema.type ?? "any");
  return [{ words: words + rangeOf(schema) }];
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  const parts = [];
  if (minimum !== undefined) parts.push(`≥ ${minimum}`);
  if (exclusiveMinimum !== undefined) parts.push(`> ${exclusiveMinimum}`);
  if (maximum !== undefined) parts.push(`≤ ${maximum}`);
  if (exclusiveMaximum !== undefined) parts.push(`< ${exclusiveMaximum}`);
  return parts.length ? ` ${parts.join(", ")}` : "";
}

/** A value that a schema allows, as short as possible. */
function exampleOf(schema, description) {
  const own = resolved(schema, description);
  if (own.examples?.length) return own.examples[0];
  if (own.default !== undefined) return own.default;
  if (own.enum) return own.enum[0];
  if (own.anyOf) return exampleOf(own.anyOf[0], description);
  if (own.type === "object" || own.properties) {
    const needed = fieldsOf(own).filter(({ isRequired }) => isRequired);
    return Object.fromEntries(needed.map(({ name, schema: field }) => [name, exampleOf(field, description)]));
  }
  if (own.type === "array") return [exampleOf(own.items, description)];
  return { integer: Math.max(640, own.minimum ?? 0), number: 1, boolean: true, string: "…" }[own.type] ?? null;
}

/** A line for a shell that makes the call. Fields in capitals are to be filled in. */
export function curlLine(origin, path, method, call, description) {
  const parts = ["curl"];
  if (method !== "get" && method !== "post") parts.push("-X", method.toUpperCase());
  if (call.responses?.["401"] && !path.endsWith("/session")) parts.push('-H "Authorization: Bearer $TOKEN"');
  const content = call.requestBody?.content ?? {};
  if (content["multipart/form-data"]) {
    for (const { name, schema } of fieldsOf(content["multipart/form-data"].schema, description)) {
      if (schema.format === "binary") parts.push(`-F ${name}=@picture.jpg`);
      else if (name === "outscale") parts.push("-F outscale=2");
    }
  } else if (content["application/json"]) {
    const record = exampleOf(content["application/json"].schema, description);
    parts.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(record)}'`);
  } else if (method === "post") parts.push("-X POST");
  const answer = Object.keys(call.responses?.["200"]?.content ?? {})[0] ?? "";
  if (answer === "text/event-stream") parts.push("-N");
  else if (/^(image|video)\/|zip|octet-stream/.test(answer) || path.endsWith("/result")) parts.push("-OJ");
  const query = (call.parameters ?? [])
    .filter((one) => one.in === "query" && one.required)
    .map(({ name }) => `${name}=${name.toUpperCase()}`);
  const address = origin + path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase());
  parts.push(`"${address}${query.length ? `?${query.join("&")}` : ""}"`);
  return parts.join(" ");
}
