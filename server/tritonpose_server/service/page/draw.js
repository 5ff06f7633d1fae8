// Drawing skeletons on a canvas.

import { color, limbs } from "./keypoints.js";
import { visible } from "./poses.js";
import { trailOf } from "./trails.js";

const OUTLINE = "rgb(0 0 0 / 60%)";
const UNFOCUSED = 0.3;

// Draws people with a brush {context, scale, unit, threshold}.
//
// `scale`: canvas pixels to a pixel of the picture. `unit`: canvas pixels to a point, in which
// strokes are measured, so that they are as thick on any screen and in any file. `threshold`:
// keypoints scored lower are left out. `focus`: the place to highlight, null for none.
export function drawPoses(brush, persons, focus = null) {
  persons.forEach((person) => drawTrail(brush, person));
  persons.forEach((person, index) => {
    if (index !== focus?.person) drawPerson(brush, person, focus ? UNFOCUSED : 1);
  });
  persons.forEach((person) => drawId(brush, person));
  if (!focus) return;
  const person = persons[focus.person];
  drawBox(brush, person.bbox);
  drawPerson(brush, person, 1);
  const keypoint = person.kpts[focus.joint];
  if (keypoint && visible(keypoint, brush.threshold)) drawRing(brush, keypoint, person.bbox);
}

function drawPerson(brush, { bbox, kpts }, alpha) {
  const { context, scale, unit, threshold } = brush;
  const thickness = strokeWidth(brush, bbox);
  const margin = Math.min(thickness / 2, 0.75 * unit);
  const shown = kpts.map((keypoint) => visible(keypoint, threshold));
  context.globalAlpha = alpha;
  context.lineCap = "round";
  // All outlines first, so that none cuts a neighbor's color.
  for (const outline of [true, false]) {
    limbs().forEach(([from, to], limb) => {
      if (!shown[from] || !shown[to]) return;
      context.lineWidth = thickness + (outline ? 2 * margin : 0);
      context.strokeStyle = outline ? OUTLINE : color(limb);
      context.beginPath();
      context.moveTo(kpts[from][0] * scale, kpts[from][1] * scale);
      context.lineTo(kpts[to][0] * scale, kpts[to][1] * scale);
      context.stroke();
    });
    kpts.forEach(([x, y], joint) => {
      if (!shown[joint]) return;
      context.fillStyle = outline ? OUTLINE : color(joint);
      circle(context, x * scale, y * scale, 1.1 * thickness + (outline ? margin : 0));
      context.fill();
    });
  }
  context.globalAlpha = 1;
}

// Neighboring ids differ most.
const idColor = (id, alpha = 1) => `hsl(${(id * 137.5) % 360} 85% 60% / ${alpha})`;

// The way of the last seconds, fainter where it is older.
function drawTrail({ context, scale, unit }, person) {
  const points = trailOf(person);
  context.lineCap = "round";
  context.lineWidth = 2.5 * unit;
  points.slice(1).forEach((point, index) => {
    const before = points[index];
    context.strokeStyle = idColor(person.trackId, (index + 1) / points.length);
    context.beginPath();
    context.moveTo(before.x * scale, before.y * scale);
    context.lineTo(point.x * scale, point.y * scale);
    context.stroke();
  });
}

function drawId({ context, scale, unit }, { bbox, trackId }) {
  if (trackId === undefined || trackId === null) return;
  const text = `${trackId}`;
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  const width = context.measureText(text).width + 10 * unit;
  const height = 18 * unit;
  const left = Math.max(((bbox[0] + bbox[2]) / 2) * scale - width / 2, 0);
  const top = Math.max(bbox[1] * scale - height, 0);
  context.fillStyle = idColor(trackId);
  context.beginPath();
  context.roundRect(left, top, width, height, 4 * unit);
  context.fill();
  context.fillStyle = "black";
  context.fillText(text, left + width / 2, top + height / 2 + unit / 2);
}

// Small persons get thin strokes: a crowd stays legible.
function strokeWidth({ scale, unit }, [left, top, right, bottom]) {
  const points = (Math.max(right - left, bottom - top) * scale) / unit;
  return unit * Math.min(Math.max(points * 0.011, 0.75), 4);
}

function drawRing(brush, [x, y], bbox) {
  const { context, scale, unit } = brush;
  circle(context, x * scale, y * scale, strokeWidth(brush, bbox) + 5 * unit);
  strokeTwice(brush);
}

function drawBox(brush, bbox) {
  const [left, top, right, bottom] = bbox.map((value) => value * brush.scale);
  brush.context.beginPath();
  brush.context.rect(left, top, right - left, bottom - top);
  strokeTwice(brush);
}

// White on dark: it shows on any picture.
function strokeTwice({ context, unit }) {
  for (const [width, color] of [[3.5, OUTLINE], [1.5, "white"]]) {
    context.lineWidth = width * unit;
    context.strokeStyle = color;
    context.stroke();
  }
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
