// Files to save.

import { drawPoses } from "./draw.js";
import { told } from "./keypoints.js";
import { stem } from "./picture.js";
import { Problem } from "./problem.js";

// Length in points of a saved picture's longer side: sets how thick skeletons are in it.
const POINTS = 1000;

// PaddleX's `result` for the people shown: all their keypoints, whatever their scores.
export function saveJson(picture, persons) {
  const text = `${JSON.stringify({ persons, keypointSchema: told() }, null, 2)}\n`;
  save(new Blob([text], { type: "application/json" }), `${stem(picture)}_res.json`);
}

// The picture at its own size, with skeletons; `threshold` as in drawPoses.
export async function savePng(picture, persons, threshold) {
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  let blob = null;
  // No context, no blob: browsers limit the size of a canvas.
  if (context) {
    context.drawImage(picture.image, 0, 0);
    const unit = Math.max(picture.width, picture.height, POINTS) / POINTS;
    drawPoses({ context, scale: 1, unit, threshold }, persons);
    blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
  if (!blob) {
    throw new Problem(
      `This browser cannot save a picture of ${picture.width} × ${picture.height} pixels. ` +
        "The JSON can be saved.",
    );
  }
  save(blob, `${stem(picture)}_res.png`);
}

export const saveOriginal = (picture) => save(picture.blob, picture.name);

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Once the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
