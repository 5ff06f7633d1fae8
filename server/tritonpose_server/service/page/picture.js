// Pictures: where they come from, and what the page needs of them.
//
// A picture is {name, source, image, width, height, blob, address}: `source` says how it came
// ("file", "pasted", "webcam", "video", "address", "service"); `image` is a decoded <img>, of a
// video a <canvas>; `width` and `height` are its pixels with the EXIF orientation applied, as the
// service applies it; `address` is that of a picture from the web; `blob` is its file, where the
// service fetched it ("service") only a copy to show.

import { Problem } from "./problem.js";
import { detect } from "./service.js";

const FORMATS = [
  ["JPEG", /^\xff\xd8\xff/],
  ["PNG", /^\x89PNG\r\n\x1a\n/],
  ["WebP", /^RIFF[^]{4}WEBP/],
  ["BMP", /^BM/],
];
const READABLE = "JPEG, PNG, WebP and BMP files";

// No score is above this: the service then draws nobody.
const NOBODY = 1;

export async function pictureFromBlob(blob, name, source, address = null) {
  const format = await formatOf(blob, name);
  if (!format) {
    throw new Problem(
      `“${name}” is not a picture that the service reads: it reads ${READABLE}.`,
    );
  }
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(image.src);
    throw new Problem(
      `“${name}” begins like a ${format} file, but the browser cannot decode it: ` +
        "it is damaged, incomplete or too large.",
    );
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  return { name, source, image, width, height, blob, address };
}

// Downloads a picture: by the browser where the picture's site allows it, or else through the
// service.
export async function pictureFromAddress(text, signal) {
  const address = webAddress(text);
  const name = fileName(address);
  let response;
  try {
    response = await fetch(address, { credentials: "omit", referrerPolicy: "no-referrer", signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return pictureThroughService(address, name, signal);
  }
  if (!response.ok) {
    const { status } = response;
    throw new Problem(`${address} could not be downloaded: its server answered with status ${status}.`);
  }
  return pictureFromBlob(await response.blob(), name, "address", address);
}

async function pictureThroughService(address, name, signal) {
  let result;
  try {
    result = await detect(address, { threshold: NOBODY, visualize: true, signal });
  } catch (error) {
    if (error instanceof Problem) {
      const reason = `The browser could not download ${address}, so the service was asked for it.`;
      error.message = `${reason} ${error.message}`;
    }
    throw error;
  }
  const bytes = Uint8Array.from(atob(result.image), (character) => character.charCodeAt(0));
  return pictureFromBlob(new Blob([bytes], { type: "image/jpeg" }), name, "service", address);
}

export function forget(picture) {
  if (picture?.image.src) URL.revokeObjectURL(picture.image.src);
}

// What goes into a request as `image`.
export function requestImage(picture) {
  return picture.source === "service" ? picture.address : base64(picture.blob, picture.name);
}

export const stem = (picture) => picture.name.replace(/(?!^)\.[^.]*$/, "");

function webAddress(text) {
  const address = URL.canParse(text) ? new URL(text) : null;
  if (!address || !/^https?:$/.test(address.protocol)) {
    throw new Problem(`“${text}” is not a web address: it must begin with https:// or http://.`);
  }
  return address.href;
}

function fileName(address) {
  const last = new URL(address).pathname.split("/").pop();
  try {
    return decodeURIComponent(last).replaceAll("/", "_") || "picture";
  } catch {
    return last;
  }
}

async function formatOf(blob, name) {
  const head = new Uint8Array(await readable(blob.slice(0, 16).arrayBuffer(), name));
  const text = String.fromCharCode(...head);
  return FORMATS.find(([, pattern]) => pattern.test(text))?.[0];
}

function base64(blob, name) {
  const read = new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  return readable(read, name);
}

// Files can vanish or change after they were chosen, and what is dropped may be a folder.
async function readable(reading, name) {
  try {
    return await reading;
  } catch {
    throw new Problem(
      `“${name}” cannot be read: it is a folder, or has been moved or changed.`,
    );
  }
}
