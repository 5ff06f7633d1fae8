// The 17 COCO keypoints, their skeleton, and the colors in which PaddleX draws both.

export const JOINTS = [
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

// Limbs as pairs of joints; the color of a limb is that of the joint with its place here.
export const LIMBS = [
  [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7], [6, 8], [7, 9],
  [8, 10], [5, 11], [6, 12], [11, 13], [12, 14], [13, 15], [14, 16], [11, 12],
];

// Steps round the hue circle. PaddleX hands red to OpenCV first, where blue is expected, and so
// begins with blue; these are the colors that are seen.
export const COLORS = [
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
];
