// What the keypoints of the service's answers are: names, limbs and colors.
//
// An answer says it itself, unless they are COCO's 17, which PaddleX's models have, or nobody knows.

const COCO_NAMES = [
  "nose",
  "left eye",
  "right eye",
  "left ear",
  "right ear",
  "left shoulder",
  "right shoulder",
  "left elbow",
  "right elbow",
  "left wrist",
  "right wrist",
  "left hip",
  "right hip",
  "left knee",
  "right knee",
  "left ankle",
  "right ankle",
];

// In PaddleX's order.
const COCO_LIMBS = [
  [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7], [6, 8], [7, 9],
  [8, 10], [5, 11], [6, 12], [11, 13], [12, 14], [13, 15], [14, 16], [11, 12],
];

// Steps round the hue circle. PaddleX hands red to OpenCV first, where blue is expected, and so
// begins with blue; these are the colors that are seen.
const COLORS = [
  "rgb(0 0 255)",
  "rgb(0 85 255)",
  "rgb(0 170 255)",
  "rgb(0 255 255)",
  "rgb(0 255 170)",
  "rgb(0 255 85)",
  "rgb(0 255 0)",
  "rgb(85 255 0)",
  "rgb(170 255 0)",
  "rgb(255 255 0)",
  "rgb(255 170 0)",
  "rgb(255 85 0)",
  "rgb(255 0 0)",
  "rgb(255 0 85)",
  "rgb(255 0 170)",
  "rgb(255 0 255)",
  "rgb(170 0 255)",
  "rgb(85 0 255)",
];

let schema = null;
let joints = COCO_NAMES.length;

// Takes what a `result` of the service says of its keypoints.
export function describeKeypoints({ persons, keypointSchema }) {
  schema = keypointSchema ?? null;
  joints = keypointSchema?.names.length ?? persons[0]?.kpts.length ?? joints;
}

const isCoco = () => !schema && joints === COCO_NAMES.length;

// What the last answer said; undefined if it said nothing.
export const told = () => schema ?? undefined;

export function jointName(joint) {
  if (isCoco()) return COCO_NAMES[joint];
  return schema?.names[joint].replaceAll("_", " ") ?? `keypoint ${joint}`;
}

// Pairs of joints.
export const limbs = () => schema?.skeleton ?? (isCoco() ? COCO_LIMBS : []);

// The color of a joint, or of the limb with this place among the limbs.
export function color(index) {
  const colors = schema?.colors ?? COLORS;
  return colors[index % colors.length];
}
