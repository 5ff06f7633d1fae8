// A shell command that repeats the request of this page.

import { hasKey } from "./key.js";
import { ENDPOINT } from "./service.js";

// `threshold` is that of the people shown. The picture reaches curl through a pipe: as an
// argument it would be too long for the shell.
export function curlCommand(picture, threshold) {
  const options = `"detThreshold": ${threshold}, "visualize": false`;
  const key = hasKey() ? '-H "X-API-Key: $TRITONPOSE_API_KEY" ' : "";
  const send = [
    `curl -sS ${quoted(ENDPOINT)} ${key}\\`,
    "  -H 'Content-Type: application/json' --data-binary @-",
  ].join("\n");
  if (picture.source === "service") {
    const body = `{${options}, "image": ${JSON.stringify(picture.address)}}`;
    return `printf %s ${quoted(body)} |\n  ${send}`;
  }
  const read =
    picture.source === "address"
      ? `curl -fsSL ${quoted(picture.address)} | base64`
      : `base64 < ${quoted(picture.name)}`;
  return [
    `{ printf '{${options}, "image": "'`,
    // The option of base64 for a single line is not the same everywhere; tr is.
    `  ${read} | tr -d '\\n'`,
    `  printf '"}'`,
    `} | ${send}`,
  ].join("\n");
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
