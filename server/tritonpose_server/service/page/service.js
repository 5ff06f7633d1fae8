// Requests to the REST service that this page comes from.

import { fetchWithKey } from "./key.js";
import { describeKeypoints } from "./keypoints.js";
import { Problem } from "./problem.js";

export const ENDPOINT = new URL("human-keypoint-detection", document.baseURI).href;
const HEALTH = new URL("health", document.baseURI).href;

// Requests the people in a picture from the service.
//
// `image` is base64 of a picture file, or an address that the service can reach. Resolves to the
// `result` of PaddleX's answer: `persons`, and `image` where `visualize` asks for it. Rejects with
// a Problem, or with an AbortError once `signal` is aborted.
export async function detect(image, { threshold, visualize = false, signal }) {
  const body = JSON.stringify({ image, detThreshold: threshold, visualize });
  let response;
  let text;
  try {
    response = await fetchWithKey(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      signal,
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Problem) throw error;
    // A service that refuses a large body may close the connection while the browser is still
    // sending: that looks as if there were no service.
    throw await unreachable(
      "The service closed the connection while the picture was being sent " +
        `(${megabytes(body.length)} as base64): it is probably larger than the service accepts.`,
    );
  }
  const answer = parsed(text);
  if (response.ok && Array.isArray(answer?.result?.persons)) {
    describeKeypoints(answer.result);
    return answer.result;
  }
  const seconds = Number(response.headers.get("Retry-After"));
  throw failure(response.status, answer, seconds > 0 ? seconds : null);
}

// Why there is no connection: `reason` where the service runs.
export async function unreachable(reason) {
  const runs = await fetch(HEALTH, { cache: "no-store" }).then(({ ok }) => ok, () => false);
  const words = runs
    ? reason
    : `The service at ${location.host} cannot be reached. Is it still running?`;
  return new Problem(words, { again: true });
}

// The Problem of an answer without a result; `wait` as there.
export function failure(status, answer, wait = null) {
  const reason = errorText(answer) ?? `HTTP status ${status}`;
  if (status === 503) {
    return new Problem(`The service cannot process the picture now: ${sentence(reason)}`, {
      busy: true,
      wait,
    });
  }
  if (status === 413) {
    return new Problem(`The picture is too large for the service: ${sentence(reason)}`);
  }
  return new Problem(`The service answered: ${sentence(reason)}`, {
    again: status >= 500 || status < 400,
  });
}

// PaddleX's `errorMsg`: a sentence, or JSON with what is wrong where in the request.
function errorText(answer) {
  const message = answer?.errorMsg;
  if (typeof message !== "string" || !message) return null;
  const details = message.startsWith("[") ? parsed(message) : null;
  if (!Array.isArray(details)) return message;
  return details.map((detail) => detail?.msg).join("; ");
}

export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
